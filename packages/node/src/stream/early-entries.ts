/** Checked entries that arrived before those they follow: kept a moment, because networks reorder what issuers send in order. */
import type { Address, Bytes32, OpenEntry } from '@smartlayer/protocol'

const STREAM_LIMIT = 1_024
/** Messages of one stream that may wait. */
const MESSAGE_LIMIT = 64

export type Early = { readonly from: Address; readonly entries: readonly OpenEntry[]; readonly at: number }

export class EarlyEntries {
  readonly #waiting = new Map<Bytes32, Map<bigint, Early>>()

  get size(): number {
    return this.#waiting.size
  }

  /** Keeps a run of entries. Returns what there was no room for. */
  keep(from: Address, entries: readonly OpenEntry[], at: number): readonly Early[] {
    const { stream, sequence } = entries[0]!.data
    const early = { from, entries, at }
    const known = this.#waiting.get(stream)
    if (!known && this.#waiting.size >= STREAM_LIMIT) return [early]
    const waiting = known ?? new Map<bigint, Early>()
    if (!waiting.has(sequence) && waiting.size >= MESSAGE_LIMIT) return [early]
    if (!waiting.has(sequence)) waiting.set(sequence, early)
    this.#waiting.set(stream, waiting)
    return []
  }

  /** The run whose turn it is, taken out. */
  next(stream: Bytes32, sequence: bigint): Early | undefined {
    const waiting = this.#waiting.get(stream)
    const early = waiting?.get(sequence)
    if (early) this.#drop(stream, waiting!, sequence)
    return early
  }

  /** Runs that wait since before a time, taken out. */
  expired(before: number): readonly Early[] {
    const expired: Early[] = []
    for (const [stream, waiting] of this.#waiting) {
      for (const [sequence, early] of waiting) {
        if (early.at >= before) continue
        expired.push(early)
        this.#drop(stream, waiting, sequence)
      }
    }
    return expired
  }

  #drop(stream: Bytes32, waiting: Map<bigint, Early>, sequence: bigint): void {
    waiting.delete(sequence)
    if (waiting.size === 0) this.#waiting.delete(stream)
  }
}
