import fc from 'fast-check'
import { expect, it } from 'vitest'
import { nobleCrypto } from '../primitives/crypto.ts'
import { homeUnder } from './home.ts'
import { homesOver } from './homes.ts'
import type { Member, Membership } from './membership.ts'
import { memberNumber, membershipAt, membersUpTo } from './testing.ts'

const { keccak } = nobleCrypto
const ROTATION = 5
const PARAMETERS = { rotation: ROTATION, homeSize: 4, shardCount: 16 }

const inEpoch = (epoch: number, members: readonly Member[]) => membershipAt(epoch, members, PARAMETERS)
/** The home epoch of a shard once the last of these memberships is in force. */
const epochOf = (shard: number, memberships: readonly Membership[]) =>
  homesOver(memberships, keccak).history(shard)[0].epoch

it('stays of one epoch while nothing changes, and begins anew when the shard is drawn again', () => {
  const all = Array.from({ length: 12 }, (_, i) => inEpoch(i + 1, membersUpTo(9)))
  const epochs = all.map((_, i) => epochOf(3, all.slice(0, i + 1)))
  expect(epochs).toEqual([1n, 1n, 3n, 3n, 3n, 3n, 3n, 8n, 8n, 8n, 8n, 8n])
  expect(
    homesOver(all, keccak)
      .history(3)
      .map(({ epoch }) => epoch),
  ).toEqual([8n, 3n, 1n])
})

it('begins anew on a draw even when it comes to the same anchors', () => {
  const alone = Array.from({ length: 4 }, (_, i) => inEpoch(i + 1, [memberNumber(1)]))
  expect(homeUnder(3, alone[2]!, keccak)).toEqual(homeUnder(3, alone[1]!, keccak))
  expect(epochOf(3, alone)).toBe(3n)
})

it('begins anew when an anchor joins or leaves the home, not when one does elsewhere', () => {
  const members = membersUpTo(9)
  const home = homeUnder(3, inEpoch(4, members), keccak)
  const without = (wanted: boolean) =>
    members.filter((member, _, all) => member !== all.find(({ node }) => home.anchors.includes(node) === wanted))
  const before = [3, 4].map((epoch) => inEpoch(epoch, members))
  expect(epochOf(3, [...before, inEpoch(5, without(true))])).toBe(5n)
  expect(epochOf(3, [...before, inEpoch(5, without(false))])).toBe(3n)
})

it('is the earliest epoch that an independent search finds, over any history of members', () => {
  const history = fc.array(fc.uniqueArray(fc.nat(7), { minLength: 3, maxLength: 8 }), { minLength: 1, maxLength: 9 })
  fc.assert(
    fc.property(history, fc.nat(15), (epochs, shard) => {
      const all = epochs.map((numbers, i) =>
        inEpoch(
          i + 1,
          numbers.map((n) => memberNumber(n)),
        ),
      )
      const texts = all.map((membership) => homeUnder(shard, membership, keccak).anchors.join())
      let since = all.length
      const isTurn = (epoch: number) => epoch % ROTATION === shard % ROTATION
      while (since > 1 && !isTurn(since) && texts[since - 2] === texts[all.length - 1]) since--
      expect(epochOf(shard, all)).toBe(BigInt(since))
    }),
    { numRuns: 60 },
  )
})

it('finds a set by the home epoch that it stands since, and by no other', () => {
  const all = Array.from({ length: 12 }, (_, i) => inEpoch(i + 1, membersUpTo(9)))
  const homes = homesOver(all, keccak)
  const subject = memberNumber(1).transportKey
  const shard = homes.shardOf(subject)
  const sets = homes.history(shard)
  for (let epoch = 1n; epoch <= 13n; epoch++) {
    expect(homes.at(subject, epoch)).toEqual(sets.find((set) => set.epoch === epoch))
  }
  expect(homes.of(subject)).toEqual(sets[0])
})
