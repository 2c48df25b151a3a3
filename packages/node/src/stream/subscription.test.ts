import { readData, type SubscriptionEvent, subscriptionEventShape } from '@smartlayer/protocol'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Clock } from '../ports/clock.ts'
import { FakeStream, unsigned } from '../testing/fake-stream.ts'
import { type Sink, SLOW_LIMIT_MS } from './subscription.ts'
import type { Page } from './subscription-pages.ts'
import { ADDRESS_LIMIT, BEAT_MS, SUBSCRIPTION_LIMIT, Subscriptions } from './subscriptions.ts'

const ANYBODY = unsigned(`0x${'01'.repeat(20)}`)

/** Timers run when the test says so. */
class ManualClock implements Clock {
  #timers: { at: number; run: () => void }[] = []
  #now = 0
  now = () => BigInt(this.#now)
  monotonic = () => this.#now
  after = (delayMs: number, run: () => void) => {
    const timer = { at: this.#now + delayMs, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  advance(ms = 0): void {
    const end = this.#now + ms
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (!next) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#now = next.at
      next.run()
    }
    this.#now = end
  }

  get timers(): number {
    return this.#timers.length
  }
}

/** A client that reads everything at once, or nothing while `paused`. */
class Client implements Sink {
  readonly pages: Page[] = []
  paused = false
  ended: string | undefined
  destroyed = false
  beats = 0
  #full = false
  get full() {
    return this.#full
  }
  write(page: Page) {
    this.pages.push(page)
    this.#full = this.paused
  }
  beat() {
    this.beats++
  }
  end(code: string) {
    this.ended = code
  }
  destroy() {
    this.destroyed = true
  }
  resume(): void {
    this.paused = false
    this.#full = false
  }

  get events(): readonly SubscriptionEvent[] {
    return this.pages.flatMap(({ messages }) =>
      messages.map(({ json }) => subscriptionEventShape.parse(JSON.parse(String(json)), 'event')),
    )
  }

