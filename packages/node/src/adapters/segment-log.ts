/** The log of streams in segment files: one fsync for all that waits, an index beside them, and a copy of what still lives. */
import { randomInt } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Bytes32, isSmartLayerError, SmartLayerError } from '@smartlayer/protocol'
import type { LogEntry, LogPlace, LogRead, LogStats, OwnedStreamLog, Prune } from '../ports/stream-log.ts'
import { AppendQueue, refuseInstall } from './segment-log/append-queue.ts'
import { Checkpointer } from './segment-log/checkpointer.ts'
import { framesOf, type LogRecord, PLACE_SIZE, readFrame, sizeOf, writeFrame } from './segment-log/frames.ts'
import { Fresh, type FreshEntry, type FreshRecord, type Origin } from './segment-log/fresh.ts'
import { type IndexedRecord, LogIndex, type Placed, type Row, SQLITE, sqliteCode } from './segment-log/log-index.ts'
import { Lru } from './segment-log/lru.ts'
import { type Disk, HEADER_SIZE, locationOf, offsetOf, realDisk, Segments, segmentOf } from './segment-log/segments.ts'

export type SegmentLogOptions = {
  /** False acknowledges before anything is on disk: for benchmarks only, a node would lose what it has signed for. */
  readonly fsync?: boolean
  /** Takes the place of the disk in tests. */
  readonly disk?: Disk
  /** Size after which a new segment begins. */
  readonly segmentBytes?: number
  /** Pages that the index may have: a disk that is full for it, in tests. */
  readonly indexPages?: number
}

/** Streams and subsets whose heads are kept in memory. */
const HEADS_CACHED = 8_192
/** Records that the index takes before others have their turn, and rows that one step of pruning touches. */
const STEP = 256
/** Durable records that may wait for the index until it follows, and for how long. */
const FRESH_ENOUGH = 2_048
const FRESH_MS = 250
/** From here on appends wait for the index too, and are refused where it has no room. */
const FRESH_MUCH = 16_384
const FRESH_LIMIT = 32_768
/** A segment is copied and removed when less than this share of it lives. */
const LIVE_SHARE = 0.3
const COPY_BYTES = 1_048_576
/** Frames that lie this close are read at once. */
const READ_GAP = 4_096
const READ_BYTES = 1_048_576
const INSTALL_LIMIT = 65_536
const INSTALL_BYTES_LIMIT = 67_108_864
const SCRATCH_BYTES = 1_048_576
/** Damaged entries that are remembered; others are found again when they are read again. */
const DAMAGED_LIMIT = 1_024
/** Segments that one change copies; those without life go in any case. */
const COPIES_PER_CHANGE = 4

/** Streams whose entries did not follow each other where the segments were read again. */
class Progress {
  readonly jumped = new Set<Bytes32>()
  readonly #reached = new Map<Bytes32, bigint>()
  readonly #before: (stream: Bytes32) => bigint

  /** `before` is how far the index knew a stream. */
  constructor(before: (stream: Bytes32) => bigint) {
    this.#before = before
  }

  note({ stream, sequence }: LogPlace): void {
    const reached = this.#reached.get(stream) ?? this.#before(stream)
    if (sequence > reached + 1n) this.jumped.add(stream)
    this.#reached.set(stream, sequence > reached ? sequence : reached)
  }
}

export class SegmentLog implements OwnedStreamLog {
  readonly #indexPath: string
  readonly #indexPages: number | undefined
  readonly #lock: DatabaseSync
  readonly #segments: Segments
  readonly #index: LogIndex
  readonly #checkpointer: Checkpointer
  readonly #queue: AppendQueue
  readonly #heads = new Lru<Bytes32, LogPlace>(HEADS_CACHED)
  readonly #subsetHeads = new Lru<string, LogPlace>(HEADS_CACHED)
  readonly #fresh = new Fresh()
  /** What was found changed, by stream and place. */
  readonly #damaged = new Map<string, Pick<LogPlace, 'stream' | 'sequence'>>()
  /** What the index was given and has not saved yet. */
  #unsaved: FreshRecord[] = []
  #flushTimer: NodeJS.Timeout | undefined
  #flushing: Promise<void> | undefined
  /** It had no room the last time; tried again a little later. */
  #isIndexFull = false
  #scratch = Buffer.allocUnsafe(SCRATCH_BYTES)
  #writing: Promise<unknown> = Promise.resolve()
  #group = 0
  #failed: SmartLayerError | undefined
  #closing: Promise<void> | undefined
  #isClosed = false

