/** What epochs are made of, as a port: the registry's schedule and events, and the blocks that draw beacons; all of it final. */
import type { Bytes32, PlacedEvent, Schedule } from '@smartlayer/protocol'
import type { BlockRef } from './chain.ts'

/** A block with the randomness that its proposer could not choose. */
export type RandomBlock = BlockRef & { readonly randomness: Bytes32 }

export type Registry = {
  /** The schedule of epochs; undefined until the registry began. Throws `chain.unreachable`. */
  schedule(): Promise<Schedule | undefined>
  /** The last block that the chain cannot take back. */
  finalized(): Promise<BlockRef>
  /** Events of finalized blocks `from` to `to`, in order. */
  events(from: bigint, to: bigint): Promise<readonly PlacedEvent[]>
  /** The first finalized block later than `timeS` (seconds), at or above number `from`; undefined while there is none. */
  firstAfter(timeS: bigint, from: bigint): Promise<RandomBlock | undefined>
}
