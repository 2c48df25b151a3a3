/** The Store port on one SQLite file: WAL, synchronous=FULL, and one fsync for all commits of an event-loop turn. */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { SmartLayerError } from '@smartlayer/protocol'
import type { Key, Store, Write } from '../ports/store.ts'

const VALUE_LIMIT = 1_048_576
const KEY_LIMIT = 512
/** SQLite's primary code for a disk without room. */
const SQLITE_FULL = 13
/** Writes that may wait for the next fsync. */
const PENDING_LIMIT = 65_536

export type SqliteStoreOptions = {
  /** Pages that the file may have: a disk that is full, in tests. */
  readonly pages?: number
}

type Pending = {
  readonly writes: readonly Write[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class SqliteStore implements Store {
  readonly #database: DatabaseSync
  readonly #get: StatementSync
  readonly #range: StatementSync
  readonly #put: StatementSync
  readonly #delete: StatementSync
  #pending: Pending[] = []
  #pendingWrites = 0
  #failed: SmartLayerError | undefined

  /** Opens or creates the file. Throws `store.failed` when it cannot, or when another process has it. */
  constructor(path: string, { pages }: SqliteStoreOptions = {}) {
    try {
      this.#database = new DatabaseSync(path)
      if (pages !== undefined) this.#database.exec(`PRAGMA max_page_count=${pages}`)
      this.#database.exec(
        'PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-4096',
      )
      this.#database.exec(
        'CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID',
      )
      this.#database.exec('BEGIN IMMEDIATE; COMMIT')
    } catch (error) {
      throw SmartLayerError.because(error, 'store.failed', { operation: `open ${path}` })
    }
    this.#get = this.#database.prepare('SELECT value FROM entries WHERE key = ?')
    this.#range = this.#database.prepare(
      'SELECT key, value FROM entries WHERE key >= ? AND key < ? ORDER BY key LIMIT ?',
    )
    this.#put = this.#database.prepare('INSERT OR REPLACE INTO entries (key, value) VALUES (?, ?)')
    this.#delete = this.#database.prepare('DELETE FROM entries WHERE key = ?')
  }

  get(key: Key): Uint8Array | undefined {
    if (this.#failed) throw this.#failed
    return this.#get.get(key)?.value as Uint8Array | undefined
  }

  range({ from, to, limit }: { from: Key; to: Key; limit: number }): readonly (readonly [Key, Uint8Array])[] {
    if (this.#failed) throw this.#failed
    return this.#range.all(from, to, limit).map((row) => [row.key as string, row.value as Uint8Array] as const)
  }

  commit(writes: readonly Write[]): Promise<void> {
    if (this.#failed) return Promise.reject(this.#failed)
    for (const { key, value } of writes) {
      if (key.length > KEY_LIMIT) return refuse(KEY_LIMIT, 'a store key')
      if (value && value.length > VALUE_LIMIT) return refuse(VALUE_LIMIT, 'a store value')
    }
    if (this.#pendingWrites + writes.length > PENDING_LIMIT) {
      return Promise.reject(SmartLayerError.of('queue.full', { queue: 'store', limit: PENDING_LIMIT }))
    }
    return new Promise((resolve, reject) => {
      if (this.#pending.length === 0) setImmediate(() => this.#flush())
      this.#pending.push({ writes, resolve, reject })
      this.#pendingWrites += writes.length
    })
  }

  /** Writes what waits and closes the file. */
  close(): void {
    this.#flush()
    this.#failed ??= SmartLayerError.of('store.failed', { operation: 'write after close' })
    this.#database.close()
  }

  #flush(): void {
    const batch = this.#pending
    this.#pending = []
    this.#pendingWrites = 0
    if (batch.length === 0) return
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      for (const { writes } of batch) for (const write of writes) this.#write(write)
      this.#database.exec('COMMIT')
    } catch (error) {
      const refusal = this.#refusal(error)
      for (const { reject } of batch) reject(refusal)
      return
    }
    for (const { resolve } of batch) resolve()
  }

  /** A full disk took nothing of the batch. After any other failed write or fsync the file may hold anything: it is over. */
  #refusal(error: unknown): SmartLayerError {
    const isFull = ((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_FULL
    if (this.#rollBack() && isFull) return SmartLayerError.because(error, 'store.full', { operation: 'commit' })
    this.#failed = SmartLayerError.because(error, 'store.failed', { operation: 'commit' })
    return this.#failed
  }

  /** False when the transaction could not be ended. */
  #rollBack(): boolean {
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      return !this.#database.isTransaction
    } catch {
      return false // the file is gone
    }
  }

  #write({ key, value }: Write): void {
    if (value) this.#put.run(key, value)
    else this.#delete.run(key)
  }
}

function refuse(limit: number, what: string): Promise<never> {
  return Promise.reject(SmartLayerError.of('message.too_large', { limit, what }))
}
