import { expect, test } from 'vitest'
import type { LoadedToken } from '../context.ts'
import type { CallResult, Sandbox } from '../ports/sandbox.ts'
import { callHandler, callQuery } from './script-calls.ts'

const token = {
  gas: { query: 1n, update: 1n, load: 1n },
  rules: { scriptHash: '0x', effects: { known: {} } },
} as unknown as LoadedToken

function answering(output: string, topics = '{"topics":[]}'): Sandbox {
  const result = (text: string): CallResult => ({ status: 'ok', output: text, gasUsed: 1n })
  return { load: async () => {}, call: async (_, method) => result(method === 'topics' ? topics : output) }
}

const call = { method: 'input', input: {} } as const

test('a proper answer becomes state, effects and topics', async () => {
  const sandbox = answering(
    '{"state":{"a":1},"effects":[{"name":"known","payload":{}}]}',
    '{"topics":[{"input":"fact","subset":"s"}]}',
  )
  expect(await callHandler(sandbox, token, call)).toEqual({
    data: { a: 1 },
    effects: [{ name: 'known', payload: {} }],
    topics: [{ input: 'fact', subset: 's' }],
  })
})

test.each([
  ['text that is no JSON', 'hello', undefined, 'sandbox.output_invalid'],
  ['a bare value', '5', undefined, 'sandbox.output_invalid'],
  ['null', 'null', undefined, 'sandbox.output_invalid'],
  ['no state', '{"effects":[]}', undefined, 'sandbox.output_invalid'],
  ['a state with a lone surrogate', '{"state":"\\ud800","effects":[]}', undefined, 'sandbox.output_invalid'],
  [
    'a state nested beyond the limit',
    `{"state":${'['.repeat(80)}${']'.repeat(80)},"effects":[]}`,
    undefined,
    'sandbox.output_invalid',
  ],
  ['effects that are no list', '{"state":1,"effects":{}}', undefined, 'sandbox.output_invalid'],
  [
    'an effect that is not declared',
    '{"state":1,"effects":[{"name":"other","payload":1}]}',
    undefined,
    'sandbox.output_invalid',
  ],
  [
    'an effect named like a built-in',
    '{"state":1,"effects":[{"name":"constructor","payload":1}]}',
    undefined,
    'sandbox.output_invalid',
  ],
  ['null as an effect', '{"state":1,"effects":[null]}', undefined, 'sandbox.output_invalid'],
  ['topics of another shape', '{"state":1,"effects":[]}', '{"topics":[{"input":1}]}', 'sandbox.output_invalid'],
  ['a refusal of its own', '{"error":{"code":"query.arguments","facts":{}}}', undefined, 'query.arguments'],
  ["a refusal in the network's name", '{"error":{"code":"bug.unexpected","facts":{}}}', undefined, 'sandbox.threw'],
  ['a refusal nobody knows', '{"error":{"code":"sandbox.nonsense"}}', undefined, 'sandbox.threw'],
  ['a refusal without form', '{"error":null}', undefined, 'sandbox.threw'],
])('a script that answers %s is refused, as a value', async (_, output, topics, refused) => {
  expect(await callHandler(answering(output, topics), token, call)).toEqual({ refused })
})

test('a query that answers nonsense is refused with its code', async () => {
  await expect(callQuery(answering('nonsense'), token, {})).rejects.toMatchObject({ code: 'sandbox.output_invalid' })
  expect(await callQuery(answering('{"value":[1]}'), token, {})).toEqual([1])
})