  /**
   * Opens or creates a log, and reads again what the index missed. Throws `store.failed` when another process has it open or
   * it cannot be read.
   */
  static async open(folder: string, options: SegmentLogOptions = {}): Promise<SegmentLog> {
    let lock: DatabaseSync | undefined
    try {
      mkdirSync(folder, { recursive: true })
      lock = lockOf(folder)
      return new SegmentLog(folder, lock, options)
    } catch (error) {
      lock?.close()
      throw SmartLayerError.because(error, 'store.failed', { operation: `open the log in ${folder}` })
    }
  }

  private constructor(
    folder: string,
    lock: DatabaseSync,
    { fsync = true, disk = realDisk, segmentBytes, indexPages }: SegmentLogOptions,
  ) {
    this.#indexPath = join(folder, 'index.db')
    this.#indexPages = indexPages
    this.#lock = lock
    this.#segments = new Segments({ folder, disk, fsync, segmentBytes }, randomInt(2 ** 32))
    this.#index = this.#openIndex()
    this.#checkpointer = new Checkpointer(this.#indexPath)
    this.#queue = new AppendQueue(this, (appends) => this.#commit(appends))
    try {
      this.#recover()
    } catch (error) {
      this.#index.close()
      this.#segments.close()
      throw error
    }
  }

