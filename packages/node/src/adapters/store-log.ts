/** The log of streams on the Store port: for small nodes that want one file, for the simulator, and for tests in memory. */
import { assert, type Bytes32, SmartLayerError, toHex, writeHex } from '@smartlayer/protocol'
import type { Key, Store, Write } from '../ports/store.ts'
import type { LogEntry, LogPlace, LogRead, LogStats, Prune, StreamLog } from '../ports/stream-log.ts'
import { AppendQueue, refuseInstall } from './segment-log/append-queue.ts'

/** Rows that one step of a range, a truncation or a pruning touches. */
const STEP = 128
/** Entries that a snapshot may have: they go into one commit. */
const INSTALL_LIMIT = 8_192
/** Bytes of a place. */
const PLACE = 88

/**
 * Rows: `log/s/STREAM` its head and what it holds, `log/f/STREAM` what was pruned, `log/e/STREAM/PLACE` entries,
 * `log/h/STREAM/SUBSET` heads of subsets, `log/u/STREAM/SUBSET/PLACE` from places in subsets to places in the stream.
 * Everything is read from the store; only entries whose commit has not ended are kept in memory.
 */
export function storeLog(store: Store): StreamLog {
  const rows = new Rows(store)
  const queue = new AppendQueue(rows, async (appends) => {
    const entries = appends.flat()
    const change = added(rows, entries)
    await store.commit(change.writes)
    rows.count(change)
  })
  return {
    append: (entries) => queue.append(entries),
    head: (stream) => rows.head(stream),
    subsetHead: (stream, subset) => rows.subsetHead(stream, subset),
    at: (stream, sequence) => rows.entry(stream, sequence),
    read: (stream, read) => rows.read(stream, read),
    readSubset: (stream, subset, read) => rows.readSubset(stream, subset, read),
    places: (stream, read) => rows.read(stream, read).map(placeOf),
    latest: (stream, page) => rows.latest(stream, page),
    truncate: (stream, after) => queue.change(() => truncate(store, rows, { stream, after }), stream),
    prune: (stream, wanted) => queue.change(() => prune(store, rows, { stream, wanted })),
    floor: (stream) => rows.floor(stream).floor,
    install: (stream, entries) => queue.change(() => install(store, rows, { stream, entries }), stream),
    // A store either gives what was put into it or fails as a whole.
    damaged: () => [],
    mend: async () => {},
    streams: (page) => rows.streams(page),
    stats: () => rows.stats(),
  }
}

/** `entries` and `bytes` count what was ever added and not truncated; what was pruned is counted in `Floor`. */
type StreamRow = { readonly head: LogPlace; readonly entries: bigint; readonly bytes: bigint }
/**
 * `bare` is the highest floor up to which not even the latest entries keep their bytes. `swept` and `stripped` say how far
 * the rows have followed; both reach the floors when a pruning ends.
 */
type Floor = {
  readonly floor: bigint
  readonly bare: bigint
  readonly swept: bigint
  readonly stripped: bigint
} & Dropped
type Dropped = { readonly entries: bigint; readonly bytes: bigint }
/** `bytes` is undefined when only the place was kept. */
type EntryRow = { readonly place: LogPlace; readonly bytes: Uint8Array | undefined }
type Change = {
  readonly writes: readonly Write[]
  readonly streams: number
  readonly entries: number
  readonly bytes: number
}

const NO_FLOOR: Floor = { floor: 0n, bare: 0n, swept: 0n, stripped: 0n, entries: 0n, bytes: 0n }

class Rows {
  readonly #store: Store
  #stats: { streams: number; entries: number; bytes: number } | undefined

  constructor(store: Store) {
    this.#store = store
  }

  stream(stream: Bytes32): StreamRow | undefined {
    const value = this.#store.get(streamKey(stream))
    return (
      value && { head: readPlace(value, stream), entries: bigintAt(value, PLACE), bytes: bigintAt(value, PLACE + 8) }
    )
  }

  head(stream: Bytes32): LogPlace | undefined {
    return this.stream(stream)?.head
  }

