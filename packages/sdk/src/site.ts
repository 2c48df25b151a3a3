/** A site's client: its key, the network it trusts, and what it has learnt about nodes. */
import type { Bytes32, Crypto, Hex, PlacementInfo, Signer } from '@smartlayer/protocol'
import type { Network } from './network.ts'
import type { ReplicaBoard } from './replica-board.ts'

export type Clock = { now(): bigint }

export type Site = {
  readonly anchors: readonly string[]
  /** As it was when it was loaded last; `renewed` keeps it up with the epochs. */
  network: Network
  /** Loads the network anew, with all checks that were made of it before. */
  readonly loadAnew: () => Promise<Network>
  readonly signer: Signer
  readonly crypto: Crypto
  readonly clock: Clock
  readonly random: (bytes: number) => Uint8Array
  /** Placements that were verified before, by token; used while their lease runs. */
  readonly placements: Map<string, KnownPlacement>
  /** What was learnt about nodes, for the choice of the next one. */
  readonly board: ReplicaBoard
}

/** `missed`: when anchors could name no successor, though its lease had ended. */
export type KnownPlacement = { readonly info: PlacementInfo; readonly missed: bigint | undefined }

export function nonce(site: Site): Bytes32 {
  const bytes = site.random(32)
  return `0x${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}` as Hex
}
