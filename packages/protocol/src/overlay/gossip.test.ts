import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { GOSSIP_LIMITS, Gossip, type Interest } from './gossip.ts'

const peer = (n: number): Address => `0x${n.toString(16).padStart(40, '0')}`
const id = (n: number): Bytes32 => `0x${n.toString(16).padStart(64, '0')}`
const STREAM = id(1)
const WHOLE: Interest = { stream: STREAM, subset: STREAM }
const FLIGHT: Interest = { stream: STREAM, subset: id(7) }
const OTHER: Interest = { stream: STREAM, subset: id(8) }
const half = () => 0.5

function gossipOf(followers: readonly (readonly [number, readonly Interest[]])[]): Gossip {
  const gossip = new Gossip()
  for (const [n, add] of followers) gossip.follow(peer(n), { fresh: true, eager: true, add, drop: [], now: 0 })
  return gossip
}

test('an entry goes to who follows its subset or the whole stream, once, and not back to who brought it', () => {
  const gossip = gossipOf([
    [1, [FLIGHT]],
    [2, [WHOLE]],
    [3, [OTHER]],
    [4, [FLIGHT, WHOLE]],
  ])
  expect(gossip.targets(FLIGHT, peer(1), half)).toEqual([peer(2), peer(4)])
  expect(gossip.targets(OTHER, undefined, half)).toEqual([peer(2), peer(4), peer(3)])
})

test('who only wants heads gets no entries, and is still known to follow', () => {
  const gossip = gossipOf([[1, [FLIGHT]]])
  gossip.follow(peer(2), { fresh: true, eager: false, add: [FLIGHT, OTHER], drop: [], now: 0 })
  expect(gossip.targets(FLIGHT, undefined, half)).toEqual([peer(1)])
  expect(gossip.followersOfAny(STREAM)).toEqual([peer(1), peer(2)])
  gossip.follow(peer(2), { fresh: false, eager: false, add: [], drop: [FLIGHT, OTHER], now: 0 })
  expect(gossip.followersOfAny(STREAM)).toEqual([peer(1)])
})

test('a fresh list replaces what was said before; changes add to it', () => {
  const gossip = gossipOf([[1, [FLIGHT, OTHER]]])
  gossip.follow(peer(1), { fresh: true, eager: true, add: [WHOLE], drop: [], now: 0 })
  expect(gossip.interestsOf(peer(1))).toEqual([WHOLE])
  gossip.follow(peer(1), { fresh: false, eager: true, add: [FLIGHT], drop: [WHOLE], now: 0 })
  expect(gossip.interestsOf(peer(1))).toEqual([FLIGHT])
  expect(gossip.countOf(peer(1))).toBe(1)
})

test('who is silent too long follows nothing any more', () => {
  const gossip = gossipOf([[1, [FLIGHT]]])
  gossip.follow(peer(2), { fresh: true, eager: true, add: [FLIGHT], drop: [], now: 50 })
  gossip.expire(20)
  expect(gossip.followersOf(FLIGHT)).toEqual([peer(2)])
})

test('a crowd is served by a few of its own, the more useful ones first, and introduced to each other', () => {
  const crowd = Array.from({ length: 40 }, (_, i) => [i + 1, [FLIGHT]] as const)
  const gossip = gossipOf(crowd)
  for (let i = 1; i <= 20; i++) gossip.blame(id(100 + i), peer(i))
  const targets = gossip.targets(FLIGHT, undefined, half)
  expect(targets).toHaveLength(GOSSIP_LIMITS.degree)
  expect(targets.every((target) => BigInt(target) > 20n)).toBe(true)
  const introduced = gossip.introductions(peer(3), FLIGHT, Math.random)
  expect(introduced).toHaveLength(GOSSIP_LIMITS.degree)
  expect(introduced).not.toContain(peer(3))
  expect(gossipOf([[1, [FLIGHT]]]).introductions(peer(1), FLIGHT, half)).toEqual([])
})

test('an entry is new once; bytes count for or against who brought it, and a wrong entry may come again', () => {
  const gossip = new Gossip()
  expect(gossip.see(id(5), peer(1), 100)).toBe(true)
  expect(gossip.see(id(5), peer(2), 100)).toBe(false)
  expect(gossip.scoreOf(peer(1))).toEqual({ useful: 100, duplicate: 0, invalid: 0 })
  expect(gossip.scoreOf(peer(2))).toEqual({ useful: 0, duplicate: 100, invalid: 0 })
  gossip.blame(id(5), peer(1))
  expect(gossip.scoreOf(peer(1)).invalid).toBe(1)
  expect(gossip.see(id(5), peer(3), 100)).toBe(true)
})

test('nothing grows beyond its limit, whatever peers say', () => {
  const limits = { degree: 2, direct: 3, seen: 10, peers: 4, interestsPerPeer: 5 }
  const step = fc.record({ from: fc.nat(12), fresh: fc.boolean(), topics: fc.array(fc.nat(30), { maxLength: 12 }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const gossip = new Gossip(limits)
      steps.forEach(({ from, fresh, topics }, now) => {
        const add = topics.map((n) => ({ stream: STREAM, subset: id(n) }))
        gossip.follow(peer(from), { fresh, eager: true, add, drop: add.slice(0, 2), now })
        for (const n of topics) gossip.see(id(n + now), peer(from), 1)
      })
      expect(gossip.peers.length).toBeLessThanOrEqual(limits.peers)
      for (const known of gossip.peers) expect(gossip.countOf(known)).toBeLessThanOrEqual(limits.interestsPerPeer)
      // The index by topic says the same as the peers' own lists.
      for (let n = 0; n <= 30; n++) {
        const interest = { stream: STREAM, subset: id(n) }
        const byPeer = gossip.peers.filter((known) => gossip.interestsOf(known).some(({ subset }) => subset === id(n)))
        expect([...gossip.exactFollowersOf(interest)].sort()).toEqual([...byPeer].sort())
      }
    }),
    { numRuns: 200 },
  )
})