  subsetHead(stream: Bytes32, subset: Bytes32): LogPlace | undefined {
    const value = this.#store.get(subsetKey(stream, subset))
    return value && readPlace(value, stream)
  }

  floor(stream: Bytes32): Floor {
    const value = this.#store.get(floorKey(stream))
    if (!value) return NO_FLOOR
    const [floor, bare, swept, stripped, entries, bytes] = [0, 8, 16, 24, 32, 40].map((at) => bigintAt(value, at))
    return { floor: floor!, bare: bare!, swept: swept!, stripped: stripped!, entries: entries!, bytes: bytes! }
  }

  row(stream: Bytes32, sequence: bigint): EntryRow | undefined {
    const value = this.#store.get(entryKey(stream, sequence))
    return value && readRow(value, stream)
  }

  placeAt(stream: Bytes32, sequence: bigint): LogPlace | undefined {
    return this.row(stream, sequence)?.place
  }

  entry(stream: Bytes32, sequence: bigint): LogEntry | undefined {
    return entryOf(this.row(stream, sequence))
  }

  rowInSubset(stream: Bytes32, subset: Bytes32, subSequence: bigint): EntryRow | undefined {
    const value = this.#store.get(linkKey(stream, subset, subSequence))
    return value && this.row(stream, bigintAt(value, 0))
  }

  read(stream: Bytes32, { after, limit, bytes }: LogRead): readonly LogEntry[] {
    const rows = this.#from(entryKey(stream, after + 1n), `${prefixOf('e', stream)}g`)
    return bounded(rows, { limit, bytes, entryOf: (value) => entryOf(readRow(value, stream)) })
  }

  readSubset(stream: Bytes32, subset: Bytes32, { after, limit, bytes }: LogRead): readonly LogEntry[] {
    const rows = this.#from(linkKey(stream, subset, after + 1n), `${prefixOf('u', stream)}${subset.slice(2)}/g`)
    return bounded(rows, { limit, bytes, entryOf: (value) => this.entry(stream, bigintAt(value, 0)) })
  }

  /** What stands before a place in its subset and was not swept yet; nearly always one entry or none. */
  before({ stream, subset, subSequence }: LogPlace): readonly EntryRow[] {
    const nearest = this.rowInSubset(stream, subset, subSequence - 1n)
    if (nearest) return [nearest]
    const bounds = { from: linkKey(stream, subset, 0n), to: linkKey(stream, subset, subSequence), limit: STEP }
    return this.#store.range(bounds).map(([, value]) => held(this.row(stream, bigintAt(value, 0))))
  }

  /** Rows up to a place, kept ones included, a step at most. */
  upTo(stream: Bytes32, { after, last }: { after: bigint; last: bigint }): readonly EntryRow[] {
    const bounds = { from: entryKey(stream, after + 1n), to: entryKey(stream, last + 1n), limit: STEP }
    return this.#store.range(bounds).map(([, value]) => readRow(value, stream))
  }

  latest(stream: Bytes32, { after, limit }: { after: Bytes32; limit: number }): readonly LogPlace[] {
    const bounds = { from: `${subsetKey(stream, after)}!`, to: `${prefixOf('h', stream)}g`, limit }
    return this.#store.range(bounds).map(([, value]) => readPlace(value, stream))
  }

  streams({ after, limit }: { after: Bytes32 | undefined; limit: number }): readonly Bytes32[] {
    const from = after === undefined ? 'log/s/' : `${streamKey(after)}!`
    return this.#store.range({ from, to: 'log/s/g', limit }).map(([key]) => `0x${key.slice('log/s/'.length)}` as const)
  }

