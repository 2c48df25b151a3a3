import fc from 'fast-check'
import { expect, it } from 'vitest'
import { nobleCrypto } from '../primitives/crypto.ts'
import { homeEpochOf, homeOfShard, proposerOf } from './home.ts'
import { epochOfTerm, firstTermOf } from './terms.ts'
import { memberNumber, membersUpTo, viewAt } from './testing.ts'

const { keccak } = nobleCrypto
const ROTATION = 5
const PARAMETERS = { rotation: ROTATION, homeSize: 4, shardCount: 16 }

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

it('stays of one epoch while nothing changes, and begins anew when the shard is drawn again', () => {
  const views = Array.from({ length: 12 }, (_, i) => viewAt(i + 1, membersUpTo(9), PARAMETERS))
  const epochs = views.map((_, i) => homeEpochOf(3, views.slice(0, i + 1), keccak))
  expect(epochs).toEqual([1n, 1n, 3n, 3n, 3n, 3n, 3n, 8n, 8n, 8n, 8n, 8n])
})

it('begins anew on a draw even when it comes to the same anchors', () => {
  const alone = Array.from({ length: 4 }, (_, i) => viewAt(i + 1, [memberNumber(1)], PARAMETERS))
  expect(homeOfShard(3, alone[2]!, keccak)).toEqual(homeOfShard(3, alone[1]!, keccak))
  expect(homeEpochOf(3, alone, keccak)).toBe(3n)
})

it('begins anew when an anchor joins or leaves the home, not when one does elsewhere', () => {
  const members = membersUpTo(9)
  const home = homeOfShard(3, viewAt(4, members, PARAMETERS), keccak)
  const without = (wanted: boolean) =>
    members.filter((member, _, all) => member !== all.find(({ node }) => home.anchors.includes(node) === wanted))
  const before = [3, 4].map((epoch) => viewAt(epoch, members, PARAMETERS))
  expect(homeEpochOf(3, [...before, viewAt(5, without(true), PARAMETERS)], keccak)).toBe(5n)
  expect(homeEpochOf(3, [...before, viewAt(5, without(false), PARAMETERS)], keccak)).toBe(3n)
})

it('is the earliest epoch that an independent search finds, over any history of members', () => {
  const history = fc.array(fc.uniqueArray(fc.nat(7), { minLength: 3, maxLength: 8 }), { minLength: 1, maxLength: 9 })
  fc.assert(
    fc.property(history, fc.nat(15), (epochs, shard) => {
      const views = epochs.map((numbers, i) =>
        viewAt(
          i + 1,
          numbers.map((n) => memberNumber(n)),
          PARAMETERS,
        ),
      )
      const texts = views.map((view) => homeOfShard(shard, view, keccak).anchors.join())
      let since = views.length
      const isTurn = (epoch: number) => epoch % ROTATION === shard % ROTATION
      while (since > 1 && !isTurn(since) && texts[since - 2] === texts[views.length - 1]) since--
      expect(homeEpochOf(shard, views, keccak)).toBe(BigInt(since))
    }),
    { numRuns: 60 },
  )
})

it('asks for the views it needs instead of guessing', () => {
  const views = [viewAt(4, membersUpTo(9), PARAMETERS), viewAt(5, membersUpTo(9), PARAMETERS)]
  expect(() => homeEpochOf(3, views, keccak)).toThrow(
    expect.objectContaining({ code: 'directory.view_missing', facts: { epoch: 3n } }),
  )
})

it('has terms that name their home epoch, above all of earlier homes, and proposers that take turns', () => {
  const home = homeOfShard(3, viewAt(1, membersUpTo(9), PARAMETERS), keccak)
  const first = firstTermOf(7n)
  expect([epochOfTerm(first - 1n), epochOfTerm(first), epochOfTerm(first + 2n ** 32n - 1n)]).toEqual([6n, 7n, 7n])
  const proposers = [0n, 1n, 2n, 3n].map((turn) => proposerOf(home, first + turn))
  expect(new Set(proposers)).toEqual(new Set(home.anchors))
})