  append(entries: readonly LogEntry[]): Promise<void> {
    try {
      this.#refuseClosed()
      return this.#queue.append(entries)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  head(stream: Bytes32): LogPlace | undefined {
    const known = this.#heads.get(stream)
    if (known) return known
    this.#settle(stream)
    const head = this.#fresh.head(stream) ?? this.#index.head(stream)
    if (head) this.#heads.set(stream, head)
    return head
  }

  subsetHead(stream: Bytes32, subset: Bytes32): LogPlace | undefined {
    const known = this.#subsetHeads.get(stream + subset)
    if (known) return known
    this.#settle(stream)
    const head = this.#fresh.subsetHead(stream, subset) ?? this.#index.subsetHead(stream, subset)
    if (head) this.#subsetHeads.set(stream + subset, head)
    return head
  }

  at(stream: Bytes32, sequence: bigint): LogEntry | undefined {
    this.#settle(stream)
    const row = this.#fresh.at(stream, sequence)?.row ?? this.#index.row(stream, sequence)
    if (row) return row.isBare ? undefined : this.#entries(stream, [row])[0]
    const isHole = sequence > this.floor(stream) && sequence <= (this.head(stream)?.sequence ?? 0n)
    if (isHole) throw this.#corrupt(stream, sequence)
    return undefined
  }

  read(stream: Bytes32, read: LogRead): readonly LogEntry[] {
    this.#settle(stream)
    const rows = joined(this.#index.rows(stream, read.after), this.#fresh.after(stream, read.after))
    return this.#read(stream, { ...read, rows, from: read.after, placeOf: ({ sequence }) => sequence })
  }

  readSubset(stream: Bytes32, subset: Bytes32, read: LogRead): readonly LogEntry[] {
    this.#settle(stream)
    const fresh = this.#fresh.ofSubset(stream, subset, read.after)
    const rows = joined(this.#index.rowsOfSubset(stream, subset, read.after), fresh)
    return this.#read(stream, { ...read, rows, from: 0n, placeOf: ({ subSequence }) => subSequence })
  }

  places(stream: Bytes32, { after, limit }: Omit<LogRead, 'bytes'>): readonly LogPlace[] {
    this.#settle(stream)
    const places = this.#index.places(stream, { after, limit })
    if (places.length >= limit) return places
    const fresh = this.#fresh.after(stream, after).slice(0, limit - places.length)
    return [...places, ...fresh.map(({ place }) => place)]
  }

  latest(stream: Bytes32, page: { readonly after: Bytes32; readonly limit: number }): readonly LogPlace[] {
    this.#flush()
    return this.#index.latest(stream, page)
  }

  /** The place of an entry, also when its bytes were pruned. */
  placeAt(stream: Bytes32, sequence: bigint): LogPlace | undefined {
    this.#settle(stream)
    return this.#fresh.at(stream, sequence)?.place ?? this.#index.placeAt(stream, sequence)
  }

  floor(stream: Bytes32): bigint {
    this.#settle(stream)
    return this.#index.stream(stream)?.floor ?? 0n
  }

  damaged(): readonly Pick<LogPlace, 'stream' | 'sequence'>[] {
    for (const [key, { stream, sequence }] of this.#damaged) {
      const isThere = this.#index.row(stream, sequence) !== undefined
      const isInside = sequence > (this.#index.stream(stream)?.floor ?? 0n) && sequence <= this.#indexedHead(stream)
      if (!isThere && !isInside) this.#damaged.delete(key) // pruned, or given up
    }
    return [...this.#damaged.values()]
  }

  mend(entries: readonly LogEntry[]): Promise<void> {
    return this.#change(async () => {
      const damaged = entries.filter((entry) => this.#mayMend(entry))
      await this.#copy(damaged.map((entry) => this.#mended(entry)))
      for (const { stream, sequence } of damaged) this.#damaged.delete(damageKey(stream, sequence))
      this.#subsetHeads.clear() // where the last entry of a subset was hidden, the one before it was taken for the last
    })
  }

  /** Needs no room in the index: nodes ask every second, also while their disk is full. */
  streams({ after, limit }: { readonly after: Bytes32 | undefined; readonly limit: number }): readonly Bytes32[] {
    if (this.#isClosed) throw this.#failed
    const fresh = this.#fresh.streams.filter((stream) => after === undefined || stream > after)
    return [...new Set([...this.#index.streams({ after, limit }), ...fresh])].sort().slice(0, limit)
  }

  /** `bytes` are those of the segments on disk. */
  stats(): LogStats {
    this.#flush()
    return { ...this.#index.counts, bytes: this.#segments.bytes, segments: this.#segments.numbers.length }
  }

  truncate(stream: Bytes32, after: bigint): Promise<void> {
    return this.#change(async () => {
      const floor = this.floor(stream)
      if (after < floor) throw SmartLayerError.of('stream.pruned', { floor, asked: after })
      if (after >= (this.head(stream)?.sequence ?? 0n)) return
      await this.#mark([{ kind: 'truncate', origin: 0, stream, after }])
      await this.#tidy()
    }, stream)
  }

  prune(stream: Bytes32, { floor: wanted, keepLatest }: Prune): Promise<void> {
    return this.#change(async () => {
      const head = this.head(stream)
      if (!head) return
      this.#settle(stream)
      const before = this.#index.stream(stream)!
      const reached = wanted < head.sequence ? wanted : head.sequence
      const floor = reached > before.floor ? reached : before.floor
      const bare = !keepLatest && reached > before.bare ? reached : before.bare
      if (floor > before.floor || bare > before.bare) {
        await this.#mark([{ kind: 'prune', origin: 0, stream, floor, bare }])
      }
      await this.#sweep(stream)
      await this.#tidy()
    })
  }

  install(stream: Bytes32, entries: readonly LogEntry[]): Promise<void> {
    return this.#change(async () => {
      refuseInstall(stream, entries, this)
      const bytes = entries.reduce((sum, entry) => sum + entry.bytes.length, 0)
      if (entries.length > INSTALL_LIMIT || bytes > INSTALL_BYTES_LIMIT) {
        throw SmartLayerError.of('queue.full', { queue: 'install', limit: INSTALL_LIMIT })
      }
      const missing = entries.filter(({ sequence }) => !this.placeAt(stream, sequence))
      const bare = this.#index.stream(stream)?.bare ?? 0n
      const floor = entries.at(-1)!.sequence
      await this.#mark([...missing.map(recordOf), { kind: 'prune', origin: 0, stream, floor, bare }])
      await this.#sweep(stream)
    }, stream)
  }

  /** Writes what waits, ends a copying under way between two steps, and gives the folder free. */
  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #end(): Promise<void> {
    await this.#queue.settled()
    await this.#writing
    await this.#flushing
    clearTimeout(this.#flushTimer)
    try {
      this.#flush()
    } catch {
      // What the index lacks is read from the segments at the next start.
    }
    await this.#checkpointer.close()
    this.#isClosed = true
    this.#failed ??= SmartLayerError.of('store.failed', { operation: 'use a log that was closed' })
    this.#index.close()
    this.#segments.close()
    this.#lock.close()
  }

  #refuseClosed(): void {
    if (this.#failed) throw this.#failed
    if (this.#closing) throw SmartLayerError.of('store.failed', { operation: 'append to a log that is closing' })
  }

  #change(run: () => Promise<void>, stream?: Bytes32): Promise<void> {
    const runSettled = async () => {
      this.#flush() // where the index has no room, nothing is changed
      await run()
    }
    try {
      this.#refuseClosed()
      return this.#queue.change(runSettled, stream)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async #commit(appends: readonly (readonly LogEntry[])[]): Promise<void> {
    const placed = await this.#write(
      appends.map((entries) => entries.map(recordOf)),
      'append',
    )
    for (const { record } of placed) {
      if (record.kind !== 'entry') continue
      const { place } = record
      this.#heads.set(place.stream, place)
      this.#subsetHeads.set(place.stream + place.subset, place)
    }
  }

  /** Writes records that change what is there, all or none, and lets the index follow at once. */
  async #mark(records: readonly LogRecord[]): Promise<void> {
    await this.#write([records], 'change')
    if (records.some(({ kind }) => kind !== 'prune')) {
      this.#heads.clear()
      this.#subsetHeads.clear()
    }
    this.#flush()
  }

  /** One group after another. Resolves when it is durable. */
  #write(batches: readonly (readonly LogRecord[])[], origin: Origin): Promise<readonly Placed[]> {
    const written = this.#writing.then(() => this.#writeGroup(batches, origin))
    this.#writing = written.catch(() => undefined)
    return written
  }

  async #writeGroup(batches: readonly (readonly LogRecord[])[], origin: Origin): Promise<readonly Placed[]> {
    try {
      if (this.#failed) throw this.#failed
      if (this.#fresh.size > FRESH_LIMIT) this.#flush()
      else if (this.#fresh.size > FRESH_MUCH && !this.#isIndexFull) await this.#flushBehind()
      const size = batches.flat().reduce((sum, record) => sum + sizeOf(record), 0)
      const { location, seed } = await this.#segments.place(size)
      const { bytes, placed } = this.#encode(batches, { size, location, seed })
      const appended = this.#segments.append(bytes).then(
        () => undefined,
        (error: unknown) => ({ error }),
      )
      if (this.#fresh.size >= FRESH_ENOUGH && !this.#isIndexFull) void this.#flushBehind() // while the disk is busy
      const refused = await appended
      if (refused) throw refused.error
      if (this.#failed) throw this.#failed
      this.#group++
      this.#fresh.add(placed.map((each) => ({ placed: each, origin })))
      this.#flushLater()
      return placed
    } catch (error) {
      if (isSmartLayerError(error) && error.code === 'store.full') throw error
      this.#failed ??= isSmartLayerError(error)
        ? error
        : SmartLayerError.because(error, 'store.failed', { operation: 'append to the log' })
      throw this.#failed
    }
  }

  #encode(
    batches: readonly (readonly LogRecord[])[],
    { size, location, seed }: { size: number; location: number; seed: number },
  ): { readonly bytes: Buffer; readonly placed: readonly Placed[] } {
    const target = size <= this.#scratch.length ? this.#scratch : Buffer.allocUnsafe(size)
    const placed: Placed[] = []
    let at = 0
    for (const batch of batches) {
      for (const [i, record] of batch.entries()) {
        const end = writeFrame(target, at, { record, group: this.#group + 1, isLast: i === batch.length - 1, seed })
        placed.push({ record: withoutBytes(record), location: location + at, size: end - at, group: this.#group + 1 })
        at = end
      }
    }
    return { bytes: target.subarray(0, at), placed }
  }

  /** Lets the index follow when what is to be read of this stream shows only there. */
  #settle(stream: Bytes32): void {
    if (this.#isClosed) throw this.#failed
    if (this.#fresh.isChanged(stream)) this.#flush()
  }

  #flush(): void {
    if (this.#isClosed) throw this.#failed
    while (this.#fresh.size > 0) this.#flushStep()
    this.#save()
  }

  /** One at a time, in steps between which others have their turn. */
  #flushBehind(): Promise<void> {
    this.#flushing ??= this.#flushInSteps(this.#fresh.size).finally(() => {
      this.#flushing = undefined
    })
    return this.#flushing
  }

  async #flushInSteps(count: number): Promise<void> {
    try {
      for (let rest = count; rest > 0 && this.#fresh.size > 0; rest -= STEP) {
        this.#flushStep()
        await nextTurn()
      }
      this.#save()
    } catch {
      // What is durable stays in memory until there is room; after any other failure the log refuses everything.
    }
  }

  #flushStep(): void {
    const step = this.#fresh.take(STEP)
    this.#unsaved.push(...step)
    this.#indexed(() => this.#index.add(step.map(({ placed }) => placed)))
  }

  #save(): void {
    this.#indexed(() => this.#index.save())
    if (this.#unsaved.length > 0) this.#checkpointer.saved(this.#unsaved.length)
    this.#unsaved = []
  }

  #flushLater(): void {
    this.#flushTimer ??= setTimeout(() => {
      this.#flushTimer = undefined
      this.#isIndexFull = false
      void this.#flushBehind().then(() => this.#fresh.size > 0 && !this.#failed && this.#flushLater())
    }, FRESH_MS).unref()
  }

  /** A write of the index. Throws `store.full` when it has no room; any other failure ends the log. */
  #indexed<T>(write: () => T): T {
    try {
      return write()
    } catch (error) {
      this.#fresh.restore(this.#unsaved)
      this.#unsaved = []
      const code = sqliteCode(error)
      if (code === SQLITE.full) {
        this.#isIndexFull = true
        throw SmartLayerError.because(error, 'store.full', { operation: 'write the index of the log' })
      }
      if (code === SQLITE.corrupt) this.#removeIndex() // the next start makes it again
      this.#failed ??= SmartLayerError.because(error, 'store.failed', { operation: 'write the index of the log' })
      throw this.#failed
    }
  }