  /** Counted once, then kept up with what is written. */
  stats(): LogStats {
    this.#stats ??= this.#counted()
    return { ...this.#stats, segments: 0 }
  }

  count({ streams, entries, bytes }: Change): void {
    if (!this.#stats) return
    this.#stats.streams += streams
    this.#stats.entries += entries
    this.#stats.bytes += bytes
  }

  #counted(): { streams: number; entries: number; bytes: number } {
    const stats = { streams: 0, entries: 0, bytes: 0 }
    for (const [key, value] of this.#from('log/s/', 'log/s/g')) {
      const dropped = this.floor(`0x${key.slice('log/s/'.length)}`)
      stats.streams++
      stats.entries += Number(bigintAt(value, PLACE) - dropped.entries)
      stats.bytes += Number(bigintAt(value, PLACE + 8) - dropped.bytes)
    }
    return stats
  }

  *#from(from: Key, to: Key): Generator<readonly [Key, Uint8Array]> {
    for (let next = from; ; ) {
      const page = this.#store.range({ from: next, to, limit: STEP })
      yield* page
      if (page.length < STEP) return
      next = `${page.at(-1)![0]}!`
    }
  }
}

function bounded(
  rows: Iterable<readonly [Key, Uint8Array]>,
  {
    limit,
    bytes,
    entryOf: read,
  }: { limit: number; bytes: number | undefined; entryOf: (value: Uint8Array) => LogEntry | undefined },
): readonly LogEntry[] {
  const entries: LogEntry[] = []
  let sum = 0
  if (limit < 1) return entries
  for (const [, value] of rows) {
    const entry = read(value)
    if (!entry) continue
    sum += entry.bytes.length
    if (bytes !== undefined && entries.length > 0 && sum > bytes) break
    entries.push(entry)
    if (entries.length === limit) break
  }
  return entries
}

/** The rows of entries that follow the durable heads. */
function added(rows: Rows, entries: readonly LogEntry[]): Change {
  const writes: Write[] = []
  const heads = new Map<Key, Write>()
  const streams = new Map<Bytes32, { row: StreamRow | undefined; entries: bigint; bytes: bigint }>()
  for (const entry of entries) {
    const { stream, subset, sequence, subSequence, bytes } = entry
    const grown = streams.get(stream) ?? { row: rows.stream(stream), entries: 0n, bytes: 0n }
    grown.entries++
    grown.bytes += BigInt(bytes.length)
    streams.set(stream, grown)
    const head = {
      head: placeOf(entry),
      entries: (grown.row?.entries ?? 0n) + grown.entries,
      bytes: (grown.row?.bytes ?? 0n) + grown.bytes,
    }
    writes.push({ key: entryKey(stream, sequence), value: rowValue(entry, bytes) })
    writes.push({ key: linkKey(stream, subset, subSequence), value: bigints(sequence) })
    heads.set(subsetKey(stream, subset), { key: subsetKey(stream, subset), value: placeValue(entry) })
    heads.set(streamKey(stream), { key: streamKey(stream), value: streamValue(head) })
  }
  const grown = [...streams.values()]
  return {
    writes: [...writes, ...heads.values()],
    streams: grown.filter(({ row }) => row === undefined).length,
    entries: entries.length,
    bytes: Number(grown.reduce((sum, { bytes }) => sum + bytes, 0n)),
  }
}

/** From the end backwards, so that every step leaves a shorter log behind that is whole. */
async function truncate(
  store: Store,
  rows: Rows,
  { stream, after }: { stream: Bytes32; after: bigint },
): Promise<void> {
  const { floor } = rows.floor(stream)
  if (after < floor) throw SmartLayerError.of('stream.pruned', { floor, asked: after })
  for (let row = rows.stream(stream); row && row.head.sequence > after; row = rows.stream(stream)) {
    const writes = new Map<Key, Uint8Array | undefined>()
    const last = row.head.sequence - after > BigInt(STEP) ? row.head.sequence - BigInt(STEP) : after
    let bytes = 0
    for (let sequence = row.head.sequence; sequence > last; sequence--) {
      const entry = held(rows.row(stream, sequence))
      const { subset, subSequence } = entry.place
      const before = rows.rowInSubset(stream, subset, subSequence - 1n)
      bytes += entry.bytes?.length ?? 0
      writes.set(entryKey(stream, sequence), undefined)
      writes.set(linkKey(stream, subset, subSequence), undefined)
      writes.set(subsetKey(stream, subset), before && placeValue(before.place))
    }
    const entries = row.head.sequence - last
    const head = last === 0n ? undefined : held(rows.row(stream, last)).place
    const left = head && { head, entries: row.entries - entries, bytes: row.bytes - BigInt(bytes) }
    writes.set(streamKey(stream), left && streamValue(left))
    const change = {
      writes: [...writes].map(([key, value]) => ({ key, value })),
      streams: left ? 0 : -1,
      entries: -Number(entries),
      bytes: -bytes,
    }
    await store.commit(change.writes)
    rows.count(change)
  }
}

