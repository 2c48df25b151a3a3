/** What one peer can cost: how large a frame of each class may be, and how much of it may wait to be sent. */
import type { TrafficClass } from '../ports/network.ts'

const KIB = 1_024
const MIB = 1_024 * KIB

export type ClassLimits = {
  /** Largest body of a frame in bytes; the sender drops what is larger, the receiver cuts off who sends it. */
  readonly frameBytes: number
  /** Frames, and their bytes, that may wait for one peer. Beyond either the oldest of the class is dropped. */
  readonly queuedFrames: number
  readonly queuedBytes: number
}

/** Largest body of any frame. */
export const FRAME_LIMIT = MIB

export const CLASS_LIMITS: Readonly<Record<TrafficClass, ClassLimits>> = {
  // Votes, leases and the journal. The largest is a proposal with three bodies of 64 Ki characters, up to 3 bytes each.
  control: { frameBytes: 768 * KIB, queuedFrames: 4_096, queuedBytes: 4 * MIB },
  // Two entries that contradict each other, with their bodies. Rare, each is proof by itself, and peers repeat them.
  fork: { frameBytes: 512 * KIB, queuedFrames: 256, queuedBytes: MIB },
  // At most 1 024 heads or interests in a message, under 400 bytes each. The next second's replace the last one's.
  heads: { frameBytes: 512 * KIB, queuedFrames: 512, queuedBytes: MIB },
  // What everybody waits for: a few seconds of a busy link. Whoever is further behind repairs by pull instead.
  live: { frameBytes: FRAME_LIMIT, queuedFrames: 2_048, queuedBytes: 8 * MIB },
  // Answers to what the peer asked for: its credit is below this, so only a peer that asks without end overflows it.
  repair: { frameBytes: FRAME_LIMIT, queuedFrames: 512, queuedBytes: 8 * MIB },
  // History. It is asked for in pieces and can wait; half of what repair has keeps it from filling memory.
  backfill: { frameBytes: FRAME_LIMIT, queuedFrames: 256, queuedBytes: 4 * MIB },
}

/** Bytes that may wait for all peers together: with many peers away, what waits for the slowest goes first. */
export const TOTAL_QUEUED_BYTES = 64 * MIB
