/** Declarations: derived from a definition, read back strictly, and requests checked against them. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bindings, flightTicket } from '../../test/flight-ticket.ts'
import type { Json } from '../schema/json-schema.ts'
import type { Declaration } from './declaration.ts'
import { declarationOf } from './declaration-of.ts'
import { isHost, originOf } from './origin.ts'
import { parseOutsideRequest } from './outside-request.ts'
import { parseDeclaration } from './parse-declaration.ts'

const declaration = declarationOf(flightTicket, bindings)

test('a declaration says everything but the code', () => {
  expect(declaration).toMatchObject({
    type: 'flight-ticket',
    issuers: { airline: { address: bindings.issuers.airline, lane: 'flight-status', retention: 'all' } },
    outside: { hotel: { host: 'hotel.example', url: 'http://127.0.0.1:4430', signer: bindings.outside.hotel.signer } },
    inputs: { status: { issuer: 'airline', wake: false } },
    queries: { status: { scope: 'flight.status:read', args: null } },
    effects: { rebookHotel: { attempts: 3, timeoutMs: 2000, idempotent: true, attestedBy: 'hotel' } },
    gas: { query: 1_000_000, input: 5_000_000 },
    secrets: ['HOTEL_KEY'],
  })
})

test('a declaration survives its JSON form', () => {
  expect(parseDeclaration(JSON.stringify(declaration))).toEqual(declaration)
})

test('a key that neither the author nor the build names is missed', () => {
  expect(() => declarationOf(flightTicket, { engineId: bindings.engineId })).toThrow(
    'issuers.airline.address: expected an address',
  )
})

test('a key for an issuer that the script does not have is refused', () => {
  const mistyped = { ...bindings, issuers: { ...bindings.issuers, airlines: bindings.issuers.airline } }
  expect(() => declarationOf(flightTicket, mistyped)).toThrow('issuers.airlines: the script has no such entry')
})

test.each<[string, (d: Declaration) => void, string]>([
  ['an unknown field', (d) => Object.assign(d, { owner: 1 }), 'declaration.owner: no such field'],
  ['another format', (d) => Object.assign(d, { format: 2 }), 'format: expected 1'],
  ['a type with capitals', (d) => Object.assign(d, { type: 'Flight' }), 'type: expected'],
  [
    'a checksummed address',
    (d) => Object.assign(d.issuers.airline!, { address: `0x${'AB'.repeat(20)}` }),
    'issuers.airline.address',
  ],
  [
    'a retention of no days',
    (d) => Object.assign(d.issuers.airline!, { retention: '0 days' }),
    'issuers.airline.retention',
  ],
  [
    'a retention in other words',
    (d) => Object.assign(d.issuers.airline!, { retention: 'for ever' }),
    'issuers.airline.retention: expected all, latest, or a number of days up to 3650 such as 30 days',
  ],
  [
    'a retention beyond ten years',
    (d) => Object.assign(d.issuers.airline!, { retention: '3651 days' }),
    'issuers.airline.retention',
  ],
  [
    'an input of nobody',
    (d) => Object.assign(d.inputs.status!, { issuer: 'train' }),
    'inputs.status.issuer: "train" is not declared',
  ],
  ['an input of Object', (d) => Object.assign(d.inputs.status!, { issuer: 'constructor' }), 'inputs.status.issuer'],
  [
    'an effect to another host',
    (d) => Object.assign(d.effects.rebookHotel!, { host: 'evil.example' }),
    'effects.rebookHotel.host',
  ],
  [
    'an answer attested without key',
    (d) => Object.assign(d.outside.hotel!, { signer: null }),
    'effects.rebookHotel.attestedBy',
  ],
  ['too many attempts', (d) => Object.assign(d.effects.rebookHotel!, { attempts: 11 }), 'effects.rebookHotel.attempts'],
  [
    'too long a call',
    (d) => Object.assign(d.effects.rebookHotel!, { timeoutMs: 60_000 }),
    'effects.rebookHotel.timeoutMs',
  ],
  ['too much gas', (d) => Object.assign(d.gas, { query: 20_000_001 }), 'gas.query'],
  [
    'a URL with a path',
    (d) => Object.assign(d.outside.hotel!, { url: 'https://hotel.example/x' }),
    'outside.hotel.url',
  ],
  [
    'a URL with a user',
    (d) => Object.assign(d.outside.hotel!, { url: 'https://a@hotel.example' }),
    'outside.hotel.url',
  ],
  [
    'a schema with a pattern',
    (d) => Object.assign(d, { state: { type: 'string', maxLength: 1, pattern: 'a' } }),
    'state: keyword pattern',
  ],
  ['a negative value at risk', (d) => Object.assign(d, { valueAtRisk: '-1' }), 'valueAtRisk'],
  ['an expiry that says two things', (d) => Object.assign(d, { expiry: { at: 1, ttlS: 1 } }), 'expiry: expected one'],
  ['an expiry at once', (d) => Object.assign(d, { expiry: { ttlS: 0 } }), 'expiry.ttlS'],
  ['an expiry by no member', (d) => Object.assign(d, { expiry: { state: '__proto__' } }), 'expiry.state'],
  ['a scope without verb', (d) => Object.assign(d.queries.status!, { scope: 'flight' }), 'queries.status.scope'],
  ['a secret twice', (d) => Object.assign(d, { secrets: ['A', 'A'] }), 'secrets: a name stands twice'],
])('%s is refused with its place', (_, change, message) => {
  const changed = structuredClone(declaration)
  change(changed)
  expect(() => parseDeclaration(changed as unknown as Json)).toThrow(message)
})

const papers = {
  contracts: { insurance: { address: `0x${'1a'.repeat(20)}` } },
  reads: {
    insurance: { from: ['insurance'], token: { state: 'papers.id' }, query: 'paper', args: null, optional: true },
  },
  messages: { told: { from: ['insurance'], schema: {} } },
  sends: { ask: { to: ['insurance'], schema: {} } },
}

test('a declaration says which tokens are read, and which messages are taken and sent', () => {
  const queries = { status: { ...declaration.queries.status!, reads: ['insurance'] } }
  const composed = { ...declaration, ...papers, queries } as unknown as Json
  expect(parseDeclaration(JSON.stringify(composed))).toEqual(composed)
})

test.each<[string, object, string]>([
  [
    'a read of no declared contract',
    { reads: { r: { ...papers.reads.insurance, from: ['other'] } } },
    'reads.r.from[0]',
  ],
  ['a read of nobody', { reads: { r: { ...papers.reads.insurance, from: [] } } }, 'reads.r.from'],
  [
    'a read of two tokens at once',
    { reads: { r: { ...papers.reads.insurance, token: { value: '1', state: 'a' } } } },
    'token',
  ],
  [
    'a path into the prototype',
    { reads: { r: { ...papers.reads.insurance, token: { state: '__proto__' } } } },
    'token.state',
  ],
  ['arguments without end', { reads: { r: { ...papers.reads.insurance, args: 'x'.repeat(5_000) } } }, 'reads.r.args'],
  ['a message from nobody', { messages: { told: { from: [], schema: {} } } }, 'messages.told.from'],
  ['a message to a stranger', { sends: { ask: { to: ['stranger'], schema: {} } } }, 'sends.ask.to[0]'],
  ['a contract without address', { contracts: { insurance: { address: null } } }, 'contracts.insurance.address'],
])('%s is refused with its place', (_, change, at) => {
  expect(() => parseDeclaration({ ...declaration, ...papers, ...change } as unknown as Json)).toThrow(at)
})

test.each(['all', 'latest', '1 day', '30 days'])('an author may have a stream keep %s', (retention) => {
  const definition = { ...flightTicket, issuers: { airline: { lane: 'flight-status', retention } } }
  expect(declarationOf(definition, bindings).issuers.airline).toMatchObject({ retention })
})

test('a retention that nobody can read is refused when the token is built', () => {
  const definition = { ...flightTicket, issuers: { airline: { lane: 'flight-status', retention: 'a month' } } }
  expect(() => declarationOf(definition, bindings)).toThrow('issuers.airline.retention: expected all, latest')
})

test('a declaration that says nothing of retention keeps everything', () => {
  const { retention: _, ...airline } = declaration.issuers.airline!
  const older = { ...declaration, issuers: { airline } } as unknown as Json
  expect(parseDeclaration(older).issuers.airline).toMatchObject({ retention: 'all' })
})

test('a query may be for everybody, an action never', () => {
  const forAll = { ...declaration, queries: { status: { ...declaration.queries.status!, scope: '' } } }
  expect(parseDeclaration(JSON.stringify(forAll)).queries.status?.scope).toBe('')
  const actions = { rename: { scope: '', args: null } }
  expect(() => parseDeclaration(JSON.stringify({ ...declaration, actions }))).toThrow('actions.rename.scope')
})

test('every missing field is missed', () => {
  const since = ['contracts', 'reads', 'messages', 'sends'] // left out by declarations that were written before tokens could read each other
  for (const field of Object.keys(declaration).filter((name) => !since.includes(name))) {
    const { [field as keyof Declaration]: _, ...rest } = declaration
    expect(() => parseDeclaration(rest as unknown as Json), field).toThrow(
      expect.objectContaining({ code: 'script.declaration_invalid' }),
    )
  }
})

test('no JSON makes the parser fail in another way', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(...Object.keys(declaration)), (value, field) => {
      try {
        parseDeclaration({ ...declaration, [field]: value } as unknown as Json)
      } catch (error) {
        expect(error).toHaveProperty('code', 'script.declaration_invalid')
      }
    }),
  )
})

test('text that is not JSON or too long is refused', () => {
  expect(() => parseDeclaration('{')).toThrow('not JSON')
  expect(() => parseDeclaration(' '.repeat(300_000))).toThrow('longer than')
})

test('hosts and origins are exact', () => {
  expect(['hotel.example', '127.0.0.1:4430', 'localhost'].every(isHost)).toBe(true)
  expect(['Hotel.example', 'a..b', '-a.b', 'a b', 'a:0', 'a:99999', 'a/b', 'a@b', ''].some(isHost)).toBe(false)
  expect(originOf('https://hotel.example')).toBe('https://hotel.example')
  expect(originOf('ftp://hotel.example')).toBeUndefined()
})

test('a request tells which secrets it uses', () => {
  const request = {
    method: 'POST',
    path: '/a?b=1',
    headers: { authorization: 'Bearer {{secret:HOTEL_KEY}}' },
    json: { n: 1 },
  }
  expect(parseOutsideRequest(request, declaration)).toEqual({ ...request, secrets: ['HOTEL_KEY'] })
})

test.each<[string, Json]>([
  ['another scheme in the path', { method: 'GET', path: 'https://evil.example/' }],
  ['a secret in the path', { method: 'GET', path: '/{{secret:HOTEL_KEY}}' }],
  ['a path upwards', { method: 'GET', path: '/a/../b' }],
  ['an encoded path upwards', { method: 'GET', path: '/a/%2E%2e/b' }],
  ['a fragment', { method: 'GET', path: '/a#b' }],
  ['a line break in a header', { method: 'GET', path: '/', headers: { a: 'b\r\nhost: evil' } }],
  ['a reserved header', { method: 'GET', path: '/', headers: { host: 'evil.example' } }],
  ['a header in capitals', { method: 'GET', path: '/', headers: { Host: 'evil.example' } }],
  ['a forged idempotency key', { method: 'GET', path: '/', headers: { 'idempotency-key': '1' } }],
  ['an undeclared secret', { method: 'POST', path: '/', json: { a: '{{secret:OTHER}}' } }],
  ['a GET with a body', { method: 'GET', path: '/', json: 1 }],
  ['another method', { method: 'CONNECT', path: '/' }],
  ['nothing', null],
])('a request with %s is refused', (_, request) => {
  expect(() => parseOutsideRequest(request, declaration)).toThrow(
    expect.objectContaining({ code: 'sandbox.output_invalid' }),
  )
})
