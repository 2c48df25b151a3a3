/** Where entries stand in the segments: a SQLite file that can be made again from them, written after their fsync. */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type Bytes32, fromHex, SmartLayerError, toHex } from '@smartlayer/protocol'
import type { LogPlace } from '../../ports/stream-log.ts'
import { type LogRecord, PLACE_SIZE } from './frames.ts'
import { Lru } from './lru.ts'
import { segmentOf } from './segments.ts'

/** A record without the bytes of its entry, durable in a segment by the fsync of its group. */
export type Placed = {
  readonly record: IndexedRecord
  readonly location: number
  readonly size: number
  readonly group: number
}
export type IndexedRecord =
  | Exclude<LogRecord, { kind: 'entry' }>
  | { readonly kind: 'entry'; readonly origin: number; readonly place: LogPlace }
/** Up to where the segments are in the index, and the last fsync's number there. */
export type Mark = { readonly location: number; readonly group: number }
/** Where an entry's frame is; of a bare one only the place is left to be read. */
export type Row = {
  readonly sequence: bigint
  readonly subSequence: bigint
  readonly location: number
  readonly size: number
  readonly isBare: boolean
}
export type StreamRow = {
  readonly number: bigint
  readonly floor: bigint
  readonly bare: bigint
  readonly marker: number
}