  get cursors(): readonly number[] {
    return this.pages.flatMap(({ messages }) => messages.flatMap(({ cursor }) => (cursor ? [Number(cursor)] : [])))
  }
}

let clock: ManualClock
let stream: FakeStream
let subscriptions: Subscriptions
const telemetry = { log: () => {}, count: () => {} }

beforeEach(() => {
  clock = new ManualClock()
  stream = new FakeStream(ANYBODY, [ANYBODY, ANYBODY, ANYBODY, ANYBODY])
  subscriptions = new Subscriptions({ clock, telemetry }, stream)
})

function subscribe(after = 0n, subset?: `0x${string}`, address = '::1') {
  const client = new Client()
  const position = { stream: stream.stream, subset, after }
  return Object.assign(client, { open: subscriptions.open(address, position, client) })
}

function publish(count: number, subset = 'LH454'): void {
  for (let i = 0; i < count; i++) stream.append(subset, { i })
  stream.certify()
}

function upTo(n: number, from = 1): readonly number[] {
  return Array.from({ length: n - from + 1 }, (_, i) => from + i)
}

describe('one subscription', () => {
  it('replays from its cursor, then gives what comes, each entry once and in order', () => {
    publish(150)
    const client = subscribe(20n)
    clock.advance()
    expect(client.cursors).toEqual(upTo(150, 21))
    publish(3)
    clock.advance()
    expect(client.cursors).toEqual(upTo(153, 21))
  })

  it('shows nothing that has no receipt yet', () => {
    stream.append('LH454', { delay: 5 })
    const client = subscribe()
    clock.advance()
    expect(client.cursors).toEqual([])
    stream.certify()
    clock.advance()
    expect(client.cursors).toEqual([1])
  })

  it('counts places of the subset when it follows one', () => {
    for (const key of ['LH454', 'BA1', 'LH454', 'BA1', 'LH454']) stream.append(key, { key })
    stream.certify()
    const subset = readData(stream.items[0]!)!.subset
    const client = subscribe(1n, subset)
    clock.advance()
    expect(client.cursors).toEqual([2, 3])
    expect(client.events.map((event) => event.type === 'entry' && readData(event.item)!.sequence)).toEqual([3n, 5n])
  })

  it('waits while its client does not read, keeps one page at most, and then misses nothing of thousands', () => {
    const client = subscribe()
    client.paused = true
    publish(1)
    clock.advance()
    for (let i = 0; i < 30; i++) {
      publish(100)
      clock.advance(100)
    }
    expect(client.pages).toHaveLength(1)
    const readsWhilePaused = stream.reads
    publish(100)
    clock.advance(100)
    expect(stream.reads).toBe(readsWhilePaused)
    client.resume()
    client.open.drained()
    clock.advance()
    expect(client.cursors).toEqual(upTo(3_101))
    expect(Math.max(...client.pages.map(({ messages }) => messages.length))).toBeLessThanOrEqual(64)
  })

  it('makes a page of few large entries, and gives an entry that alone is larger than a page', () => {
    for (let i = 0; i < 12; i++) stream.append('LH454', { text: 'x'.repeat(i === 5 ? 65_000 : 60_000) })
    stream.append('LH454', { text: '\u0001'.repeat(65_000) })
    stream.certify()
    const client = subscribe()
    client.paused = true
    clock.advance()
    const sizes = []
    while (client.cursors.length < 13) {
      sizes.push(client.pages.at(-1)!.messages.reduce((sum, { json }) => sum + json.length, 0))
      client.resume()
      client.paused = true
      client.open.drained()
      clock.advance()
    }
    expect(client.cursors).toEqual(upTo(13))
    for (const size of sizes) expect(size).toBeLessThanOrEqual(262_144)
  })

  it('is ended with its reason when the client takes nothing for a minute, and goes on from the cursor', () => {
    publish(500)
    const client = subscribe()
    client.paused = true
    clock.advance(SLOW_LIMIT_MS - BEAT_MS)
    expect(client.ended).toBeUndefined()
    clock.advance(2 * BEAT_MS)
    expect(client.ended).toBe('stream.slow')
    expect(client.destroyed).toBe(true)
    client.open.close()
    const again = subscribe(BigInt(client.cursors.at(-1)!))
    clock.advance()
    expect([...client.cursors, ...again.cursors]).toEqual(upTo(500))
  })

  it('stays open while a slow client takes a page now and then', () => {
    publish(2_000)
    const client = subscribe()
    client.paused = true
    for (let i = 0; i < 20; i++) {
      clock.advance(SLOW_LIMIT_MS - BEAT_MS)
      client.resume()
      client.paused = true
      client.open.drained()
    }
    expect(client.ended).toBeUndefined()
  })

  it('gives everything before it says that the stream is frozen, and ends', () => {
    publish(100)
    stream.append('LH454', { lost: true })
    stream.freeze()
    const client = subscribe()
    clock.advance()
    expect(client.cursors).toEqual(upTo(100))
    expect(client.events.at(-1)).toEqual({ type: 'frozen', after: 100n })
    expect(client.ended).toBe('stream.frozen')
    expect(stream.watchers.size).toBe(0)
  })

  it('says from where a pruned stream begins, with the checkpoint', () => {
    publish(100)
    stream.prune(40n)
    const client = subscribe(7n)
    clock.advance()
    expect(client.events).toMatchObject([{ type: 'pruned', floor: 40n, certified: { checkpoint: { size: 40n } } }])
    expect(client.ended).toBe('stream.pruned')
    const again = subscribe(40n)
    clock.advance()
    expect(again.cursors).toEqual(upTo(100, 41))
  })

  it('says it in places of the subset when it follows one', () => {
    for (let i = 0; i < 20; i++) stream.append(i % 4 === 0 ? 'LH454' : 'BA1', { i })
    stream.certify()
    stream.prune(10n)
    const { subset } = readData(stream.items[0]!)!
    const client = subscribe(0n, subset)
    clock.advance()
    expect(client.events).toMatchObject([{ type: 'pruned', floor: 3n }])
    const again = subscribe(3n, subset)
    clock.advance()
    expect(again.cursors).toEqual([4, 5])
  })

  it('ends with the reason when the log cannot be read, and nothing else stops', () => {
    publish(3)
    const other = subscribe()
    clock.advance()
    const client = subscribe(1n)
    stream.entries = () => {
      throw new Error('a disk fault')
    }
    clock.advance()
    expect(client.ended).toBe('bug.unexpected')
    expect(other.ended).toBeUndefined()
  })

  it('shows the newest receipt with the last entry of a page, and the links back to the entry', () => {
    for (const key of ['LH454', 'BA1', 'BA1']) stream.append(key, { key })
    stream.certify()
    const whole = subscribe()
    const one = subscribe(0n, readData(stream.items[0]!)!.subset)
    clock.advance()
    const receipts = whole.events.map((event) => event.type === 'entry' && event.receipt?.receipt.sequence)
    expect(receipts).toEqual([undefined, undefined, 3n])
    const [event] = one.events
    expect(event).toMatchObject({ cursor: 1n, receipt: { receipt: { sequence: 3n } } })
    expect(event?.type === 'entry' && event.receipt?.links.map(({ refUID }) => refUID)).toEqual(
      stream.items.slice(1).map((item) => item.attestation.message.refUID),
    )
  })

  it('promises its cursor while it is open, under the same name when it comes back', () => {
    publish(10)
    const client = subscribe()
    expect([...stream.promises]).toEqual([['::1/0', { subset: undefined, after: 0n }]])
    clock.advance(2 * BEAT_MS)
    expect([...stream.promises]).toEqual([['::1/0', { subset: undefined, after: 10n }]])
    client.open.close()
    subscribe(5n)
    expect([...stream.promises]).toEqual([['::1/0', { subset: undefined, after: 5n }]])
  })
})

describe('all subscriptions of a node', () => {
  it('are independent: one that does not read slows no other', () => {
    const slow = subscribe()
    slow.paused = true
    const fast = Array.from({ length: 50 }, () => subscribe())
    for (let i = 0; i < 40; i++) {
      publish(10)
      clock.advance()
    }
    for (const client of fast) expect(client.cursors).toEqual(upTo(400))
    expect(slow.cursors).toEqual(upTo(10))
  })

  it('read and encode an entry once for all who stand at the same place', () => {
    const clients = Array.from({ length: 60 }, () => subscribe())
    clock.advance()
    const before = stream.reads
    publish(1)
    clock.advance()
    expect(clients.every(({ cursors }) => cursors.length === 1)).toBe(true)
    expect(new Set(clients.map(({ pages }) => pages[0]!.messages[0]!.json)).size).toBe(1)
    expect(stream.reads - before).toBeLessThanOrEqual(2)
  })

  it('read only when their own subset moved', () => {
    const keys = Array.from({ length: 200 }, (_, i) => `flight-${i}`)
    for (const key of keys) stream.append(key, { key })
    stream.certify()
    const clients = keys.map((_, i) => subscribe(0n, readData(stream.items[i]!)!.subset, `10.0.0.${i}`))
    clock.advance()
    const before = stream.reads
    for (let i = 0; i < 100; i++) {
      stream.publish('flight-7', { i })
      if (i % 10 === 0) stream.publish(`flight-${i}`, { i })
      clock.advance()
    }
    expect(clients[7]!.cursors).toEqual(upTo(101))
    expect(clients.filter(({ cursors }) => cursors.length === 2)).toHaveLength(10)
    // Of each entry: those who follow its subset, and one look at the stream for all others.
    expect(stream.reads - before).toBeLessThan(6 * 110)
  })

  it('miss nothing when the stream moves far at once, or in very many subsets', () => {
    const subset = readData(stream.sign('LH454', {}))!.subset
    const client = subscribe(0n, subset)
    clock.advance()
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 700; i++) stream.append(i === 350 ? 'LH454' : `other-${round}-${i}`, { i })
      stream.certify()
      clock.advance()
      expect(client.cursors).toEqual(upTo(2 * round + 1))
      for (let i = 0; i < 1_200; i++) {
        stream.append(`another-${round}-${i}`, { i })
        if (i % 100 === 0) stream.certify()
        if (i % 100 === 0) clock.advance()
      }
      publish(1)
      clock.advance()
    }
    expect(client.cursors).toEqual(upTo(8))
  })

