import type { Address } from '@smartlayer/protocol'
import { describe, expect, it } from 'vitest'
import { ReplicaBoard } from './replica-board.ts'

const READS = 10_000
const NODES = [1, 2, 3, 4, 5].map((n): Address => `0x${String(n).repeat(40)}`)

/** Chance that is the same on every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

type World = {
  /** How much slower than the others a node is; undefined: it never answers. */
  readonly slowness?: readonly (number | undefined)[]
  readonly weights?: readonly number[]
  readonly together?: number
  readonly seed?: number
}

/** Reads one after another, or several at a time, at nodes whose latency scatters by the exponential law. */
function sharesOf({ slowness = [1, 1, 1, 1, 1], weights, together = 1, seed = 7 }: World): number[] {
  let now = 0
  const random = seeded(seed)
  const weightOf = weights && ((node: Address) => weights[NODES.indexOf(node)]!)
  const board = new ReplicaBoard({ now: () => now, random, weightOf })
  const counts = NODES.map(() => 0)
  const open: { readonly at: number; readonly end: () => void }[] = []
  const finishNext = () => {
    open.sort((a, b) => a.at - b.at)
    const next = open.shift()!
    now = Math.max(now, next.at)
    next.end()
  }
  for (let read = 0; read < READS; read++) {
    const node = board.choose(NODES)!
    const i = NODES.indexOf(node)
    counts[i]!++
    const end = board.begin(node)
    const factor = slowness[i]
    const takenMs = factor === undefined ? 1 : factor * (2 - Math.log(1 - random()))
    open.push({ at: now + takenMs, end: () => end(factor === undefined ? 'failed' : 'answered') })
    if (open.length >= together) finishNext()
  }
  return counts
}

function variation(counts: readonly number[]): number {
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length
  return Math.sqrt(counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / counts.length) / mean
}

describe('the choice among five replicas, over 10 000 reads', () => {
  it.each([1, 2, 3])('gives equal ones equal shares (seed %i)', (seed) => {
    expect(variation(sharesOf({ seed }))).toBeLessThanOrEqual(0.1)
    expect(variation(sharesOf({ seed, together: 16 }))).toBeLessThanOrEqual(0.1)
  })

  it('gives one that is five times slower less, and still tries it', () => {
    const [slow, ...others] = sharesOf({ slowness: [5, 1, 1, 1, 1] })
    expect(slow!).toBeLessThan(0.5 * Math.min(...others))
    expect(slow!).toBeGreaterThan(0)
  })

  it('gives a dead one nothing but a rare try after its first failures', () => {
    const [dead, ...others] = sharesOf({ slowness: [undefined, 1, 1, 1, 1] })
    expect(dead!).toBeLessThanOrEqual(6) // 30 s pass, and its pauses double from one second on
    expect(variation(others)).toBeLessThanOrEqual(0.1)
  })

  it('follows the weights that the network publishes', () => {
    const [light, ...others] = sharesOf({ weights: [0.5, 1, 1, 1, 1] })
    expect(light! / READS).toBeCloseTo(0.5 / 4.5, 1.5)
    expect(variation(others)).toBeLessThanOrEqual(0.1)
    expect(sharesOf({ weights: [0, 1, 1, 1, 1] })[0]).toBe(0)
  })
})

describe('what one node does', () => {
  const at = (now: { ms: number }) => new ReplicaBoard({ now: () => now.ms, random: seeded(1) })

  it('is asked again once its pause is over, by one call at a time', () => {
    const now = { ms: 0 }
    const board = at(now)
    const [a, b] = [NODES[0]!, NODES[1]!]
    board.begin(a)('failed')
    const asked = () => Array.from({ length: 50 }, () => board.choose([a, b])).filter((node) => node === a).length
    expect(asked()).toBe(0)
    now.ms = 1_001
    expect(asked()).toBe(1)
    board.begin(a)('answered')
    expect(asked()).toBeGreaterThan(10)
  })

  it('is asked all the same when every node failed, those first whose pause ends first', () => {
    const now = { ms: 0 }
    const board = at(now)
    const [a, b] = [NODES[0]!, NODES[1]!]
    board.begin(a)('failed')
    now.ms = 10
    board.begin(b)('failed')
    expect(board.choose([a, b])).toBe(a)
    expect(board.choose([])).toBeUndefined()
  })

  it('is not left out for a refusal in order', () => {
    const board = at({ ms: 0 })
    board.begin(NODES[0]!)('refused')
    expect(board.choose([NODES[0]!])).toBe(NODES[0])
    expect(board.usuallyWithinMs(NODES[0]!)).toBe(300)
  })

  it('is usually done within its 95th percentile', () => {
    const now = { ms: 0 }
    const board = at(now)
    for (let i = 1; i <= 40; i++) {
      const end = board.begin(NODES[0]!)
      now.ms += i
      end('answered')
    }
    expect(board.usuallyWithinMs(NODES[0]!)).toBe(39)
  })
})

it('asks a second node for at most every tenth question, whatever was saved up', () => {
  const board = new ReplicaBoard({ now: () => 0, random: seeded(1) })
  let hedges = 0
  for (let questions = 1; questions <= 1_000; questions++) {
    board.noteRequest()
    if (board.takeHedge()) hedges++
    expect(hedges).toBeLessThanOrEqual(questions / 10)
  }
  for (let i = 0; i < 10_000; i++) board.noteRequest()
  let saved = 0
  while (board.takeHedge()) saved++
  expect(saved).toBe(10)
})