/** Primary result codes of SQLite. */
export const SQLITE = { error: 1, corrupt: 11, full: 13, notADatabase: 26 } as const
const FORMAT = 1
const PLACES = 0xffff_ffffn
const STREAMS_CACHED = 4_096
const SUBSETS_CACHED = 16_384
/** The rowid of an entry is its stream's number and its place, so that rows of a stream lie side by side. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS state (
    one INTEGER PRIMARY KEY, log INTEGER NOT NULL, mark INTEGER NOT NULL, fsyncs INTEGER NOT NULL,
    entries INTEGER NOT NULL, streams INTEGER NOT NULL, whole INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS streams (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, floor INTEGER NOT NULL DEFAULT 0, bare INTEGER NOT NULL DEFAULT 0,
    swept INTEGER NOT NULL DEFAULT 0, stripped INTEGER NOT NULL DEFAULT 0, marker INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE IF NOT EXISTS subsets (
    number INTEGER PRIMARY KEY, stream INTEGER NOT NULL, key BLOB NOT NULL, UNIQUE (stream, key));
  CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, location INTEGER NOT NULL, size INTEGER NOT NULL, bare INTEGER NOT NULL,
    subset INTEGER NOT NULL, place INTEGER NOT NULL, epoch INTEGER NOT NULL, uid BLOB NOT NULL);
  CREATE INDEX IF NOT EXISTS entries_of_subset ON entries (subset, place);
  CREATE TABLE IF NOT EXISTS segments (number INTEGER PRIMARY KEY, live INTEGER NOT NULL);`
const ROW = 'SELECT id, location, size, bare, place FROM entries'
const PLACE = 'SELECT e.id, e.place, e.epoch, e.uid, s.key FROM entries e JOIN subsets s ON s.number = e.subset'
const SQL = {
  row: `${ROW} WHERE id = ?`,
  rows: `${ROW} WHERE id > ? AND id <= ? ORDER BY id`,
  rowsOfSubset: `${ROW} WHERE subset = ? AND place > ? ORDER BY place`,
  place: `${PLACE} WHERE e.id = ?`,
  places: `${PLACE} WHERE e.id > ? AND e.id <= ? AND e.bare = 0 ORDER BY e.id LIMIT ?`,
  head: `${PLACE} WHERE e.id > ? AND e.id <= ? ORDER BY e.id DESC LIMIT 1`,
  subsetHead: `${PLACE} WHERE e.subset = ? ORDER BY e.place DESC LIMIT 1`,
  latest: `SELECT e.id, e.place, e.epoch, e.uid, s.key FROM subsets s JOIN entries e ON e.id =
    (SELECT id FROM entries WHERE subset = s.number ORDER BY place DESC LIMIT 1)
    WHERE s.stream = ? AND s.key > ? ORDER BY s.key LIMIT ?`,
  live: 'INSERT INTO segments VALUES (?, ?) ON CONFLICT DO UPDATE SET live = live + excluded.live',
  state: 'UPDATE state SET mark = ?, fsyncs = ?, entries = ?, streams = ?',
}

export class LogIndex {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  readonly #streams = new Lru<Bytes32, StreamRow>(STREAMS_CACHED)
  readonly #subsets = new Lru<string, bigint>(SUBSETS_CACHED)
  /** Bytes per segment that the running transaction gave life or took it from. */
  readonly #live = new Map<number, number>()
  #counts = { entries: 0, streams: 0 }
  #mark: Mark = { location: 0, group: 0 }
  /** What a failure of the running transaction goes back to. */
  #before: { readonly counts: { entries: number; streams: number }; readonly mark: Mark } | undefined
  #isWhole = false

  /** Throws a plain error when the file is no whole index of this log, SQLite's own when it cannot be opened or read. */
  constructor(path: string, log: number, pages?: number) {
    this.#database = new DatabaseSync(path)
    try {
      this.#database.exec(
        'PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-8192; PRAGMA wal_autocheckpoint=16384; PRAGMA busy_timeout=2000',
      )
      this.#database.exec(SCHEMA)
      if (pages !== undefined) this.#database.exec(`PRAGMA max_page_count=${pages}`)
      this.#load(log)
    } catch (error) {
      this.#database.close()
      throw error
    }
  }

  get mark(): Mark {
    return this.#mark
  }

  /** False until `finish` was called. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  get counts(): { readonly entries: number; readonly streams: number } {
    return this.#counts
  }

  /** Adds durable records in the order of the segments. They are there for this process at once, and stay with `save`. */
  add(records: readonly Placed[]): void {
    const last = records.at(-1)
    if (!last) return
    this.#open()
    try {
      for (const placed of records) this.#applyOne(placed)
    } catch (error) {
      this.#takeBack()
      throw error
    }
    this.#mark = { location: last.location + last.size, group: last.group }
  }

  /** Keeps what was added since the last time, all of it; when it throws, none of it is there any more. */
  save(): void {
    if (!this.#before) return
    try {
      for (const [segment, live] of this.#live) this.#run(SQL.live, segment, live)
      const { entries, streams } = this.#counts
      this.#run(SQL.state, this.#mark.location, this.#mark.group, entries, streams)
      this.#database.exec('COMMIT')
      this.#before = undefined
    } catch (error) {
      this.#takeBack()
      throw error
    }
  }

  /** Called when all segments were read: from now on the index may be trusted. */
  finish(): void {
    this.#transaction(() => {
      this.#run('UPDATE segments SET live = 0')
      const live = 'SELECT location / 4294967296 AS number, SUM(size) AS live FROM entries GROUP BY 1'
      this.#run(`INSERT OR REPLACE INTO segments (number, live) ${live}`)
      const [entries] = this.#get('SELECT COUNT(*) FROM entries WHERE bare = 0')!
      const [streams] = this.#get('SELECT COUNT(*) FROM streams')!
      this.#counts = { entries: Number(entries), streams: Number(streams) }
      this.#run('UPDATE state SET whole = 1')
    })
    this.#isWhole = true
  }

  stream(key: Bytes32): StreamRow | undefined {
    const known = this.#streams.get(key)
    if (known) return known
    const row = this.#get('SELECT number, floor, bare, marker FROM streams WHERE key = ?', fromHex(key))
    if (!row) return undefined
    const [number, floor, bare, marker] = row as [bigint, bigint, bigint, bigint]
    const stream = { number, floor, bare, marker: Number(marker) }
    this.#streams.set(key, stream)
    return stream
  }

  head(key: Bytes32): LogPlace | undefined {
    const stream = this.stream(key)
    if (!stream) return undefined
    return placeFrom(key, this.#get(SQL.head, ...idsAfter(stream, 0n)))
  }

  subsetHead(key: Bytes32, subset: Bytes32): LogPlace | undefined {
    const number = this.#subset(key, subset)
    if (number === undefined) return undefined
    return placeFrom(key, this.#get(SQL.subsetHead, number))
  }

  placeAt(key: Bytes32, sequence: bigint): LogPlace | undefined {
    const stream = this.stream(key)
    if (!stream) return undefined
    return placeFrom(key, this.#get(SQL.place, idOf(stream, sequence)))
  }

  row(key: Bytes32, sequence: bigint): Row | undefined {
    const stream = this.stream(key)
    if (!stream) return undefined
    return rowFrom(this.#get(SQL.row, idOf(stream, sequence)))
  }

  *rows(key: Bytes32, after: bigint): Generator<Row> {
    const stream = this.stream(key)
    if (!stream) return
    for (const row of this.#all(SQL.rows, ...idsAfter(stream, after))) yield rowFrom(row)!
  }

  *rowsOfSubset(key: Bytes32, subset: Bytes32, after: bigint): Generator<Row> {
    const number = this.#subset(key, subset)
    if (number === undefined) return
    for (const row of this.#all(SQL.rowsOfSubset, number, after)) yield rowFrom(row)!
  }

  places(key: Bytes32, { after, limit }: { after: bigint; limit: number }): readonly LogPlace[] {
    const stream = this.stream(key)
    if (!stream) return []
    return [...this.#all(SQL.places, ...idsAfter(stream, after), limit)].map((row) => placeFrom(key, row)!)
  }

  latest(key: Bytes32, { after, limit }: { after: Bytes32; limit: number }): readonly LogPlace[] {
    const stream = this.stream(key)
    if (!stream) return []
    return [...this.#all(SQL.latest, stream.number, fromHex(after), limit)].map((row) => placeFrom(key, row)!)
  }

  streams({ after, limit }: { after: Bytes32 | undefined; limit: number }): readonly Bytes32[] {
    const sql = 'SELECT key FROM streams WHERE key > ? ORDER BY key LIMIT ?'
    const rows = this.#all(sql, after === undefined ? new Uint8Array(0) : fromHex(after), limit)
    return [...rows].map(([key]) => toHex(key as Uint8Array))
  }

  /** Streams whose rows have not followed their floors yet. */
  unswept(): readonly Bytes32[] {
    const rows = this.#all('SELECT key FROM streams WHERE swept < floor OR stripped < bare')
    return [...rows].map(([key]) => toHex(key as Uint8Array))
  }

  /** Lets at most `limit` rows of a stream follow its floors; true when more are left. */
  sweep(key: Bytes32, limit: number): boolean {
    const stream = this.stream(key)
    const row = stream && this.#get('SELECT swept, stripped FROM streams WHERE number = ?', stream.number)
    if (!row) return false
    const [swept, stripped] = row as [bigint, bigint]
    if (swept < stream.floor) this.#transaction(() => this.#dropSuperfluous(stream, { swept, limit }))
    else if (stripped < stream.bare) this.#transaction(() => this.#dropBytes(stream, { stripped, limit }))
    else return false
    return true
  }

  /** Sealed segments with the bytes that would have to be copied to be rid of them. */
  segments(): readonly { readonly number: number; readonly live: number }[] {
    const rows = this.#all('SELECT number, live FROM segments ORDER BY number')
    return [...rows].map(([number, live]) => ({ number: Number(number), live: Number(live) }))
  }

  /** Forgets a segment, durably: its file may go only after this, because nothing points to it any more. */
  removeSegment(number: number): void {
    this.save()
    this.#database.exec('PRAGMA synchronous=FULL')
    try {
      this.#transaction(() => this.#run('DELETE FROM segments WHERE number = ?', number))
    } finally {
      this.#database.exec('PRAGMA synchronous=NORMAL')
    }
  }

  close(): void {
    this.#database.close()
  }

  #load(log: number): void {
    this.#run('INSERT OR IGNORE INTO state VALUES (?, ?, 0, 0, 0, 0, 0)', FORMAT, log)
    const row = this.#get('SELECT log, mark, fsyncs, entries, streams, whole FROM state WHERE one = ?', FORMAT)
    const [known, location, group, entries, streams, whole] = row!.map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    if (known !== log || (whole === 0 && location > 0)) throw new Error('not a whole index of this log')
    this.#isWhole = whole === 1
    this.#mark = { location, group }
    this.#counts = { entries, streams }
  }

  #applyOne({ record, location, size }: Placed): void {
    this.#count(location, 0)
    if (record.kind === 'truncate') this.#truncate(record, location)
    else if (record.kind === 'prune') this.#setFloors(record, location)
    else this.#put(record.place, { location, size, isBare: record.kind === 'place', isCopy: record.origin !== 0 })
  }

  #put(
    place: LogPlace,
    { location, size, isBare, isCopy }: { location: number; size: number; isBare: boolean; isCopy: boolean },
  ): void {
    const stream = this.stream(place.stream) ?? this.#addStream(place.stream)
    const subset = this.#subset(place.stream, place.subset) ?? this.#addSubset(stream, place)
    const id = idOf(stream, place.sequence)
    if (isCopy) this.#uncount(id)
    this.#run(
      'INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      id,
      location,
      size,
      isBare ? 1 : 0,
      subset,
      place.subSequence,
      BigInt.asIntN(64, place.epoch),
      fromHex(place.uid),
    )
    this.#count(location, size)
    if (!isBare) this.#counts.entries++
  }

  /** A copy takes the place of its original. */
  #uncount(id: bigint): void {
    const row = this.#get('SELECT location, size, bare FROM entries WHERE id = ?', id)
    if (!row) return
    const [location, size, bare] = row.map(Number) as [number, number, number]
    this.#count(location, -size)
    if (bare === 0) this.#counts.entries--
  }

  #truncate({ stream: key, after, origin }: LogRecord & { kind: 'truncate' }, location: number): void {
    const stream = this.stream(key)
    if (!stream) return
    const which = 'id > ? AND id <= ? AND location < ?'
    const bounds = [...idsAfter(stream, after), origin === 0 ? location : origin] as const
    const subsets = new Set<bigint>()
    for (const [at, size, bare, subset] of this.#all(
      `SELECT location, size, bare, subset FROM entries WHERE ${which}`,
      ...bounds,
    )) {
      this.#count(Number(at), -Number(size))
      if (bare === 0n) this.#counts.entries--
      subsets.add(subset as bigint)
    }
    this.#run(`DELETE FROM entries WHERE ${which}`, ...bounds)
    for (const subset of subsets) {
      this.#run(
        'DELETE FROM subsets WHERE number = ?1 AND NOT EXISTS (SELECT 1 FROM entries WHERE subset = ?1)',
        subset,
      )
    }
    if (
      stream.floor === 0n &&
      !this.#get('SELECT 1 FROM entries WHERE id > ? AND id <= ? LIMIT 1', ...idsAfter(stream, 0n))
    ) {
      this.#run('DELETE FROM streams WHERE number = ?', stream.number)
      this.#counts.streams--
    }
    this.#forget()
  }

  #setFloors({ stream: key, floor, bare }: LogRecord & { kind: 'prune' }, location: number): void {
    const stream = this.stream(key) ?? this.#addStream(key)
    if (floor < stream.floor || bare < stream.bare) return
    this.#run(
      'UPDATE streams SET floor = ?, bare = ?, marker = ? WHERE number = ?',
      floor,
      bare,
      location,
      stream.number,
    )
    this.#streams.set(key, { ...stream, floor, bare, marker: location })
  }

  /** Every entry up to the floor makes those before it in its subset superfluous. */
  #dropSuperfluous(stream: StreamRow, { swept, limit }: { swept: bigint; limit: number }): void {
    const sql = 'SELECT id, subset, place FROM entries WHERE id > ? AND id <= ? ORDER BY id LIMIT ?'
    const step = [...this.#all(sql, idOf(stream, swept), idOf(stream, stream.floor), limit)] as [
      bigint,
      bigint,
      bigint,
    ][]
    for (const [, subset, place] of step) {
      const before = 'SELECT id, location, size, bare FROM entries WHERE subset = ? AND place < ?'
      for (const [id, location, size, bare] of [...this.#all(before, subset, place)]) {
        this.#run('DELETE FROM entries WHERE id = ?', id as bigint)
        this.#count(Number(location), -Number(size))
        if (bare === 0n) this.#counts.entries--
      }
    }
    const done = step.length < limit ? stream.floor : step.at(-1)![0] & PLACES
    this.#run('UPDATE streams SET swept = ? WHERE number = ?', done, stream.number)
  }

  /** Takes the bytes of what stayed for its place alone. */
  #dropBytes(stream: StreamRow, { stripped, limit }: { stripped: bigint; limit: number }): void {
    const sql = 'SELECT id, location, size, bare FROM entries WHERE id > ? AND id <= ? ORDER BY id LIMIT ?'
    const step = [...this.#all(sql, idOf(stream, stripped), idOf(stream, stream.bare), limit)]
    for (const [id, location, size, bare] of step) {
      if (bare !== 0n) continue
      this.#run('UPDATE entries SET bare = 1, size = ? WHERE id = ?', PLACE_SIZE, id as bigint)
      this.#count(Number(location), PLACE_SIZE - Number(size))
      this.#counts.entries--
    }
    const done = step.length < limit ? stream.bare : (step.at(-1)![0] as bigint) & PLACES
    this.#run('UPDATE streams SET stripped = ? WHERE number = ?', done, stream.number)
  }

  #addStream(key: Bytes32): StreamRow {
    const number = this.#run('INSERT INTO streams (key) VALUES (?)', fromHex(key))
    const stream = { number, floor: 0n, bare: 0n, marker: 0 }
    this.#streams.set(key, stream)
    this.#counts.streams++
    return stream
  }

  #addSubset({ number }: StreamRow, { stream, subset }: LogPlace): bigint {
    const added = this.#run('INSERT INTO subsets (stream, key) VALUES (?, ?)', number, fromHex(subset))
    this.#subsets.set(stream + subset, added)
    return added
  }

  #subset(key: Bytes32, subset: Bytes32): bigint | undefined {
    const known = this.#subsets.get(key + subset)
    if (known !== undefined) return known
    const stream = this.stream(key)
    const row =
      stream && this.#get('SELECT number FROM subsets WHERE stream = ? AND key = ?', stream.number, fromHex(subset))
    if (!row) return undefined
    this.#subsets.set(key + subset, row[0] as bigint)
    return row[0] as bigint
  }

  #count(location: number, bytes: number): void {
    const segment = segmentOf(location)
    this.#live.set(segment, (this.#live.get(segment) ?? 0) + bytes)
  }

  #transaction(change: () => void): void {
    this.save()
    this.#open()
    try {
      change()
    } catch (error) {
      this.#takeBack()
      throw error
    }
    this.save()
  }

  #open(): void {
    if (this.#before) return
    this.#database.exec('BEGIN IMMEDIATE')
    this.#before = { counts: { ...this.#counts }, mark: this.#mark }
    this.#live.clear()
  }

  #takeBack(): void {
    this.#counts = this.#before!.counts
    this.#mark = this.#before!.mark
    this.#before = undefined
    this.#forget()
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
  }

  /** Numbers that a rolled back transaction gave, or that were taken back, must not be used again. */
  #forget(): void {
    this.#streams.clear()
    this.#subsets.clear()
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known) return known
    const statement = this.#database.prepare(sql)
    statement.setReadBigInts(true)
    statement.setReturnArrays(true)
    this.#statements.set(sql, statement)
    return statement
  }

  #get(sql: string, ...values: readonly Value[]): readonly Value[] | undefined {
    try {
      return this.#statement(sql).get(...values) as unknown as Value[] | undefined
    } catch (error) {
      throw readable(error)
    }
  }

  *#all(sql: string, ...values: readonly Value[]): Generator<readonly Value[]> {
    try {
      yield* this.#statement(sql).iterate(...values) as unknown as Iterable<Value[]>
    } catch (error) {
      throw readable(error)
    }
  }

  /** Returns the rowid of what an INSERT added. */
  #run(sql: string, ...values: readonly Value[]): bigint {
    return BigInt(this.#statement(sql).run(...values).lastInsertRowid)
  }
}

