/** What widens a script, and what does not. */
import { describe, expect, test } from 'vitest'
import { type Declared, isWidening, wideningOf } from './widening.ts'

const text = { type: 'string' }
const BASE: Declared = {
  issuers: { airline: { address: '0xa1', lane: 'flights' } },
  outside: { hotel: { host: 'hotel.example', url: 'https://hotel.example' } },
  effects: { rebook: { host: 'hotel.example', payload: text } },
  inputs: { status: { issuer: 'airline', schema: text } },
  queries: {
    delay: { scope: 'flight:read', args: null, returns: text },
    open: { scope: '', args: null, returns: text },
  },
  actions: { cancel: { scope: 'flight:write', args: null } },
  secrets: ['HOTEL_KEY'],
  valueAtRisk: '100',
}

describe('wider is', () => {
  test.each<[string, Partial<Declared>, readonly string[], readonly string[]]>([
    ['another issuer', { issuers: { ...BASE.issuers, gate: { address: '0xa1', lane: 'gates' } } }, ['issuer gate'], []],
    [
      'an issuer with another key',
      { issuers: { airline: { address: '0xb2', lane: 'flights' } } },
      ['issuer airline'],
      [],
    ],
    [
      'another host',
      { outside: { ...BASE.outside, x: { host: 'x.example', url: 'https://x.example' } } },
      ['host x'],
      [],
    ],
    ['a host elsewhere', { outside: { hotel: { host: 'hotel.example', url: 'http://evil' } } }, ['host hotel'], []],
    [
      'another effect',
      { effects: { ...BASE.effects, pay: { host: 'hotel.example', payload: {} } } },
      ['effect pay'],
      [],
    ],
    [
      'an effect that says more',
      { effects: { rebook: { host: 'hotel.example', payload: {} } } },
      ['effect rebook'],
      [],
    ],
    ['another input', { inputs: { ...BASE.inputs, gate: { issuer: 'airline', schema: {} } } }, ['input gate'], []],
    [
      'a scope that tells more',
      { queries: { ...BASE.queries, delay: { scope: 'flight:read', args: null, returns: {} } } },
      ['query delay', 'scope flight:read'],
      ['flight:read'],
    ],
    [
      'a scope under which more is done',
      { actions: { ...BASE.actions, refund: { scope: 'flight:write', args: text } } },
      ['action refund', 'scope flight:write'],
      ['flight:write'],
    ],
    [
      'a scope of its own',
      { actions: { ...BASE.actions, sell: { scope: 'ticket:write', args: null } } },
      ['action sell'],
      [],
    ],
    [
      'a query that everybody may ask now',
      { queries: { ...BASE.queries, delay: { scope: '', args: null, returns: { type: 'null' } } } },
      ['query delay'],
      [],
    ],
    ['another secret', { secrets: ['HOTEL_KEY', 'BANK_KEY'] }, ['secret BANK_KEY'], []],
    ['more at risk', { valueAtRisk: '101' }, ['value at risk'], []],
  ])('%s', (_, change, reasons, scopes) => {
    expect(wideningOf(BASE, { ...BASE, ...change })).toEqual({ reasons, scopes })
  })
})

describe('not wider is', () => {
  test.each<[string, Partial<Declared>]>([
    ['the same', {}],
    [
      'less of everything',
      { issuers: {}, outside: {}, effects: {}, inputs: {}, queries: {}, actions: {}, secrets: [] },
    ],
    ['an issuer under another name', { issuers: { carrier: { address: '0xa1', lane: 'flights' } } }],
    ['less at risk', { valueAtRisk: '99' }],
  ])('%s', (_, change) => {
    expect(isWidening(BASE, { ...BASE, ...change })).toBe(false)
  })
})

test('the way back over a version that took something away is a wider one', () => {
  const narrower = { ...BASE, effects: {} }
  expect(isWidening(BASE, narrower)).toBe(false)
  expect(wideningOf(narrower, BASE).reasons).toEqual(['effect rebook'])
})
