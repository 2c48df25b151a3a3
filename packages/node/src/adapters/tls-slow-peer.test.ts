/** Peers that do not read, or read slowly, over real sockets: they cost a bounded amount, and nobody else notices. */
import type { Address } from '@smartlayer/protocol'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { pause, TlsWorld, until } from './testing/tls-world.ts'
import { WilfulPeer } from './testing/wilful-peer.ts'
import { CLASS_LIMITS } from './tls-limits.ts'
import type { Peer, TlsNetwork } from './tls-network.ts'

const KIB = 1_024
const MIB = 1_048_576
const PADDING = 'x'.repeat(1_000)

let world: TlsWorld
let sender: TlsNetwork
let wilful: WilfulPeer
let slow: Address
let quick: Address

beforeAll(async () => {
  world = await TlsWorld.of(3)
  return () => world[Symbol.asyncDispose]()
})
beforeEach(async () => {
  sender = await world.start(world.nodes[0]!)
  wilful = new WilfulPeer(world.nodes[1]!)
  slow = world.nodes[1]!.node
  quick = world.nodes[2]!.node
})
afterEach(async () => {
  await wilful.close()
  await world.stopAll()
})

const seenBy = (network: TlsNetwork, peer: Address): Peer => network.peers().find(({ node }) => node === peer)!

async function connected(): Promise<void> {
  sender.send(slow, { n: -1 }, 'control')
  // A handshake that was lost with the peer before it is given up first, and then there is the pause before the next.
  await until(() => wilful.received.length > 0, { what: 'the first message', limitMs: 20_000 })
}

test('a peer that stops reading costs no more than its queues, slows nobody, and hears live messages when it reads again', async () => {
  const reader = await world.start(world.nodes[2]!)
  const latencies: number[] = []
  reader.receive((_, message) => latencies.push(performance.now() - (message as { at: number }).at))
  await connected()
  wilful.stopReading()
  const before = process.memoryUsage().rss
  let peak = 0
  for (let n = 0; n < 100_000; n++) {
    sender.send(slow, { n, PADDING }, 'live')
    if (n % 100 !== 0) continue
    sender.send(quick, { at: performance.now() }, 'live')
    await pause(0)
    peak = Math.max(peak, seenBy(sender, slow).queuedBytes)
  }
  await until(() => latencies.length === 1_000, { what: 'what the quick peer was sent' })
  expect(latencies.sort((a, b) => a - b)[990]).toBeLessThan(250)
  expect(peak).toBeLessThanOrEqual(CLASS_LIMITS.live.queuedBytes)
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB)
  const held = seenBy(sender, slow)
  expect([held.lagging, seenBy(sender, quick).lagging]).toEqual([true, false])
  expect(held.classes.live.sent + held.classes.live.dropped + held.queued).toBe(100_000)
  expect(held.classes.live.dropped).toBeGreaterThan(80_000)

  wilful.readAgain()
  await until(() => wilful.received.at(-1)?.n === 99_999, { what: 'the end of the queue' })
  sender.send(slow, { n: 100_000 }, 'live')
  await until(() => wilful.received.at(-1)?.n === 100_000, { what: 'a live message' })
  expect(seenBy(sender, slow).lagging).toBe(true)
  await until(() => !seenBy(sender, slow).lagging, { what: 'the end of the lag' })
  expect(world.logged.map(({ event }) => event)).toContain('network.peer_lagging')
  await until(() => world.logged.some(({ event }) => event === 'network.peer_caught_up'))
})

test('a peer that never reads again is given up, and one in its place is heard from', async () => {
  await connected()
  wilful.stopReading()
  for (let n = 0; n < 20_000; n++) sender.send(slow, { n, PADDING }, 'live')
  await until(() => !seenBy(sender, slow).connected, { limitMs: 15_000, what: 'giving up' })
  expect(seenBy(sender, slow).queuedBytes).toBeLessThanOrEqual(CLASS_LIMITS.live.queuedBytes)
  await wilful.close()
  wilful = new WilfulPeer(world.nodes[1]!)
  const again = setInterval(() => sender.send(slow, { n: 20_000 }, 'live'), 100)
  await until(() => wilful.received.some(({ n }) => n === 20_000), { what: 'a live message' })
  clearInterval(again)
})

test('a peer that reads slowly stays connected', async () => {
  await connected()
  wilful.stopReading()
  const trickle = setInterval(() => {
    wilful.readAgain()
    setTimeout(() => wilful.stopReading(), 2)
  }, 100)
  try {
    let n = 0
    const end = performance.now() + 9_000
    while (performance.now() < end) {
      for (let burst = 0; burst < 20; burst++) sender.send(slow, { n: n++, large: 'x'.repeat(100 * KIB) }, 'live')
      expect(seenBy(sender, slow).connected).toBe(true)
      await pause(50)
    }
    expect(seenBy(sender, slow).queued).toBeGreaterThan(20)
  } finally {
    clearInterval(trickle)
  }
})

test('little is handed to the socket at once: a control message overtakes all that waits', async () => {
  await connected()
  for (let n = 0; n < 70; n++) sender.send(slow, { n, large: 'x'.repeat(100 * KIB) }, 'live')
  await new Promise((resolve) => setImmediate(resolve))
  const { sent, sentBytes } = seenBy(sender, slow).classes.live
  expect(sentBytes).toBeLessThan(MIB)
  sender.send(slow, { n: -2 }, 'control')
  await until(() => wilful.received.length === 72, { what: 'everything' })
  expect(wilful.received.findIndex(({ n }) => n === -2)).toBe(1 + sent)
})

test('all peers that are away together cost no more than the total', async () => {
  const many = await TlsWorld.of(1)
  const template = many.members[0]!
  const away = Array.from({ length: 20 }, (_, n): Address => `0x${(n + 0x40).toString(16).repeat(20)}`)
  many.members = [template, ...away.map((node) => ({ ...template, node, overlay: '127.0.0.1:1' }))]
  const network = await many.start(many.nodes[0]!)
  for (let n = 0; n < 90; n++) for (const node of away) network.send(node, { n, large: 'x'.repeat(100 * KIB) }, 'live')
  for (const node of away) network.send(node, { n: -2 }, 'control')
  const waiting = network.peers().reduce((sum, peer) => sum + peer.queuedBytes, 0)
  expect(waiting).toBeGreaterThan(16 * MIB)
  expect(waiting).toBeLessThanOrEqual(64 * MIB)
  for (const peer of network.peers()) expect([peer.classes.control.dropped, peer.queued > 0]).toEqual([0, true])
  await many[Symbol.asyncDispose]()
})
