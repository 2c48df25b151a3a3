import { bucketOf, digestOf, LOCAL_HEALTH, NO_LATENCY, ProbeSample, type SignedSample } from '@smartlayer/protocol'
import { expect, test } from 'vitest'
import type { Ports } from '../ports/ports.ts'
import { MemoryWorld } from '../testing/memory-world.ts'
import { HealthParts } from './health-parts.ts'
import { Ledger } from './ledger.ts'
import { Positions } from './positions.ts'

const WINDOW_MS = LOCAL_HEALTH.windowMs

/** A ledger of one of four anchors, on a store that outlives it. */
class Desk {
  readonly world = new MemoryWorld()
  readonly ports: Ports = this.world.portsOf(0)
  readonly parts = new HealthParts(this.ports.identity, this.world.context)
  readonly node = this.world.serviceMembers[0]!.node
  ledger = new Ledger(this.ports, this.parts)

  restart(): void {
    this.ledger = new Ledger(this.ports, this.parts)
  }

  /** A window passes in which this many anchors saw the node answer in that time; it is judged half a window later. */
  async window(latencyMs: number, anchors = 4): Promise<void> {
    const start = this.parts.windowOf(this.ports.clock.now())
    await this.world.time.run(Number(start) + WINDOW_MS - Number(this.ports.clock.now()))
    for (let anchor = 0; anchor < anchors; anchor++) this.ledger.take(this.sample(anchor, start, latencyMs))
    this.ledger.judgeDue(this.world.serviceMembers.map(({ node }) => node))
  }

  sample(anchor: number, start: bigint, latencyMs: number): SignedSample {
    const { signer } = this.world.portsOf(anchor).identity
    const latency = NO_LATENCY.map((_, i) => (i === bucketOf(latencyMs) ? 5n : 0n))
    const counts = { probes: 5n, answered: 5n, failed: 0n, stale: 0n, stalenessMs: 0n, latency }
    const sample = { node: this.node, prober: signer.address, start, lengthMs: BigInt(WINDOW_MS), ...counts }
    const digest = digestOf(ProbeSample, sample, this.world.domain, this.ports.identity.crypto.keccak)
    return { sample, signature: signer.sign(digest) }
  }

  async judged(): Promise<void> {
    await this.world.time.run(WINDOW_MS / 2)
    this.ledger.judgeDue(this.world.serviceMembers.map(({ node }) => node))
    await this.world.time.run(10)
  }
}

test('every window is judged once, when its samples had time to come', async () => {
  const desk = new Desk()
  await desk.window(9_000)
  expect(desk.ledger.windows(desk.node)).toEqual([])
  await desk.judged()
  expect(desk.ledger.windows(desk.node)).toMatchObject([{ verdict: 'missed', probers: 4 }])
  for (let halves = 0; halves < 2; halves++) await desk.judged()
  expect(desk.ledger.windows(desk.node)).toMatchObject([{ verdict: 'missed' }, { verdict: 'unknown', probers: 0 }])
})

test('where a node stands outlives a restart, and so do its judged periods', async () => {
  const desk = new Desk()
  for (let i = 0; i < 4; i++) await desk.window(9_000)
  await desk.judged()
  const before = desk.ledger.standing(desk.node)
  expect(before.state).toBe('draining')
  const periods = desk.ledger.periods(desk.node)
  expect(periods.reduce((sum, { missed }) => sum + missed, 0)).toBe(4)
  desk.restart()
  expect(desk.ledger.standing(desk.node)).toMatchObject({
    state: 'draining',
    misses: before.misses,
    window: before.window,
  })
  expect(desk.ledger.standing(desk.node).score).toBeCloseTo(before.score, 5)
  expect(desk.ledger.periods(desk.node)).toEqual(periods)
})

test('a judged window is not judged again after a restart', async () => {
  const desk = new Desk()
  for (let i = 0; i < 2; i++) await desk.window(9_000)
  await desk.judged()
  const { misses } = desk.ledger.standing(desk.node)
  desk.restart()
  desk.ledger.judgeDue([desk.node])
  expect(desk.ledger.standing(desk.node).misses).toBe(misses)
})

test('too few probers say nothing about a node', async () => {
  const desk = new Desk()
  for (let i = 0; i < 4; i++) await desk.window(9_000, 2)
  await desk.judged()
  expect(desk.ledger.standing(desk.node)).toMatchObject({ state: 'healthy', misses: 0 })
})

test('a proof of a lie outlives a restart, and what else the liar said does not count', async () => {
  const desk = new Desk()
  await desk.window(20)
  const { start } = desk.ledger.samples(desk.node)[0]!.sample
  expect(desk.ledger.take(desk.sample(1, start, 9_000))).toMatchObject({ code: 'health.conflict' })
  await desk.world.time.run(10)
  desk.restart()
  expect(desk.ledger.conflicts()).toHaveLength(1)
  await desk.window(20)
  expect(desk.ledger.samples(desk.node).map(({ sample }) => sample.prober)).toHaveLength(3)
})

test('samples of windows that are not over, and of nodes that nobody registered, are not taken', () => {
  const desk = new Desk()
  const start = desk.parts.windowOf(desk.ports.clock.now())
  expect(desk.ledger.take(desk.sample(1, start, 20))).toMatchObject({ verdict: 'ignore', code: 'health.window' })
  const { sample, signature } = desk.sample(1, start - BigInt(WINDOW_MS), 20)
  const stranger = { sample: { ...sample, node: `0x${'77'.repeat(20)}` as const }, signature }
  expect(desk.ledger.take(stranger)).toMatchObject({ code: 'health.node_unknown' })
})

test('a position is as old as what was committed after it', () => {
  const positions = new Positions()
  const instance = `0x${'11'.repeat(32)}` as const
  positions.note(instance, 5n, 1_000)
  positions.note(instance, 5n, 2_000)
  positions.note(instance, 8n, 3_000)
  expect(positions.stalenessMs(instance, 4n, 4_000)).toBe(3_000)
  expect(positions.stalenessMs(instance, 5n, 4_000)).toBe(1_000)
  expect(positions.stalenessMs(instance, 8n, 4_000)).toBe(0)
})
