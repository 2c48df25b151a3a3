/** The entrance of a script: one story of a flight ticket, everything that can be wrong, and the same inside QuickJS. */
import { fileURLToPath } from 'node:url'
import { catalogue, SmartLayerError } from '@smartlayer/protocol'
import { build } from 'esbuild'
import { getQuickJS } from 'quickjs-emscripten'
import { describe, expect, test } from 'vitest'
import { flightTicket } from '../../test/flight-ticket.ts'
import type { Json } from '../schema/json-schema.ts'
import { smartToken } from './runtime.ts'
import type { TokenDefinition } from './token.ts'

const at = { time: 1_700_000_000_000, instance: `0x${'07'.repeat(32)}` }
const issued = { flight: 'LH454', delayMinutes: 0, hotel: 'none' }
const linked = { ...issued, booking: { id: 'B1', nights: 2 } }
const asked = { ...linked, delayMinutes: 150, hotel: 'asked' }
const payload = { booking: 'B1' }

const story: readonly (readonly [string, string, object, object])[] = [
  [
    'a ticket begins with its attributes',
    'init',
    { attributes: { flight: 'LH454' }, ...at },
    { state: issued, effects: [] },
  ],
  [
    'it follows its own flight',
    'topics',
    { state: issued },
    { topics: [{ input: 'status', subset: 'flight-status/LH454' }] },
  ],
  [
    'the holder links a hotel',
    'action',
    { state: issued, name: 'linkHotel', args: linked.booking, ...at },
    { state: linked, effects: [] },
  ],
  [
    'a long delay asks the hotel',
    'input',
    { state: linked, name: 'status', body: { delayMinutes: 150 }, ...at },
    { state: asked, effects: [{ name: 'rebookHotel', payload }] },
  ],
  [
    'a delay without hotel asks nobody',
    'input',
    { state: issued, name: 'status', body: { delayMinutes: 150 }, ...at },
    { state: { ...issued, delayMinutes: 150 }, effects: [] },
  ],
  [
    'the request is data',
    'request',
    { name: 'rebookHotel', payload },
    {
      request: {
        method: 'POST',
        path: '/rebook',
        headers: { authorization: 'Bearer {{secret:HOTEL_KEY}}' },
        json: payload,
      },
    },
  ],
  [
    'the answer moves the booking',
    'outcome',
    {
      state: asked,
      name: 'rebookHotel',
      payload,
      outcome: { kind: 'succeeded', status: 200, body: { confirmed: true } },
      ...at,
    },
    { state: { ...asked, hotel: 'moved' }, effects: [] },
  ],
  [
    'a proven failure is told',
    'outcome',
    {
      state: asked,
      name: 'rebookHotel',
      payload,
      outcome: { kind: 'failed', class: 'timeout', status: null, attempts: 3 },
      ...at,
    },
    { state: { ...asked, hotel: 'failed' }, effects: [] },
  ],
  [
    'what nobody knows is told as that',
    'outcome',
    { state: asked, name: 'rebookHotel', payload, outcome: { kind: 'uncertain', attempt: 1, reason: 'reset' }, ...at },
    { state: { ...asked, hotel: 'unknown' }, effects: [] },
  ],
  ['a query reads', 'query', { state: asked, name: 'status' }, { value: { delayMinutes: 150 } }],
  ['a query takes arguments', 'query', { state: asked, name: 'late', args: { minutes: 100 } }, { value: true }],
  [
    'a handler that throws changes nothing',
    'action',
    { state: linked, name: 'linkHotel', args: linked.booking, ...at },
    { error: { code: 'sandbox.threw', facts: { message: 'a hotel is linked already' } } },
  ],
  [
    'a body of another shape is refused',
    'input',
    { state: issued, name: 'status', body: { delayMinutes: '150' }, ...at },
    { error: { code: 'query.arguments', facts: { at: 'body.delayMinutes', detail: 'expected a number' } } },
  ],
]

describe('the story', () => {
  test.each(story)('%s', (_, method, input, result) => {
    expect(call(flightTicket, method, input)).toEqual(result)
  })
})

