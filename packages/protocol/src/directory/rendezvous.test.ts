import fc from 'fast-check'
import { expect, it } from 'vitest'
import { keccakText, nobleCrypto } from '../primitives/crypto.ts'
import type { Member } from './membership.ts'
import { STAKE_WEIGHT } from './parameters.ts'
import {
  byAddress,
  contendersOf,
  precedes,
  rankInto,
  rendezvousOrder,
  saltKeyOf,
  saltOf,
  ticketOf,
  WEIGHT_LIMIT,
  weightOf,
} from './rendezvous.ts'
import { idNumber, memberNumber, membersUpTo } from './testing.ts'

const { keccak } = nobleCrypto
const draws = fc.integer({ min: 0, max: 2 ** 32 - 1 })

function firsts(members: readonly Member[], count: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (let n = 0; n < count; n++) {
    const { node } = rendezvousOrder(members, idNumber(n), keccak)[0]!
    counts.set(node, (counts.get(node) ?? 0) + 1)
  }
  return counts
}

it('never changes its order: golden values that every machine must reproduce', () => {
  const members = Array.from({ length: 7 }, (_, n) => memberNumber(n, n + 1))
  const orders = ['home', 'placement'].map((purpose) => {
    const salt = saltOf(purpose, keccakText(keccak, 'beacon'), keccakText(keccak, 'subject'), keccak)
    return rendezvousOrder(members, salt, keccak).map(({ node }) => members.findIndex((m) => m.node === node))
  })
  expect(orders.map((order) => order.join(' '))).toMatchInlineSnapshot(`
    [
      "6 3 1 4 5 2 0",
      "5 2 3 6 1 4 0",
    ]
  `)
})

it('has tickets that are the logarithm to within four units of 2^-26, and never grow with the draw', () => {
  fc.assert(
    fc.property(draws, draws, (a, b) => {
      expect(Math.abs(ticketOf(a) - (32 - Math.log2(Math.max(1, a))) * 2 ** 26)).toBeLessThan(4)
      expect(ticketOf(Math.max(a, b))).toBeLessThanOrEqual(ticketOf(Math.min(a, b)))
    }),
    { numRuns: 2_000 },
  )
})

it('keeps every product of ticket and weight exact', () => {
  expect([ticketOf(2 ** 32 - 1), ticketOf(1), ticketOf(0)]).toEqual([1, 2 ** 31, 2 ** 31])
  expect(Number.isSafeInteger(2 ** 31 * WEIGHT_LIMIT)).toBe(true)
  expect(STAKE_WEIGHT.cap).toBeLessThanOrEqual(WEIGHT_LIMIT)
})

it('weighs a stake by whole units, at least 1 and at most the cap', () => {
  const rule = { unit: 10n, cap: 5 }
  expect([0n, 9n, 10n, 39n, 50n, 10n ** 40n].map((stake) => weightOf(stake, rule))).toEqual([1, 1, 1, 3, 5, 5])
})

it('gives a tie to the lower address', () => {
  const twice = contendersOf([memberNumber(1), memberNumber(1)], STAKE_WEIGHT, keccak)
  const key = saltKeyOf(idNumber(1))
  const seats = new Uint32Array(2)
  rankInto(seats, twice, key)
  expect([...seats]).toEqual([0, 1])
  expect([precedes(twice, 0, 1, key), precedes(twice, 1, 0, key)]).toEqual([true, false])
})

it('fills any number of seats with the first of the whole order, and compares as it ranks', () => {
  const members = byAddress(membersUpTo(40))
  const contenders = contendersOf(members, STAKE_WEIGHT, keccak)
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 0, max: 40 }), (n, count) => {
      const key = saltKeyOf(idNumber(n))
      const whole = new Uint32Array(40)
      const seats = new Uint32Array(count)
      rankInto(whole, contenders, key)
      rankInto(seats, contenders, key)
      expect(seats).toEqual(whole.subarray(0, count))
      for (let i = 1; i < 40; i++) expect(precedes(contenders, whole[i - 1]!, whole[i]!, key)).toBe(true)
    }),
    { numRuns: 50 },
  )
})

it('does not depend on the order in which members are listed', () => {
  const members = membersUpTo(20)
  expect(rendezvousOrder(members.toReversed(), idNumber(1), keccak)).toEqual(
    rendezvousOrder(members, idNumber(1), keccak),
  )
})

it('keeps the order of all others when one member leaves', () => {
  const members = membersUpTo(20)
  const gone = members[7]!
  const before = rendezvousOrder(members, idNumber(1), keccak).filter((m) => m !== gone)
  const remaining = members.filter((m) => m !== gone)
  expect(rendezvousOrder(remaining, idNumber(1), keccak)).toEqual(before)
})

it('gives equal members equal shares, and double stake a double share', () => {
  const members = [memberNumber(1, 10), memberNumber(2, 10), memberNumber(3, 20)]
  const counts = firsts(members, 3_000)
  const [one, two, double] = members.map(({ node }) => counts.get(node) ?? 0) as [number, number, number]
  // Expected 750, 750 and 1500; four standard deviations are about 95 and 110.
  for (const single of [one, two]) expect(Math.abs(single - 750)).toBeLessThan(95)
  expect(Math.abs(double - 1_500)).toBeLessThan(110)
})
