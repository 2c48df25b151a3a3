/** What the clients of a soak share: what they are told, and how an entry is checked. */
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
import type { SmartLayer } from '@smartlayer/sdk/server'
import type { CommonPlan, Part as PartOf } from '../soak-kit/part.ts'
import { shortDigest } from '../soak-kit/recorder.ts'
import type { Held, What } from './history.ts'

export const LANE = 'facts'
/** Subsets of each stream; instances of the token follow the first. */
export const SUBSETS = ['line/0', 'line/1', 'line/2'] as const

export type PlannedStream = {
  readonly writer: string
  readonly stream: Bytes32
  readonly issuer: Address
  readonly key: Hex
}

/** What every process of the soak is told; kept in a file. Instances of the token live on the service nodes. */
export type Plan = CommonPlan & {
  /** What writers must keep. */
  readonly outboxes: string
  readonly contract: Address
  readonly streams: readonly PlannedStream[]
}

/** A process of this soak. */
export type Part = PartOf<Plan, What>

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
