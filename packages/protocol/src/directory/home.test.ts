import { expect, it } from 'vitest'
import { nobleCrypto } from '../primitives/crypto.ts'
import { homeOfShard, proposerOf } from './home.ts'
import { epochOfTerm, firstTermOf } from './terms.ts'
import { memberNumber, membersUpTo, viewAt } from './testing.ts'

const { keccak } = nobleCrypto
const PARAMETERS = { rotation: 5, homeSize: 4, shardCount: 16 }

it('is m anchors with a quorum of 2f + 1, or all anchors while there are fewer', () => {
  const seven = { ...PARAMETERS, homeSize: 7 }
  expect(homeOfShard(3, viewAt(1, membersUpTo(20), seven), keccak)).toMatchObject({ anchors: { length: 7 }, quorum: 5 })
  expect(homeOfShard(3, viewAt(1, membersUpTo(4), seven), keccak)).toMatchObject({ anchors: { length: 4 }, quorum: 3 })
})

it('holds no service node, whatever it staked', () => {
  const service = memberNumber(99, 16_000, 'service')
  const view = viewAt(1, [...membersUpTo(9), service], PARAMETERS)
  for (let shard = 0; shard < 16; shard++) {
    expect(homeOfShard(shard, view, keccak).anchors).not.toContain(service.node)
  }
})

it('has terms that name their home epoch, above all of earlier homes, and proposers that take turns', () => {
  const home = homeOfShard(3, viewAt(1, membersUpTo(9), PARAMETERS), keccak)
  const first = firstTermOf(7n)
  expect([epochOfTerm(first - 1n), epochOfTerm(first), epochOfTerm(first + 2n ** 32n - 1n)]).toEqual([6n, 7n, 7n])
  const proposers = [0n, 1n, 2n, 3n].map((turn) => proposerOf(home, first + turn))
  expect(new Set(proposers)).toEqual(new Set(home.anchors))
})
