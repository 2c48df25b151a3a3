import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Member } from '../directory/membership.ts'
import { type Address, type Bytes32, ZERO_32 } from '../primitives/bytes.ts'
import { chooseReplicas, type Fitness } from './replicas.ts'

const id = (n: number): Bytes32 => `0x${n.toString(16).padStart(64, '0')}`
const node = (n: number): Address => `0x${n.toString(16).padStart(40, '0')}`
const member = (n: number, operator = n, platform = n): Member => ({
  node: node(n),
  role: 'service',
  transportKey: ZERO_32,
  overlay: '',
  api: '',
  operator: id(operator),
  platform: id(platform),
  stake: 1n,
})
const order = [1, 2, 3, 4, 5].map((n) => member(n))
const fit =
  (others: Readonly<Record<number, Fitness>> = {}) =>
  (address: Address): Fitness =>
    others[Number(address)] ?? 'eligible'
const nodes = (...numbers: readonly number[]) => numbers.map(node)

test('the first of the order that may be taken, the first of them as executor', () => {
  expect(chooseReplicas(order, { count: 3, state: fit({ 1: 'gone', 3: 'reluctant' }) })).toEqual(nodes(2, 4, 5))
})

test('those with warm state stay, in their order, and the gap is filled', () => {
  const warm = nodes(4, 2, 5)
  expect(chooseReplicas(order, { count: 3, state: fit(), warm })).toEqual(warm)
  expect(chooseReplicas(order, { count: 3, state: fit({ 4: 'gone' }), warm })).toEqual(nodes(2, 5, 1))
  expect(chooseReplicas(order, { count: 2, state: fit(), warm })).toEqual(nodes(4, 2))
})

test('weak ones come after the others, but are not moved for it', () => {
  expect(chooseReplicas(order, { count: 3, state: fit({ 1: 'weak' }) })).toEqual(nodes(2, 3, 4))
  expect(chooseReplicas(order, { count: 3, state: fit({ 1: 'weak' }), warm: nodes(1) })).toEqual(nodes(1, 2, 3))
  expect(chooseReplicas(order.slice(0, 2), { count: 3, state: fit({ 1: 'weak' }) })).toEqual(nodes(2, 1))
})

test('reluctant ones are taken only when there is nobody else: slow is better than nowhere', () => {
  expect(chooseReplicas(order, { count: 3, state: () => 'reluctant', warm: nodes(3) })).toEqual(nodes(3, 1, 2))
  expect(chooseReplicas(order, { count: 3, state: fit({ 1: 'reluctant', 2: 'gone', 3: 'gone', 4: 'gone' }) })).toEqual(
    nodes(5),
  )
  expect(chooseReplicas(order, { count: 3, state: () => 'gone' })).toEqual([])
})

describe('spread', () => {
  test('another operator goes before another platform', () => {
    const members = [member(1, 1, 1), member(2, 1, 2), member(3, 2, 1), member(4, 1, 3), member(5, 3, 3)]
    expect(chooseReplicas(members, { count: 3, state: fit() })).toEqual(nodes(1, 5, 3))
  })

  test('where all are alike the order alone decides', () => {
    const alike = order.map((each) => ({ ...each, operator: id(9), platform: id(9) }))
    expect(chooseReplicas(alike, { count: 3, state: fit() })).toEqual(nodes(1, 2, 3))
  })

  test('no operator is taken twice while another one is eligible', () => {
    const members = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 6 })), {
      selector: ([n]) => n,
      minLength: 1,
      maxLength: 20,
    })
    fc.assert(
      fc.property(members, fc.integer({ min: 1, max: 7 }), (given, count) => {
        const all = given.map(([n, operator]) => member(n, operator, 1))
        const chosen = chooseReplicas(all, { count, state: fit() })
        const operators = chosen.map((address) => all.find((each) => each.node === address)!.operator)
        expect(chosen).toHaveLength(Math.min(count, all.length))
        expect(new Set(chosen).size).toBe(chosen.length)
        expect(new Set(operators).size).toBe(Math.min(count, new Set(all.map(({ operator }) => operator)).size))
      }),
    )
  })
})