/** What SQLite says of a failure: the primary code, without its details. */
export function sqliteCode(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: number }
  return errcode === undefined ? undefined : errcode & 0xff
}

function readable(error: unknown): unknown {
  if (sqliteCode(error) !== SQLITE.corrupt) return error
  return SmartLayerError.because(error, 'store.corrupt', { what: 'The index of the log' })
}

type Value = bigint | number | Uint8Array | null

function idOf({ number }: StreamRow, sequence: bigint): bigint {
  return (number << 32n) | sequence
}

/** Bounds for the rows of a stream after a place. */
function idsAfter(stream: StreamRow, after: bigint): readonly [bigint, bigint] {
  return [idOf(stream, after < PLACES ? after : PLACES), idOf(stream, PLACES)]
}

function rowFrom(row: readonly Value[] | undefined): Row | undefined {
  if (!row) return undefined
  const [id, location, size, bare, place] = row as bigint[]
  return {
    sequence: id! & PLACES,
    subSequence: place!,
    location: Number(location),
    size: Number(size),
    isBare: bare === 1n,
  }
}

function placeFrom(stream: Bytes32, row: readonly Value[] | undefined): LogPlace | undefined {
  if (!row) return undefined
  const [id, place, epoch, uid, key] = row as [bigint, bigint, bigint, Uint8Array, Uint8Array]
  return {
    stream,
    epoch: BigInt.asUintN(64, epoch),
    sequence: id & PLACES,
    subset: toHex(key),
    subSequence: place,
    uid: toHex(uid),
  }
}