  /** Rows follow the floors of a stream step by step. */
  async #sweep(stream: Bytes32): Promise<void> {
    for (let hasMore = true; hasMore; await nextTurn()) {
      this.#flush()
      hasMore = this.#indexed(() => this.#index.sweep(stream, STEP))
    }
  }

  /** Frees the space of segments of which little lives. A disk that is too full for the copies is left for the next time. */
  async #tidy(): Promise<void> {
    this.#flush() // so that the index knows everything in the segments that are sealed now
    const active = this.#segments.active ?? 0
    let copied = 0
    try {
      for (const { number, live } of this.#index.segments()) {
        if (number >= active || live >= LIVE_SHARE * this.#segments.sizeOf(number)) continue
        if (live > 0 && copied++ >= COPIES_PER_CHANGE) continue
        if (!(await this.#compact(number, live > 0))) return
      }
    } catch (error) {
      if (!isSmartLayerError(error) || error.code !== 'store.full') throw error
    }
  }

  /** Copies are durable, then the index points to them, durably; only then the file goes. False when the log is closing. */
  async #compact(number: number, hasEntries: boolean): Promise<boolean> {
    let copies: LogRecord[] = []
    let bytes = 0
    let seen = 0
    for (const { record, at } of this.#framesIn(number, { from: HEADER_SIZE, group: 0, isLastFile: false })) {
      const location = locationOf(number, at)
      const isMarker = record.kind === 'truncate' || record.kind === 'prune'
      const living = hasEntries || isMarker ? this.#living(record, location) : undefined
      if (living) {
        copies.push({ ...living, origin: record.origin === 0 ? location : record.origin })
        bytes += sizeOf(living)
      }
      if (++seen % STEP !== 0 && bytes < COPY_BYTES) continue
      await this.#copy(copies)
      copies = []
      bytes = 0
      if (this.#closing) return false
    }
    await this.#copy(copies)
    this.#indexed(() => this.#index.removeSegment(number))
    this.#segments.remove(number)
    return true
  }

  async #copy(copies: readonly LogRecord[]): Promise<void> {
    if (copies.length > 0) await this.#write([copies], 'copy')
    else await nextTurn()
    this.#flush()
  }

  /** What must outlive the segment of a record: undefined when nothing. */
  #living(record: LogRecord, location: number): LogRecord | undefined {
    if (record.kind === 'truncate') {
      const written = segmentOf(record.origin === 0 ? location : record.origin)
      const others = this.#segments.numbers.filter((number) => number !== segmentOf(location))
      return others.some((number) => number <= written) ? record : undefined
    }
    if (record.kind === 'prune') return this.#index.stream(record.stream)?.marker === location ? record : undefined
    const row = this.#index.row(record.place.stream, record.place.sequence)
    if (row?.location !== location) return undefined
    return row.isBare ? { kind: 'place', origin: record.origin, place: record.place } : record
  }

  /** `from` is a place of the stream that no row comes before. */
  #read(
    stream: Bytes32,
    {
      after,
      limit,
      bytes,
      rows,
      from,
      placeOf,
    }: LogRead & { rows: Iterable<Row>; from: bigint; placeOf: (row: Row) => bigint },
  ): readonly LogEntry[] {
    const floor = this.floor(stream)
    let last = from > floor ? from : floor
    const found: Row[] = []
    let before = after
    let sum = 0
    if (limit < 1) return []
    for (const row of rows) {
      const isHole = row.sequence > floor && placeOf(row) !== before + 1n
      if (isHole) {
        const error = this.#corrupt(stream, this.#holeBehind(stream, last))
        if (found.length === 0) throw error
        break
      }
      before = placeOf(row)
      last = row.sequence
      if (row.isBare) continue
      sum += row.size - PLACE_SIZE
      if (bytes !== undefined && found.length > 0 && sum > bytes) break
      found.push(row)
      if (found.length === limit) break
    }
    return this.#entries(stream, found)
  }

  /** The entries of rows up to the first that was changed; throws `store.corrupt` when that is the very first. */
  #entries(stream: Bytes32, rows: readonly Row[]): LogEntry[] {
    const entries: LogEntry[] = []
    for (let i = 0; i < rows.length; ) {
      const run = runAt(rows, i)
      const start = run[0]!.location
      const end = run.at(-1)!.location + run.at(-1)!.size
      const bytes = this.#segments.read(start, end - start)
      for (const row of run) {
        const frame = readFrame(bytes, row.location - start, this.#segments.seedOf(segmentOf(row.location)))
        const isIt = frame?.record.kind === 'entry' && isAt(frame.record.place, stream, row)
        if (!isIt) {
          const error = this.#corrupt(stream, row.sequence)
          if (entries.length === 0) throw error
          return entries
        }
        const { place, bytes: body } = frame.record as LogRecord & { kind: 'entry' }
        entries.push({ ...place, bytes: body })
      }
      i += run.length
    }
    return entries
  }

  /** The first place behind this one that is missing. */
  #holeBehind(stream: Bytes32, sequence: bigint): bigint {
    let next = sequence + 1n
    for (const row of joined(this.#index.rows(stream, sequence), this.#fresh.after(stream, sequence))) {
      if (row.sequence !== next) break
      next++
    }
    return next
  }

  /** Notes what is damaged, so that it can be mended. */
  /** What a damaged frame held is missed from the start: it may hide where a subset ends, and nobody may ever read there. */
  #noteHoles(stream: Bytes32): void {
    let last = this.floor(stream)
    for (const { sequence } of this.#index.rows(stream, last)) {
      for (let hole = last + 1n; hole < sequence && this.#damaged.size < DAMAGED_LIMIT; hole++)
        this.#corrupt(stream, hole)
      last = sequence
    }
  }

  #corrupt(stream: Bytes32, sequence: bigint): SmartLayerError {
    if (this.#damaged.size < DAMAGED_LIMIT) this.#damaged.set(damageKey(stream, sequence), { stream, sequence })
    return SmartLayerError.of('store.corrupt', { what: `Entry ${sequence} of stream ${stream}` })
  }

  #indexedHead(stream: Bytes32): bigint {
    return this.#index.head(stream)?.sequence ?? 0n
  }

  #mayMend({ stream, sequence, uid }: LogEntry): boolean {
    const place = this.#index.placeAt(stream, sequence)
    return this.#damaged.has(damageKey(stream, sequence)) && (place === undefined || place.uid === uid)
  }

  /** A copy of what the index names; of a hole nothing is known, so it is written as if for the first time. */
  #mended(entry: LogEntry): LogRecord {
    return { ...recordOf(entry), origin: this.#index.row(entry.stream, entry.sequence)?.location ?? 0 }
  }

  #framesIn(number: number, { from, group, isLastFile }: { from: number; group: number; isLastFile: boolean }) {
    const seed = this.#segments.seedOf(number)
    return framesOf(this.#segments.sourceOf(number), { from, group, seed, isLastFile })
  }

  /** The index as it was left, or an empty one when it does not fit the segments. */
  #openIndex(): LogIndex {
    try {
      const index = new LogIndex(this.#indexPath, this.#segments.id, this.#indexPages)
      const { location } = index.mark
      if (location === 0 || this.#segments.sizeOf(segmentOf(location)) >= offsetOf(location)) return index
      index.close() // it knows more than there is: the disk lost what it had confirmed
    } catch (error) {
      const code = sqliteCode(error)
      const isUseless = code === SQLITE.error || code === SQLITE.corrupt || code === SQLITE.notADatabase
      if (code !== undefined && !isUseless) throw error
    }
    this.#removeIndex()
    return new LogIndex(this.#indexPath, this.#segments.id, this.#indexPages)
  }

  #removeIndex(): void {
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(this.#indexPath + suffix, { force: true })
  }

  /** Reads what the index does not have yet, cuts off what a crash tore, and ends what it interrupted. */
  #recover(): void {
    const { isWhole, mark } = this.#index
    if (isWhole) this.#removeLeftOver()
    this.#group = mark.group
    const progress = new Progress((stream) => this.#index.head(stream)?.sequence ?? 0n)
    for (const number of this.#segments.numbers) {
      if (number < segmentOf(mark.location)) continue
      const from = number === segmentOf(mark.location) ? offsetOf(mark.location) : HEADER_SIZE
      const end = this.#replay(number, from, progress)
      if (number === this.#segments.active) this.#segments.cut(end)
    }
    if (!isWhole) this.#index.finish()
    for (const stream of progress.jumped) this.#noteHoles(stream)
    for (const stream of this.#index.unswept()) while (this.#index.sweep(stream, STEP));
  }

  #replay(number: number, from: number, progress: Progress): number {
    const frames = this.#framesIn(number, { from, group: this.#group, isLastFile: number === this.#segments.active })
    let step: Placed[] = []
    let next = frames.next()
    for (; !next.done; next = frames.next()) {
      const { record, at, size, group } = next.value
      step.push({ record: withoutBytes(record), location: locationOf(number, at), size, group })
      if (record.kind === 'entry') progress.note(record.place)
      this.#group = group
      if (step.length < STEP) continue
      this.#index.add(step)
      this.#index.save()
      step = []
    }
    this.#index.add(step)
    this.#index.save()
    return next.value
  }

  /** Files that a copying had emptied when the node stopped. */
  #removeLeftOver(): void {
    const known = new Set(this.#index.segments().map(({ number }) => number))
    for (const number of this.#segments.numbers) {
      if (number < segmentOf(this.#index.mark.location) && !known.has(number)) this.#segments.remove(number)
    }
  }
}

/** Held for as long as the log is open, and given up by the system when the process dies. */
function lockOf(folder: string): DatabaseSync {
  const lock = new DatabaseSync(join(folder, 'lock'))
  try {
    lock.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    throw error
  }
}

function* joined(rows: Iterable<Row>, fresh: readonly FreshEntry[]): Generator<Row> {
  yield* rows
  for (const { row } of fresh) yield row
}

/** Rows from `i` on that one read brings. */
function runAt(rows: readonly Row[], i: number): readonly Row[] {
  const first = rows[i]!
  let end = i + 1
  for (; end < rows.length; end++) {
    const gap = rows[end]!.location - rows[end - 1]!.location - rows[end - 1]!.size
    const length = rows[end]!.location + rows[end]!.size - first.location
    if (gap < 0 || gap > READ_GAP || length > READ_BYTES) break
  }
  return rows.slice(i, end)
}

function recordOf({ stream, epoch, sequence, subset, subSequence, uid, bytes }: LogEntry): LogRecord {
  return { kind: 'entry', origin: 0, place: { stream, epoch, sequence, subset, subSequence, uid }, bytes }
}

function withoutBytes(record: LogRecord): IndexedRecord {
  return record.kind === 'entry' ? { kind: 'entry', origin: record.origin, place: record.place } : record
}

function isAt(place: LogPlace, stream: Bytes32, { sequence, subSequence }: Row): boolean {
  return place.stream === stream && place.sequence === sequence && place.subSequence === subSequence
}

function damageKey(stream: Bytes32, sequence: bigint): string {
  return `${stream}/${sequence}`
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
