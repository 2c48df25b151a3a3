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

  /** The run whose turn it is, taken out, from this place on; what only repeats what is there already is forgotten. */
  next(stream: Bytes32, sequence: bigint): Early | undefined {
    const waiting = this.#waiting.get(stream)
    let found: Early | undefined
    for (const [first, early] of waiting ?? []) {
      const isCovered = first <= sequence && early.entries.at(-1)!.data.sequence < sequence
      const isTurn = !found && first <= sequence && !isCovered
      if (isTurn) found = { ...early, entries: early.entries.filter(({ data }) => data.sequence >= sequence) }
      if (isTurn || isCovered) this.#drop(stream, waiting!, first)
    }
    return found
  }

  /** Runs that wait since before a time, taken out; those that `isKept` stay. */
  expired(before: number, isKept: (early: Early) => boolean): readonly Early[] {
    const expired: Early[] = []
    for (const [stream, waiting] of this.#waiting) {
      for (const [sequence, early] of waiting) {
        if (early.at >= before || isKept(early)) continue
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
