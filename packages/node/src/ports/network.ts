/** The overlay as a port: unreliable messages between registered nodes. */
import type { Address } from '@smartlayer/protocol'

/** Order in which a full connection serves its queues: control first, backfill last. */
export const TRAFFIC_CLASSES = ['control', 'fork', 'heads', 'live', 'repair', 'backfill'] as const
export type TrafficClass = (typeof TRAFFIC_CLASSES)[number]

export type Network = {
  /** Our own identity. */
  readonly self: Address
  /**
   * Sends and forgets: it may be lost, delayed, repeated or reordered. Never throws and never blocks; over its bounds
   * the oldest message of the class is dropped. A message to `self` is delivered like any other.
   */
  send(to: Address, message: unknown, trafficClass: TrafficClass): void
  /** The one handler of incoming messages; `from` is proven by the connection. `message` is parsed JSON, else unchecked. */
  receive(handle: (from: Address, message: unknown) => void): void
}
