import { type Address, laneOf, nobleCrypto } from '@smartlayer/protocol'
import type { Declaration } from '@smartlayer/tokenscript'
import { expect, test } from 'vitest'
import { checkFact, type LoadedScript, typeRules } from './loaded-token.ts'

const { keccak } = nobleCrypto
const AIRLINE: Address = `0x${'a1'.repeat(20)}`
const status = {
  type: 'object',
  properties: { delayMinutes: { type: 'integer', minimum: 0 } },
  required: ['delayMinutes'],
  additionalProperties: false,
}
const declaration = {
  issuers: { airline: { address: AIRLINE, lane: 'flights', retention: 'all' } },
  inputs: { status: { issuer: 'airline', wake: false, schema: status } },
} as unknown as Declaration
const script = { declaration } as LoadedScript
const by = { issuer: AIRLINE, lane: laneOf('flights', keccak) }

test.each([
  ['{"delayMinutes":30}', undefined],
  ['{"delayMinutes":-5}', 'query.arguments'],
  ['{"delayMinutes":1.5}', 'query.arguments'],
  ['{}', 'query.arguments'],
  ['no JSON', 'query.arguments'],
])('a fact is checked before it enters its stream: %s', (body, code) => {
  expect(checkFact(script, by, { body, keccak })?.code).toBe(code)
})

test('a stream keeps what its issuer declares, and the longest of what is declared under several names', () => {
  const airline = { address: AIRLINE, lane: 'flights', retention: '30 days' }
  const issuers = {
    airline,
    again: { ...airline, retention: '90 days' },
    gates: { ...airline, lane: 'gates', retention: 'latest' },
  }
  const inputs = Object.fromEntries(
    Object.keys(issuers).map((issuer) => [issuer, { issuer, wake: false, schema: status }]),
  )
  const declared = { issuers, inputs, actions: {}, effects: {}, outside: {} } as unknown as Declaration
  const rules = typeRules(
    { contract: AIRLINE, chainId: 1n, scriptHash: by.lane, declaration: declared, owner: AIRLINE },
    keccak,
  )
  expect(rules.inputs).toMatchObject({
    airline: { lane: by.lane, retention: { keep: 'days', days: 90 } },
    again: { retention: { keep: 'days', days: 90 } },
    gates: { retention: { keep: 'latest' } },
  })
})

test.each([
  [undefined, undefined],
  [{ at: 5 }, { by: 'time', at: 5n }],
  [{ ttlS: 60 }, { by: 'age', afterMs: 60_000n }],
  [{ state: 'validUntil' }, { by: 'state', member: 'validUntil' }],
])('what a declaration says of expiry is what the rules know: %o', (expiry, rule) => {
  const declared = { issuers: {}, inputs: {}, actions: {}, effects: {}, outside: {}, expiry } as unknown as Declaration
  const script = { contract: AIRLINE, chainId: 1n, scriptHash: by.lane, declaration: declared, owner: AIRLINE }
  expect(typeRules(script, keccak)).toMatchObject({ expiry: rule, owner: AIRLINE })
})
