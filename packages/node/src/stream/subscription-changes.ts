/** Which subsets of a stream moved lately, so that a new entry makes only those read who follow its subset. */
import { type Bytes32, isSmartLayerError, readData } from '@smartlayer/protocol'
import type { ReadEntry, StreamReader } from './stream-reader.ts'

const STREAM_LIMIT = 64
const SUBSET_LIMIT = 1024
/** A stream that moved on further at once is not followed entry by entry. */
const BURST_LIMIT = 256n
const READ_ENTRIES = 64

/** `last` holds every subset that has an entry after `from`, up to `upTo`, with the place of its last one in the stream. */
type Recent = { from: bigint; upTo: bigint; readonly last: Map<Bytes32, bigint> }

export class SubsetChanges {
  readonly #reader: StreamReader
  readonly #recent = new Map<Bytes32, Recent>()

  constructor(reader: StreamReader) {
    this.#reader = reader
  }

  /** True when it is certain that the subset got no entry since the stream was certified up to `since`. */
  isQuiet({ stream, subset }: { readonly stream: Bytes32; readonly subset: Bytes32 }, since: bigint): boolean {
    const recent = this.#catchUp(stream, since)
    return since >= recent.from && (recent.last.get(subset) ?? 0n) <= since
  }

  #catchUp(stream: Bytes32, since: bigint): Recent {
    const { certified } = this.#reader.state(stream)
    const recent = this.#recent.get(stream) ?? this.#begin(stream, since)
    if (certified - recent.upTo > BURST_LIMIT || recent.last.size > SUBSET_LIMIT) this.#forget(recent, certified)
    while (recent.upTo < certified) {
      const entries = this.#following(stream, recent.upTo)
      if (entries.length === 0) this.#forget(recent, certified)
      for (const { cursor, item } of entries) {
        const subset = readData(item)?.subset
        if (subset !== undefined) recent.last.set(subset, cursor)
        recent.upTo = cursor
      }
    }
    return recent
  }

  #begin(stream: Bytes32, since: bigint): Recent {
    const recent: Recent = { from: since, upTo: since, last: new Map() }
    this.#recent.set(stream, recent)
    const [oldest] = this.#recent.keys()
    if (this.#recent.size > STREAM_LIMIT && oldest !== undefined) this.#recent.delete(oldest)
    return recent
  }

  /** Nothing, when what follows was pruned meanwhile. */
  #following(stream: Bytes32, after: bigint): readonly ReadEntry[] {
    try {
      return this.#reader.entries(stream, { after, limit: READ_ENTRIES })
    } catch (error) {
      if (isSmartLayerError(error) && error.code === 'stream.pruned') return []
      throw error
    }
  }

  /** Whoever asks about what was before has to read for itself. */
  #forget(recent: Recent, certified: bigint): void {
    recent.from = certified
    recent.upTo = certified
    recent.last.clear()
  }
}
