/** When an instance is due, by each way of saying so, and what its end leaves. */
import { describe, expect, test } from 'vitest'
import { applyEntry, genesisState, handlerCall, type InstanceState } from '../execution/instance.ts'
import type { TokenRules } from '../execution/rules.ts'
import type { CheckedInput, End, JournalInput } from '../journal/input.ts'
import type { Entry } from '../journal/messages.ts'
import { ZERO_32 } from '../primitives/bytes.ts'
import { nobleCrypto } from '../primitives/crypto.ts'
import { accepted } from '../primitives/verdict.ts'
import { dueTime, type Expiry, mayBeDue } from './expiry.ts'

const { keccak } = nobleCrypto
const NOTHING: CheckedInput = { uid: ZERO_32, content: ZERO_32, cursor: undefined }
const byExpiry: End = { by: 'expiry' }
const byOwner: End = {
  by: 'owner',
  retire: { instance: ZERO_32, incarnation: 0n, time: 1n },
  signature: `0x${'00'.repeat(65)}`,
}

function applied(state: InstanceState, input: JournalInput, { n, time }: { n: number; time: number }, expiry?: Expiry) {
  const entry = { n: BigInt(n), time: BigInt(time), incarnation: 0n } as Entry
  const rules = { inputs: {}, actions: {}, effects: {}, expiry } as unknown as TokenRules
  return applyEntry(state, { entry, input, checked: NOTHING }, undefined, { rules, keccak })
}
const start = () => ({ ...genesisState(ZERO_32, 0n), topics: [{ input: 'fact', subset: 'a' }] })

describe('an instance is due', () => {
  test.each<[string, Expiry | undefined, { data: unknown; since?: string }, bigint | undefined]>([
    ['never, where nothing is declared', undefined, { data: {} }, undefined],
    ['at a time', { by: 'time', at: 5n }, { data: {} }, 5n],
    ['at an age', { by: 'age', afterMs: 10n }, { data: {}, since: '7' }, 17n],
    ['not before it began', { by: 'age', afterMs: 10n }, { data: {} }, undefined],
    ['when its state says', { by: 'state', member: 'until' }, { data: { until: 9 } }, 9n],
    ['not while its state says nothing', { by: 'state', member: 'until' }, { data: {} }, undefined],
    ['not when its state says no time', { by: 'state', member: 'until' }, { data: { until: -1 } }, undefined],
    ['not by what every object has', { by: 'state', member: 'toString' }, { data: {} }, undefined],
  ])('%s', (_, expiry, state, due) => {
    expect(dueTime(state, expiry)).toBe(due)
  })
})

test('an anchor, which sees no state, refuses what is early whatever the state says', () => {
  expect(mayBeDue(undefined, 9n)).toMatchObject({ code: 'lifecycle.no_expiry' })
  expect(mayBeDue({ by: 'time', at: 10n }, 9n)).toMatchObject({ code: 'lifecycle.not_due' })
  expect(accepted(mayBeDue({ by: 'time', at: 10n }, 10n))).toBe(true)
  expect(accepted(mayBeDue({ by: 'age', afterMs: 10n }, 0n))).toBe(true)
})

describe('the end', () => {
  const age: Expiry = { by: 'age', afterMs: 10n }

  test('comes when it is due, not before, and nothing is followed any more', () => {
    const begun = applied(start(), { kind: 'term-start' }, { n: 1, time: 100 }, age)
    expect(begun.since).toBe('100')
    const early = applied(begun, { kind: 'lifecycle', end: byExpiry }, { n: 2, time: 109 }, age)
    expect(early).toMatchObject({ n: '2', refused: 'lifecycle.not_due', topics: begun.topics })
    expect(early.ended).toBeUndefined()
    const ended = applied(early, { kind: 'lifecycle', end: byExpiry }, { n: 3, time: 110 }, age)
    expect(ended).toMatchObject({ n: '3', refused: '', topics: [], ended: { reason: 'expired', time: '110' } })
  })

  test('is the last thing that happens: what comes after it changes nothing but n', () => {
    const ended = applied(start(), { kind: 'lifecycle', end: byOwner }, { n: 1, time: 5 })
    expect(ended.ended).toEqual({ reason: 'retired', time: '5' })
    const later = applied(ended, { kind: 'lifecycle', end: byOwner }, { n: 2, time: 6 })
    expect(later).toEqual({ ...ended, n: '2', refused: 'lifecycle.retired' })
    const entry = { n: 2n, time: 6n, incarnation: 0n } as Entry
    const action = { kind: 'action', action: { name: 'a' }, args: 'null' } as unknown as JournalInput
    const rules = {} as TokenRules
    expect(handlerCall(ended, { entry, input: action, checked: NOTHING }, { rules, keccak })).toBeUndefined()
  })

  test('is for one incarnation: an order from before a restore counts no more', () => {
    const old: End = { ...byOwner, retire: { instance: ZERO_32, incarnation: 3n, time: 1n } }
    expect(applied(start(), { kind: 'lifecycle', end: old }, { n: 1, time: 5 })).toMatchObject({
      refused: 'restore.incarnation',
    })
  })
})
