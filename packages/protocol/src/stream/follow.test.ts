import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { Follower } from './follow.ts'

const STREAM: Bytes32 = `0x${'01'.repeat(32)}`
const TOPIC = { stream: STREAM, subset: STREAM }
const ANCHOR: Address = `0x${'aa'.repeat(20)}`
const half = () => 0.5

function followerAt(after: bigint, limit = 8): Follower<bigint> {
  const follower = new Follower<bigint>(limit)
  follower.follow(TOPIC, after, 0)
  follower.asks(0, half) // the first one, for whatever was missed before
  return follower
}

const arrive = (follower: Follower<bigint>, place: bigint, now = 0) =>
  follower.take(TOPIC, { place, value: place, from: ANCHOR, now, draw: half })

test('a new topic is asked for at once, from where the cursor stands', () => {
  const follower = new Follower<bigint>(8)
  follower.follow(TOPIC, 5n, 0)
  expect(follower.asks(0, half)).toMatchObject([{ after: 5n, wide: true }])
  expect(follower.asks(60_000, half)).toEqual([])
})

test('entries are handed out in order whatever their order of arrival', () => {
  const follower = followerAt(0n)
  expect(['3', '1', '1', '2'].map((n) => arrive(follower, BigInt(n)))).toEqual(['ahead', 'next', 'known', 'ahead'])
  expect(follower.next(TOPIC, 0n)).toBe(1n)
  follower.follow(TOPIC, 3n, 0)
  expect(follower.next(TOPIC, 3n)).toBe(undefined)
  expect(arrive(follower, 2n)).toBe('known')
})

test('a hole is asked for after a moment, first of who showed it, then more widely and more slowly', () => {
  const follower = followerAt(0n)
  arrive(follower, 2n, 1_000)
  expect(follower.asks(1_040, half)).toEqual([])
  expect(follower.asks(1_150, half)).toMatchObject([{ after: 0n, from: ANCHOR, wide: false }])
  expect(follower.asks(1_200, half)).toEqual([])
  expect(follower.asks(1_400, half)).toMatchObject([{ wide: true }])
  const times: number[] = []
  for (let now = 1_401; now < 8_000; now += 10) if (follower.asks(now, half).length > 0) times.push(now)
  const waits = times.slice(1).map((time, i) => time - times[i]!)
  expect(Math.max(...waits)).toBeLessThanOrEqual(870)
  arrive(follower, 1n, 8_000)
  expect(follower.asks(20_000, half)).toEqual([])
})

test('heads show what was lost at the end, where no later entry would', () => {
  const follower = followerAt(4n)
  follower.hear(TOPIC, { place: 6n, from: ANCHOR, now: 0, draw: half })
  expect(follower.asks(200, half)).toMatchObject([{ after: 4n }])
  follower.hear(TOPIC, { place: 4n, from: ANCHOR, now: 0, draw: half })
  expect(follower.views()).toMatchObject([{ known: 6n, asking: true }])
})

test('what lies too far ahead stays with its holder until there is room', () => {
  const follower = followerAt(0n, 2)
  expect(['1', '2', '3'].map((n) => arrive(follower, BigInt(n)))).toEqual(['next', 'ahead', 'beyond'])
  expect(follower.asks(10_000, half)).toEqual([])
  follower.follow(TOPIC, 2n, 10_000)
  expect(follower.asks(20_000, half)).toMatchObject([{ after: 2n }])
})

test('an entry that did not hold is asked of others at once', () => {
  const follower = followerAt(0n)
  arrive(follower, 1n)
  follower.discard(TOPIC, 1n, 50)
  expect(follower.asks(50, half)).toMatchObject([{ after: 0n, from: undefined, wide: true }])
})

test('with any arrivals, losses and repetitions nothing is skipped, repeated or reordered, and every hole is asked for', () => {
  const event = fc.oneof(
    fc.record({ do: fc.constant('arrive' as const), place: fc.bigInt(1n, 40n) }),
    fc.record({ do: fc.constant('hear' as const), place: fc.bigInt(0n, 40n) }),
    fc.record({ do: fc.constant('drain' as const), place: fc.constant(0n) }),
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 120 }), (events) => {
      const follower = followerAt(0n)
      let [cursor, now, known] = [0n, 0, 0n]
      const taken: bigint[] = []
      const drain = () => {
        for (let next = follower.next(TOPIC, cursor); next !== undefined; next = follower.next(TOPIC, cursor)) {
          taken.push(next)
          follower.follow(TOPIC, ++cursor, now)
        }
      }
      for (const { do: what, place } of events) {
        now += 10
        if (what === 'arrive') arrive(follower, place, now)
        if (what === 'hear') follower.hear(TOPIC, { place, from: ANCHOR, now, draw: half })
        if (what === 'drain') drain()
        if (what !== 'drain' && place > known) known = place
        expect(follower.views()[0]!.waiting).toBeLessThanOrEqual(8)
      }
      // From here on every ask is answered.
      for (let i = 0; i < 400 && cursor < known; i++) {
        now += 50
        for (const { after } of follower.asks(now, half)) {
          for (let place = after + 1n; place <= known && place <= after + 3n; place++) arrive(follower, place, now)
          follower.answered(TOPIC, now)
        }
        drain()
      }
      expect(cursor).toBe(known)
      expect(taken).toEqual(Array.from({ length: Number(known) }, (_, i) => BigInt(i + 1)))
    }),
    { numRuns: 300 },
  )
})

test('a reader that is behind keeps what it needs, though another one took it long ago', () => {
  const follower = new Follower<bigint>(8)
  for (const reader of ['quick', 'slow']) follower.follow(TOPIC, 0n, 0, reader)
  for (const place of [1n, 2n, 3n]) arrive(follower, place)
  for (const place of [1n, 2n, 3n]) follower.follow(TOPIC, place, 1, 'quick')
  expect(follower.next(TOPIC, 3n, 'quick')).toBe(undefined)
  expect(follower.next(TOPIC, 0n, 'slow')).toBe(1n)
  expect(follower.views()).toMatchObject([{ after: 0n, known: 3n, waiting: 3 }])
})

test('a reader that does not move holds up no other one, and its own window is all that it keeps', () => {
  const follower = new Follower<bigint>(8)
  for (const reader of ['quick', 'stuck']) follower.follow(TOPIC, 0n, 0, reader)
  for (let place = 1n; place <= 40n; place++) {
    arrive(follower, place)
    expect(follower.next(TOPIC, place - 1n, 'quick')).toBe(place)
    follower.follow(TOPIC, place, 1, 'quick')
  }
  expect(follower.views()).toMatchObject([{ after: 0n, known: 40n, waiting: 8 }])
})

test('readers that miss the same ask for it once, and a topic ends with its last reader', () => {
  const follower = new Follower<bigint>(8)
  expect(['one', 'two', 'far'].map((reader, i) => follower.follow(TOPIC, i < 2 ? 3n : 7n, 0, reader))).toEqual([
    true,
    false,
    false,
  ])
  expect(follower.asks(0, half).map(({ after }) => after)).toEqual([3n, 7n])
  expect(['one', 'far', 'two'].map((reader) => follower.unfollow(TOPIC, reader))).toEqual([false, false, true])
  expect(follower.has(TOPIC)).toBe(false)
})