test.each([
  ['an unknown query', 'query', { state: issued, name: 'toString' }, 'query.unknown_method'],
  ['an unknown method', 'destroy', {}, 'query.unknown_method'],
  ['an unknown effect', 'request', { name: 'bomb', payload: {} }, 'effect.unknown'],
  ['a state of another shape', 'query', { state: { flight: 1 }, name: 'status' }, 'query.arguments'],
  ['arguments where none are declared', 'query', { state: issued, name: 'status', args: { x: 1 } }, 'query.arguments'],
  [
    'an outcome of no known kind',
    'outcome',
    { state: asked, name: 'rebookHotel', payload, outcome: { kind: 'great' }, ...at },
    'query.arguments',
  ],
  [
    'a transition without time',
    'input',
    { state: issued, name: 'status', body: { delayMinutes: 1 }, instance: '0x' },
    'query.arguments',
  ],
])('%s is an error of the catalogue', (_, method, input, code) => {
  const result = call(flightTicket, method, input) as { error: { code: string; facts: Record<string, unknown> } }
  expect(result.error.code).toBe(code)
  expect(catalogue).toHaveProperty([code])
  expect(SmartLayerError.fromData(code, result.error.facts).message).not.toContain('undefined')
})

test('input that is not JSON is an error, not an exception', () => {
  expect(JSON.parse(smartToken(flightTicket).call('query', '{'))).toHaveProperty('error.code', 'sandbox.threw')
})

describe('what a handler hands back is checked', () => {
  const input = { state: issued, name: 'status', body: { delayMinutes: 1 }, ...at }
  test.each<[string, (next: (state: unknown) => { effect(name: string, payload: Json): unknown }) => unknown, string]>([
    ['no next at all', () => ({ ...issued }), 'sandbox.output_invalid'],
    ['nothing', () => undefined, 'sandbox.output_invalid'],
    ['a state of another shape', (next) => next({ ...issued, delayMinutes: -1 }), 'sandbox.output_invalid'],
    ['an undeclared effect', (next) => next(issued).effect('bomb', {}), 'effect.unknown'],
    [
      'a payload of another shape',
      (next) => next(issued).effect('rebookHotel', { booking: 7 }),
      'sandbox.output_invalid',
    ],
    [
      'too many effects',
      (next) => {
        // biome-ignore lint/suspicious/noExplicitAny: a handler of a hostile author
        let made: any = next(issued)
        for (let i = 0; i < 9; i++) made = made.effect('rebookHotel', payload)
        return made
      },
      'effect.too_many',
    ],
  ])('%s', (_, apply, code) => {
    const status = {
      ...flightTicket.inputs.status,
      apply: (_s: unknown, _b: unknown, ctx: { next: unknown }) => apply(ctx.next as never),
    }
    const hostile = { ...flightTicket, inputs: { status } } as unknown as TokenDefinition
    expect(call(hostile, 'input', input)).toHaveProperty('error.code', code)
  })
})

test('a bundled script runs the same story in plain QuickJS', async () => {
  const code = await bundle(
    `import { flightTicket } from '../../test/flight-ticket.ts'; import { install } from '../define.ts'; install(flightTicket)`,
  )
  const context = (await getQuickJS()).newContext()
  try {
    context.unwrapResult(context.evalCode(code)).dispose()
    for (const [, method, input, result] of story) {
      const source = `smartToken.call(${JSON.stringify(method)}, ${JSON.stringify(JSON.stringify(input))})`
      const handle = context.unwrapResult(context.evalCode(source))
      expect(JSON.parse(context.getString(handle))).toEqual(result)
      handle.dispose()
    }
  } finally {
    context.dispose()
  }
})

test('what the author imports stays small and asks for nothing of its surroundings', async () => {
  const code = await bundle(`export * from '../define.ts'`)
  expect(code.length).toBeLessThan(12_000)
  expect(code).not.toMatch(/\b(Date|Intl|Promise|setTimeout|require|process)\b|Math\.random/)
})

function call(token: TokenDefinition, method: string, input: object): unknown {
  return JSON.parse(smartToken(token).call(method, JSON.stringify(input)))
}

async function bundle(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL('.', import.meta.url)), loader: 'ts' },
    bundle: true,
    minify: true,
    write: false,
    format: contents.startsWith('export') ? 'esm' : 'iife',
    target: 'es2020',
    conditions: ['source'],
  })
  return outputFiles[0]!.text
}
