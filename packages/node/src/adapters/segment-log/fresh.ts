/** Records that are durable but not in the index yet: readers find appended entries here, behind the rows of the index. */
import type { Bytes32 } from '@smartlayer/protocol'
import type { LogPlace } from '../../ports/stream-log.ts'
import type { IndexedRecord, Placed, Row } from './log-index.ts'

/**
 * Appended entries follow what the index has and are shown at once. A change (truncation, floor, snapshot) shows only in the
 * index, so whoever reads that stream lets the index follow first. Of copies the originals are still there.
 */
export type Origin = 'append' | 'change' | 'copy'
export type FreshRecord = { readonly placed: Placed; readonly origin: Origin }
export type FreshEntry = { readonly place: LogPlace; readonly row: Row }
type FreshStream = { readonly entries: FreshEntry[]; readonly subsetHeads: Map<Bytes32, LogPlace> }

export class Fresh {
  #records: FreshRecord[] = []
  readonly #streams = new Map<Bytes32, FreshStream>()
  readonly #changed = new Set<Bytes32>()

  get size(): number {
    return this.#records.length
  }

  /** Streams with entries here, in no order. */
  get streams(): readonly Bytes32[] {
    return [...this.#streams.keys()]
  }

  add(records: readonly FreshRecord[]): void {
    for (const record of records) {
      this.#records.push(record)
      const { placed, origin } = record
      if (origin === 'change') this.#changed.add(streamOf(placed.record))
      if (origin !== 'append' || placed.record.kind !== 'entry') continue
      this.#show(placed.record.place, placed)
    }
  }

  /** Takes the first records out, because they go into the index. */
  take(count: number): readonly FreshRecord[] {
    const taken = this.#records.splice(0, count)
    for (const { placed, origin } of taken) {
      if (origin === 'append' && placed.record.kind === 'entry') this.#hide(placed.record.place)
    }
    if (this.#records.length === 0) this.#changed.clear()
    return taken
  }

  /** Puts back what the index could not keep. */
  restore(records: readonly FreshRecord[]): void {
    const later = this.#records
    this.#records = []
    this.#streams.clear()
    this.add(records)
    this.add(later)
  }

  isChanged(stream: Bytes32): boolean {
    return this.#changed.has(stream)
  }

  head(stream: Bytes32): LogPlace | undefined {
    return this.#streams.get(stream)?.entries.at(-1)?.place
  }

  subsetHead(stream: Bytes32, subset: Bytes32): LogPlace | undefined {
    return this.#streams.get(stream)?.subsetHeads.get(subset)
  }

  at(stream: Bytes32, sequence: bigint): FreshEntry | undefined {
    const [entry] = this.after(stream, sequence - 1n)
    return entry?.place.sequence === sequence ? entry : undefined
  }

  /** Entries of a stream after a place, in order. */
  after(stream: Bytes32, sequence: bigint): readonly FreshEntry[] {
    const entries = this.#streams.get(stream)?.entries
    if (!entries) return []
    const first = entries[0]!.place.sequence
    return sequence < first ? entries : entries.slice(Number(sequence - first) + 1)
  }

  ofSubset(stream: Bytes32, subset: Bytes32, after: bigint): readonly FreshEntry[] {
    const fresh = this.#streams.get(stream)
    if (!fresh?.subsetHeads.has(subset)) return []
    return fresh.entries.filter(({ place }) => place.subset === subset && place.subSequence > after)
  }

  #show(place: LogPlace, placed: Placed): void {
    const fresh: FreshStream = this.#streams.get(place.stream) ?? { entries: [], subsetHeads: new Map() }
    fresh.entries.push({ place, row: rowOf(place, placed) })
    fresh.subsetHeads.set(place.subset, place)
    this.#streams.set(place.stream, fresh)
  }

  #hide(place: LogPlace): void {
    const { entries, subsetHeads } = this.#streams.get(place.stream)!
    entries.shift()
    if (entries.length === 0) this.#streams.delete(place.stream)
    else if (subsetHeads.get(place.subset) === place) subsetHeads.delete(place.subset)
  }
}

function rowOf({ sequence, subSequence }: LogPlace, { location, size }: Placed): Row {
  return { sequence, subSequence, location, size, isBare: false }
}

function streamOf(record: IndexedRecord): Bytes32 {
  return record.kind === 'entry' || record.kind === 'place' ? record.place.stream : record.stream
}
