/** What the clients of a soak share: where the network is, how an entry is checked, and how they come and go. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { fastCrypto } from '@smartlayer/node'
import {
  type Address,
  accepted,
  type Bytes32,
  encodeItem,
  type Hex,
  laneOf,
  openEntry,
  ownTime,
  rootCache,
  SmartLayerError,
  type StreamItem,
  tokenTypeOf,
} from '@smartlayer/protocol'
import { connect, type SmartLayer } from '@smartlayer/sdk/server'
import { type Held, Recorder, shortDigest } from './history.ts'

export const LANE = 'facts'
/** Subsets of each stream; instances of the token follow the first. */
export const SUBSETS = ['line/0', 'line/1', 'line/2'] as const

export type Place = { readonly name: string; readonly api: string }

export type PlannedStream = {
  readonly writer: string
  readonly stream: Bytes32
  readonly issuer: Address
  readonly key: Hex
}

/** What every process of a soak is told; kept in a file. */
export type Plan = {
  /** Where histories are, and what writers must keep. */
  readonly histories: string
  readonly outboxes: string
  readonly anchors: readonly Place[]
  /** Service nodes: instances of the token live there. */
  readonly services: readonly Place[]
  readonly chain: { readonly id: number; readonly rpcUrl: string; readonly registry: Address }
  readonly contract: Address
  readonly streams: readonly PlannedStream[]
}

/** What the conductor says to its processes. Readers end when they have come as far as `heads`, by stream or stream/subset. */
export type Order = { readonly type: 'stop'; readonly heads: Readonly<Record<string, number>> }

/** A process of the soak: its part of the plan, its history, and the moment at which it is told to end. */
export type Part = {
  readonly plan: Plan
  readonly name: string
  readonly life: number
  readonly recorder: Recorder
  readonly stopped: AbortSignal
  /** Once it was told to end. */
  heads(): Readonly<Record<string, number>>
}

export function takePart(): Part {
  const { values } = parseArgs({
    options: { plan: { type: 'string' }, name: { type: 'string' }, life: { type: 'string', default: '1' } },
  })
  const plan = JSON.parse(readFileSync(values.plan!, 'utf8')) as Plan
  const name = values.name!
  const life = Number(values.life)
  const stop = new AbortController()
  let heads: Readonly<Record<string, number>> = {}
  process.on('message', (order: Order) => {
    heads = order.heads
    stop.abort()
  })
  process.on('disconnect', () => process.exit(1)) // nobody waits for us any more
  const recorder = new Recorder(plan.histories, name, life)
  return { plan, name, life, recorder, stopped: stop.signal, heads: () => heads }
}

/** Connects as soon as enough of the network is there. Each process asks the anchors in an order of its own. */
export async function connected({ plan, stopped }: Part, key: Hex, first: number): Promise<SmartLayer> {
  const crypto = await fastCrypto()
  const apis = plan.anchors.map(({ api }) => api)
  const anchors = apis.map((_, i) => apis[(i + first) % apis.length]!)
  for (;;) {
    try {
      return await connect({ anchors, chain: plan.chain, key, crypto })
    } catch (error) {
      if (!(error instanceof SmartLayerError) || !error.retryable || stopped.aborted) throw error
      await pause(200)
    }
  }
}

export type Check = (stream: PlannedStream, item: StreamItem) => Held

/** Checks all of an entry by itself and says what it is. Throws why it cannot be believed. Bytes that were checked are known. */
export function entryCheck({ site: { crypto, network } }: SmartLayer, { chain, contract }: Plan): Check {
  const tokenType = tokenTypeOf({ chainId: BigInt(chain.id), contract }, crypto.keccak)
  const lane = laneOf(LANE, crypto.keccak)
  const roots = rootCache(1_000)
  const known = new Map<string, Omit<Held, 'at'>>()
  const { networkId, easDomain } = network
  return ({ issuer, stream }, item) => {
    const digest = shortDigest(encodeItem(item))
    const before = known.get(digest)
    if (before) return { at: before.sequence, ...before }
    const rules = [{ issuer, lane }]
    const opened = openEntry(item, { networkId, easDomain, crypto, tokenType, rules, roots, nowS: ownTime(item) })
    if (!accepted(opened)) throw SmartLayerError.fromData(opened.code, opened.facts)
    const { data, uid, previous } = opened.value
    if (data.stream !== stream) throw SmartLayerError.of('stream.identity')
    const held = {
      sequence: Number(data.sequence),
      uid,
      digest,
      epoch: Number(data.epoch),
      previous,
      subset: data.subset,
      subSequence: Number(data.subSequence),
      subPrevious: data.subPrevious,
      body: shortDigest(item.body),
    }
    known.set(digest, held)
    return { at: held.sequence, ...held }
  }
}

export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    if (signal?.aborted) end()
    signal?.addEventListener('abort', end)
  })
}

/** A small generator with a seed: the same seed plans the same run. */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function codeOf(error: unknown): string {
  if (error instanceof SmartLayerError) return error.code
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