/** Sets the floor first; then the rows follow in steps, here or when it is asked for again. */
async function prune(store: Store, rows: Rows, { stream, wanted }: { stream: Bytes32; wanted: Prune }): Promise<void> {
  const head = rows.head(stream)
  if (!head) return
  const before = rows.floor(stream)
  const floor = least(wanted.floor, head.sequence)
  const bare = wanted.keepLatest ? before.bare : greatest(before.bare, floor)
  const next = { ...before, floor: greatest(before.floor, floor), bare }
  if (next.floor > before.floor || next.bare > before.bare) {
    await store.commit([{ key: floorKey(stream), value: floorValue(next) }])
  }
  await follow(store, rows, stream)
}

async function follow(store: Store, rows: Rows, stream: Bytes32): Promise<void> {
  for (let at = rows.floor(stream); at.swept < at.floor || at.stripped < at.bare; at = rows.floor(stream)) {
    const change = at.swept < at.floor ? sweep(rows, stream, at) : strip(rows, stream, at)
    await store.commit(change.writes)
    rows.count(change)
  }
}

/** Every entry up to the floor makes those before it in its subset superfluous. */
function sweep(rows: Rows, stream: Bytes32, at: Floor): Change {
  const step = rows.upTo(stream, { after: at.swept, last: at.floor })
  const superfluous = new Map<bigint, EntryRow>()
  for (const { place } of step) {
    for (const row of rows.before(place)) superfluous.set(row.place.sequence, row)
  }
  const gone = [...superfluous.values()]
  const writes = gone.flatMap(({ place: { subset, sequence, subSequence } }) => [
    { key: entryKey(stream, sequence), value: undefined },
    { key: linkKey(stream, subset, subSequence), value: undefined },
  ])
  const swept = step.length < STEP ? at.floor : step.at(-1)!.place.sequence
  return dropped(writes, { stream, next: { ...at, swept }, rows: gone })
}

/** Takes the bytes of what stayed for its place alone. */
function strip(rows: Rows, stream: Bytes32, at: Floor): Change {
  const step = rows.upTo(stream, { after: at.stripped, last: at.bare })
  const full = step.filter(({ bytes }) => bytes !== undefined)
  const writes = full.map(({ place }) => ({ key: entryKey(stream, place.sequence), value: rowValue(place, undefined) }))
  const stripped = step.length < STEP ? at.bare : step.at(-1)!.place.sequence
  return dropped(writes, { stream, next: { ...at, stripped }, rows: full })
}

/** Adds to the writes how far the rows have followed, and counts whose bytes went. */
function dropped(
  writes: readonly Write[],
  { stream, next, rows }: { stream: Bytes32; next: Floor; rows: readonly EntryRow[] },
): Change {
  const full = rows.filter(({ bytes }) => bytes !== undefined)
  const bytes = full.reduce((sum, row) => sum + row.bytes!.length, 0)
  const counted = { ...next, entries: next.entries + BigInt(full.length), bytes: next.bytes + BigInt(bytes) }
  return {
    writes: [...writes, { key: floorKey(stream), value: floorValue(counted) }],
    streams: 0,
    entries: -full.length,
    bytes: -bytes,
  }
}

async function install(
  store: Store,
  rows: Rows,
  { stream, entries }: { stream: Bytes32; entries: readonly LogEntry[] },
): Promise<void> {
  refuseInstall(stream, entries, rows)
  if (entries.length > INSTALL_LIMIT) throw SmartLayerError.of('queue.full', { queue: 'install', limit: INSTALL_LIMIT })
  const missing = entries.filter(({ sequence }) => !rows.row(stream, sequence))
  const change = added(rows, missing)
  const floor = { ...rows.floor(stream), floor: entries.at(-1)!.sequence }
  await store.commit([...change.writes, { key: floorKey(stream), value: floorValue(floor) }])
  rows.count(change)
  await follow(store, rows, stream)
}

