import { expect, test } from 'vitest'
import type { Fitness } from '../election/replicas.ts'
import { type Address, ZERO_ADDRESS } from '../primitives/bytes.ts'
import type { ReplaceReason } from './messages.ts'
import { flawOf } from './replace.ts'

const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((letter): Address => `0x${letter.repeat(40)}`) as [
  Address,
  Address,
  Address,
  Address,
]
type Against = Partial<Record<Address, Exclude<ReplaceReason, 'few'>>>

function flaw(replicas: readonly Address[], against: Against = {}, spare: Fitness = 'eligible') {
  return flawOf(
    { executor: a, replicas },
    { count: 3, nodes: [a, b, c, d], fitness: (node) => (node === d ? spare : 'eligible'), against: (n) => against[n] },
  )
}

test('a placement that is as wanted has no flaw', () => {
  expect(flaw([a, b, c])).toBeUndefined()
})

test.each(['gone', 'draining', 'penalised'] as const)('a replica that is %s is replaced', (reason) => {
  expect(flaw([a, b, c], { [c]: reason })).toEqual({ node: c, reason })
})

test('a drained executor is replaced too; one that is gone loses its lease by itself', () => {
  expect(flaw([a, b, c], { [a]: 'draining' })).toEqual({ node: a, reason: 'draining' })
  expect(flaw([a, b, c], { [a]: 'gone' })).toBeUndefined()
})

test('a placement with fewer replicas than wanted is widened', () => {
  expect(flaw([a, b])).toEqual({ node: ZERO_ADDRESS, reason: 'few' })
})

test.each(['reluctant', 'gone'] as const)('nothing is moved while the only other node is %s', (spare) => {
  expect(flaw([a, b, c], { [b]: 'draining' }, spare)).toBeUndefined()
})
