/** A site's client: its key, the network it trusts, and what it has learnt about nodes. */
import type { Address, Bytes32, Crypto, Hex, PlacementInfo, Signer } from '@smartlayer/protocol'
import type { Network } from './network.ts'

export type Clock = { now(): bigint }

export type Site = {
  readonly anchors: readonly string[]
  readonly network: Network
  readonly signer: Signer
  readonly crypto: Crypto
  readonly clock: Clock
  readonly random: (bytes: number) => Uint8Array
  /** Placements that were verified before, by token; used while their lease runs. */
  readonly placements: Map<string, PlacementInfo>
  /** Latency of nodes in ms, moving average, by address. */
  readonly latencies: Map<Address, number>
}

export function nonce(site: Site): Bytes32 {
  const bytes = site.random(32)
  return `0x${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}` as Hex
}
