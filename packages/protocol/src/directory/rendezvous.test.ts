import { expect, it } from 'vitest'
import { toHex, uintWord } from '../primitives/bytes.ts'
import { keccakText, nobleCrypto } from '../primitives/crypto.ts'
import type { Member } from './membership.ts'
import { rendezvousOrder, saltOf } from './rendezvous.ts'

const { keccak } = nobleCrypto
const ZERO = toHex(uintWord(0n))

function member(n: number, stake: bigint): Member {
  const node = toHex(keccak(uintWord(BigInt(n))).subarray(12))
  return { node, role: 'anchor', transportKey: ZERO, overlay: '', api: '', operator: ZERO, platform: ZERO, stake }
}

function firsts(members: readonly Member[], draws: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (let n = 0; n < draws; n++) {
    const { node } = rendezvousOrder(members, keccakText(keccak, `draw ${n}`), keccak)[0]!
    counts.set(node, (counts.get(node) ?? 0) + 1)
  }
  return counts
}

it('never changes its order: golden values that every machine must reproduce', () => {
  const members = Array.from({ length: 7 }, (_, n) => member(n, BigInt(n + 1)))
  const beacon = keccakText(keccak, 'beacon')
  const orders = ['home', 'placement'].map((purpose) => {
    const salt = saltOf(purpose, beacon, keccakText(keccak, 'subject'), keccak)
    return rendezvousOrder(members, salt, keccak).map(({ node }) => members.findIndex((m) => m.node === node))
  })
  expect(orders).toMatchInlineSnapshot(`
    [
      [
        4,
        6,
        2,
        5,
        3,
        1,
        0,
      ],
      [
        3,
        5,
        4,
        6,
        1,
        2,
        0,
      ],
    ]
  `)
})

it('does not depend on the order in which members are listed', () => {
  const members = Array.from({ length: 20 }, (_, n) => member(n, BigInt(1 + (n % 3))))
  const salt = keccakText(keccak, 'salt')
  expect(rendezvousOrder(members.toReversed(), salt, keccak)).toEqual(rendezvousOrder(members, salt, keccak))
})

it('keeps the order of all others when one member leaves', () => {
  const members = Array.from({ length: 20 }, (_, n) => member(n, 5n))
  const salt = keccakText(keccak, 'salt')
  const gone = members[7]!
  const before = rendezvousOrder(members, salt, keccak).filter((m) => m !== gone)
  const remaining = members.filter((m) => m !== gone)
  expect(rendezvousOrder(remaining, salt, keccak)).toEqual(before)
})

it('gives equal members equal shares, and double stake a double share', () => {
  const members = [member(1, 1n), member(2, 1n), member(3, 2n)]
  const counts = firsts(members, 3_000)
  const [one, two, double] = members.map(({ node }) => counts.get(node) ?? 0) as [number, number, number]
  // Expected 750, 750 and 1500; four standard deviations are about 95 and 110.
  for (const single of [one, two]) expect(Math.abs(single - 750)).toBeLessThan(95)
  expect(Math.abs(double - 1_500)).toBeLessThan(110)
})