  it('are not told that anything was pruned when only entries of other subsets were', () => {
    publish(1)
    const { subset } = readData(stream.items[0]!)!
    const client = subscribe(0n, subset)
    clock.advance()
    publish(5, 'BA1')
    clock.advance()
    client.open.close()
    for (let i = 0; i < 3; i++) stream.append(i === 2 ? 'LH454' : 'BA1', { i })
    stream.certify()
    stream.prune(8n)
    const again = subscribe(1n, subset)
    clock.advance()
    publish(1, 'BA1')
    clock.advance()
    expect([again.cursors, again.ended]).toEqual([[2], undefined])
  })

  it('are limited per address and per node, and a place is free again when one closes', () => {
    const mine = Array.from({ length: ADDRESS_LIMIT }, () => subscribe())
    expect(() => subscribe()).toThrow(`${ADDRESS_LIMIT} subscriptions`)
    mine[3]!.open.close()
    mine[3]!.open.close()
    subscribe()
    expect(() => subscribe()).toThrow(`${ADDRESS_LIMIT} subscriptions`)
    for (let i = subscriptions.size; i < SUBSCRIPTION_LIMIT; i++) subscribe(0n, undefined, `10.0.0.${i}`)
    expect(() => subscribe(0n, undefined, '10.1.0.0')).toThrow(`${SUBSCRIPTION_LIMIT} subscriptions`)
  })

  it('leave nothing behind: no watcher, no timer, no count', () => {
    publish(5)
    for (let i = 0; i < 2_000; i++) subscribe(BigInt(i % 7)).open.close()
    clock.advance(2 * BEAT_MS)
    expect([subscriptions.size, stream.watchers.size, clock.timers, stream.promises.size]).toEqual([0, 0, 0, 1])
  })

  it('are cut off when the node stops', () => {
    const clients = [subscribe(), subscribe()]
    subscriptions.stop()
    expect(clients.every(({ destroyed }) => destroyed)).toBe(true)
    expect(stream.watchers.size).toBe(0)
  })
})
