/** The log of streams as a port: entries in order, durable before they are acknowledged, found again by place. */
import type { Bytes32 } from '@smartlayer/protocol'

/** One entry as it rests. `bytes` is its binary form (`encodeItem`); the log never looks inside. */
export type LogEntry = LogPlace & { readonly bytes: Uint8Array }

/** Where an entry stands: in its stream, and in its subset. Both count from 1 without gaps, over all epochs. */
export type LogPlace = {
  readonly stream: Bytes32
  readonly epoch: bigint
  readonly sequence: bigint
  readonly subset: Bytes32
  readonly subSequence: bigint
  readonly uid: Bytes32
}

export type LogRead = {
  /** Entries after this place, exclusive. */
  readonly after: bigint
  readonly limit: number
  /** Stops before the sum of `bytes` passes this; the first entry always comes. Default: no bound beside `limit`. */
  readonly bytes?: number
}

/** What a compaction may drop: everything up to `floor`, but for the last entry of each subset when `keepLatest`. */
export type Prune = { readonly floor: bigint; readonly keepLatest: boolean }

/** Figures for status pages. */
export type LogStats = {
  readonly streams: number
  readonly entries: number
  readonly bytes: number
  readonly segments: number
}

export type StreamLog = {
  /**
   * Appends entries in the given order, all or none. Resolves once they are on disk (fsync); calls that wait at the same time
   * share one. Reads see them only then. Every entry must follow the head of its stream and of its subset, counting
   * entries whose append has not resolved yet; a log refuses anything else with `stream.sequence_gap`. Rejects with
   * `store.full` when there is no room (nothing was written; a later call may succeed) and with `store.failed` after a failed
   * fsync (nothing more is taken until the process starts again). Bounded: `queue.full`.
   */
  append(entries: readonly LogEntry[]): Promise<void>
  /** The last durable entry of a stream, or of one of its subsets. */
  head(stream: Bytes32): LogPlace | undefined
  subsetHead(stream: Bytes32, subset: Bytes32): LogPlace | undefined
  /** The entry at a place; undefined when it was never there or was pruned. Throws `store.corrupt` when its bytes changed. */
  at(stream: Bytes32, sequence: bigint): LogEntry | undefined
  /** Entries of the whole stream in order. A hole is possible only at or below the floor (see `prune`). */
  read(stream: Bytes32, read: LogRead): readonly LogEntry[]
  /** Entries of one subset, by `subSequence`. */
  readSubset(stream: Bytes32, subset: Bytes32, read: LogRead): readonly LogEntry[]
  /** Places alone, without bytes: cheap. */
  places(stream: Bytes32, read: Omit<LogRead, 'bytes'>): readonly LogPlace[]
  /** The last entry of every subset whose key is greater than `after`, in order of keys: the snapshot of a stream. */
  latest(stream: Bytes32, page: { readonly after: Bytes32; readonly limit: number }): readonly LogPlace[]
  /** Drops the entries after a place, durably: a tail that never got its receipt. */
  truncate(stream: Bytes32, after: bigint): Promise<void>
  /** Drops what the retention of a stream no longer needs; heads stay. Never above the head. */
  prune(stream: Bytes32, prune: Prune): Promise<void>
  /** The last place up to which entries may be missing; 0 when nothing was pruned. */
  floor(stream: Bytes32): bigint
  /**
   * Starts a stream in the middle, on a node that has nothing of it: `entries` are the last ones of each subset at a
   * checkpoint, in order; the last of them is the stream's head, and the floor.
   */
  install(stream: Bytes32, entries: readonly LogEntry[]): Promise<void>
  /** Places whose bytes were found to have changed and are not mended yet; the first thousand. */
  damaged(): readonly Pick<LogPlace, 'stream' | 'sequence'>[]
  /** Puts back damaged entries, durably. They are the same ones, by their UIDs; whatever is not damaged is left alone. */
  mend(entries: readonly LogEntry[]): Promise<void>
  /** Streams in order of ids. */
  streams(page: { readonly after: Bytes32 | undefined; readonly limit: number }): readonly Bytes32[]
  stats(): LogStats
}

/** Who may open a log: one process at a time. `close` waits for what is being written. */
export type OwnedStreamLog = StreamLog & { close(): Promise<void> }