function held(row: EntryRow | undefined): EntryRow {
  assert(row, 'a place between floor and head has no row')
  return row
}

function placeOf({ stream, epoch, sequence, subset, subSequence, uid }: LogPlace): LogPlace {
  return { stream, epoch, sequence, subset, subSequence, uid }
}

function entryOf(row: EntryRow | undefined): LogEntry | undefined {
  return row?.bytes && { ...row.place, bytes: row.bytes }
}

function prefixOf(kind: string, stream: Bytes32): Key {
  return `log/${kind}/${stream.slice(2)}/`
}

function streamKey(stream: Bytes32): Key {
  return `log/s/${stream.slice(2)}`
}

function floorKey(stream: Bytes32): Key {
  return `log/f/${stream.slice(2)}`
}

function subsetKey(stream: Bytes32, subset: Bytes32): Key {
  return `${prefixOf('h', stream)}${subset.slice(2)}`
}

function entryKey(stream: Bytes32, sequence: bigint): Key {
  return `${prefixOf('e', stream)}${digits(sequence)}`
}

function linkKey(stream: Bytes32, subset: Bytes32, subSequence: bigint): Key {
  return `${prefixOf('u', stream)}${subset.slice(2)}/${digits(subSequence)}`
}

function digits(value: bigint): string {
  return value.toString(16).padStart(16, '0')
}

/** Epoch, sequence, place in the subset, subset, uid. */
function writePlace(target: Uint8Array, at: number, place: LogPlace): void {
  writeBigints(target, at, [place.epoch, place.sequence, place.subSequence])
  writeHex(target, at + 24, place.subset)
  writeHex(target, at + 56, place.uid)
}

function readPlace(value: Uint8Array, stream: Bytes32, at = 0): LogPlace {
  return {
    stream,
    epoch: bigintAt(value, at),
    sequence: bigintAt(value, at + 8),
    subset: toHex(value.subarray(at + 24, at + 56)),
    subSequence: bigintAt(value, at + 16),
    uid: toHex(value.subarray(at + 56, at + 88)),
  }
}

function placeValue(place: LogPlace): Uint8Array {
  const value = new Uint8Array(PLACE)
  writePlace(value, 0, place)
  return value
}

/** A mark that says whether the bytes are there, the place, the bytes. */
function rowValue(place: LogPlace, bytes: Uint8Array | undefined): Uint8Array {
  const value = new Uint8Array(1 + PLACE + (bytes?.length ?? 0))
  value[0] = bytes ? 1 : 0
  writePlace(value, 1, place)
  if (bytes) value.set(bytes, 1 + PLACE)
  return value
}

function readRow(value: Uint8Array, stream: Bytes32): EntryRow {
  const bytes = value[0] === 1 ? new Uint8Array(value.subarray(1 + PLACE)) : undefined
  return { place: readPlace(value, stream, 1), bytes }
}

function streamValue({ head, entries, bytes }: StreamRow): Uint8Array {
  const value = new Uint8Array(PLACE + 16)
  writePlace(value, 0, head)
  writeBigints(value, PLACE, [entries, bytes])
  return value
}

function floorValue({ floor, bare, swept, stripped, entries, bytes }: Floor): Uint8Array {
  return bigints(floor, bare, swept, stripped, entries, bytes)
}

function bigints(...values: readonly bigint[]): Uint8Array {
  const target = new Uint8Array(values.length * 8)
  writeBigints(target, 0, values)
  return target
}

function writeBigints(target: Uint8Array, at: number, values: readonly bigint[]): void {
  const view = new DataView(target.buffer, target.byteOffset)
  for (const [i, value] of values.entries()) view.setBigUint64(at + i * 8, value)
}

function bigintAt(value: Uint8Array, at: number): bigint {
  return new DataView(value.buffer, value.byteOffset).getBigUint64(at)
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}

function greatest(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
