/** What a client has learnt of nodes, and which one it asks next: two at random, the quicker of them. */
import type { Address } from '@smartlayer/protocol'

/** Part of a new latency in the moving average. */
const NEW_SHARE = 0.1
/** Without news a node's latency fades, so that one that was slow once is tried again. */
const FADE_MS = 10_000
/** Below this, differences are noise; it also stands for nodes that were never asked. */
const LEAST_MS = 1
/** Only what is slower by this factor is passed over: equal nodes shall get equal shares, whatever the noise. */
const CLEARLY_SLOWER = 2
const KEPT_LATENCIES = 64
/** With fewer latencies than this nobody can say what is unusual. */
const ENOUGH_LATENCIES = 16
const UNKNOWN_P95_MS = 300
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000
/** One second request for so many first ones, and so many saved up at most. */
const REQUESTS_PER_HEDGE = 10
const HEDGES_SAVED = 10
const NODE_LIMIT = 10_000

export type BoardOptions = {
  /** Milliseconds that only grow. */
  readonly now: () => number
  /** From 0 to below 1. */
  readonly random: () => number
  /** The weight that the network publishes for a node; 1 where nothing is known. 0 keeps it out while others are there. */
  readonly weightOf?: ((node: Address) => number) | undefined
}

/** How a call ended: `refused` in order, `failed` when the node did not do its part, `dropped` by us before it ended. */
export type End = 'answered' | 'refused' | 'failed' | 'dropped'

type Known = {
  latencyMs: number | undefined
  at: number
  inFlight: number
  failures: number
  leftOutUntil: number
  readonly latest: number[]
}

export class ReplicaBoard {
  readonly #options: BoardOptions
  readonly #known = new Map<Address, Known>()
  #requests = 0

  constructor(options: BoardOptions) {
    this.#options = options
  }

  /** The node to ask; undefined only when there is none. When all failed lately, the one whose pause ends first. */
  choose(nodes: readonly Address[]): Address | undefined {
    const now = this.#options.now()
    const pauseEnd = (node: Address) => this.#known.get(node)?.leftOutUntil ?? 0
    const open = nodes.filter((node) => pauseEnd(node) <= now)
    if (open.length === 0) return nodes.toSorted((a, b) => pauseEnd(a) - pauseEnd(b))[0]
    const [a, b] = [this.#draw(open), this.#draw(open)]
    const chosen = this.#cost(a, now) > CLEARLY_SLOWER * this.#cost(b, now) ? b : a
    this.#probe(chosen, now)
    return chosen
  }

  /** A call begins; what is returned is told once how it ended. */
  begin(node: Address): (end: End) => void {
    const known = this.#of(node)
    const started = this.#options.now()
    known.inFlight++
    return (end) => {
      const now = this.#options.now()
      known.inFlight--
      if (end === 'failed') return fail(known, now)
      if (end !== 'refused') note(known, now - started, now)
      if (end !== 'dropped') {
        known.failures = 0
        known.leftOutUntil = 0
      }
    }
  }

  /** A first request was made: each earns a part of a second one. */
  noteRequest(): void {
    this.#requests = Math.min(this.#requests + 1, REQUESTS_PER_HEDGE * HEDGES_SAVED)
  }

  /** After so long the node is slower than it usually is: its 95th percentile. */
  usuallyWithinMs(node: Address): number {
    const latest = this.#known.get(node)?.latest ?? []
    if (latest.length < ENOUGH_LATENCIES) return UNKNOWN_P95_MS
    return latest.toSorted((a, b) => a - b)[Math.floor(latest.length * 0.95)]!
  }

  /** Takes the right to one second request, if there is any left. */
  takeHedge(): boolean {
    if (this.#requests < REQUESTS_PER_HEDGE) return false
    this.#requests -= REQUESTS_PER_HEDGE
    return true
  }

  #draw(nodes: readonly Address[]): Address {
    const weights = nodes.map((node) => Math.max(0, this.#options.weightOf?.(node) ?? 1))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    if (total <= 0) return nodes[Math.floor(this.#options.random() * nodes.length)]!
    let left = this.#options.random() * total
    for (const [i, node] of nodes.entries()) {
      left -= weights[i]!
      if (left < 0) return node
    }
    return nodes.at(-1)!
  }

  #cost(node: Address, now: number): number {
    const known = this.#known.get(node)
    const faded = (known?.latencyMs ?? 0) * Math.exp(-(now - (known?.at ?? now)) / FADE_MS)
    return Math.max(LEAST_MS, faded) * (1 + (known?.inFlight ?? 0))
  }

  /** Whoever failed is tried again by one call at a time. */
  #probe(node: Address, now: number): void {
    const known = this.#known.get(node)
    if (known && known.failures > 0) known.leftOutUntil = now + pauseOf(known.failures)
  }

  #of(node: Address): Known {
    const known = this.#known.get(node) ?? {
      latencyMs: undefined,
      at: 0,
      inFlight: 0,
      failures: 0,
      leftOutUntil: 0,
      latest: [],
    }
    if (!this.#known.has(node)) {
      const [oldest] = this.#known.keys()
      if (this.#known.size >= NODE_LIMIT && oldest !== undefined) this.#known.delete(oldest)
      this.#known.set(node, known)
    }
    return known
  }
}

function note(known: Known, takenMs: number, now: number): void {
  const before = known.latencyMs ?? takenMs
  known.latencyMs = before + NEW_SHARE * (takenMs - before)
  known.at = now
  known.latest.push(takenMs)
  if (known.latest.length > KEPT_LATENCIES) known.latest.shift()
}

function fail(known: Known, now: number): void {
  known.failures++
  known.leftOutUntil = now + pauseOf(known.failures)
}

function pauseOf(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 16))
}
