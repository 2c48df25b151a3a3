/** A disk in the simulator: a commit is durable only after its fsync, and a crash loses what was not. */
import { type Key, type Store, type StreamLog, storeLog, type Write } from '@smartlayer/node'
import { SmartLayerError } from '@smartlayer/protocol'
import type { Life } from './life.ts'
import type { Draws } from './random.ts'
import type { VirtualTime } from './time.ts'

/** How long a system keeps written pages in memory when nobody asks for an fsync; the shortest that still tells. */
const UNSYNCED_MS = 1_000

/** The stream log that lies on a disk, to be looked at. */
export function logOn(disk: Disk): StreamLog {
  return storeLog({ get: (key) => disk.get(key), range: (bounds) => disk.range(bounds), commit: async () => {} })
}

type Pending = {
  readonly writes: readonly Write[]
  readonly resolve: () => void
}
export type DiskOptions = {
  readonly time: VirtualTime
  readonly draws: Draws
  /** False plants a bug: commits are acknowledged before they are durable. */
  readonly waitsForFsync: boolean
  readonly wrote: (writes: readonly Write[]) => void
}

/** Outlives the crashes of its node; `mount` gives the store of one life. */
export class Disk {
  readonly #options: DiskOptions
  readonly #durable = new Map<Key, Uint8Array>()
  /** In order. */
  readonly #keys: Key[] = []
  #pending: Pending[] = []
  /** What every fsync takes beside its usual time. */
  slowMs = 0
  /** While true, nothing is added to logs of streams; what is small still fits. */
  full = false
  /** With the bug planted: what a crash takes back. */
  #unsynced: { readonly at: number; readonly before: readonly Write[] }[] = []

  constructor(options: DiskOptions) {
    this.#options = options
  }

  get(key: Key): Uint8Array | undefined {
    return this.#durable.get(key)
  }

  range({ from, to, limit }: { from: Key; to: Key; limit: number }): (readonly [Key, Uint8Array])[] {
    const keys = this.#keys
    const rows: (readonly [Key, Uint8Array])[] = []
    for (let i = this.#placeOf(from); i < keys.length && rows.length < limit && keys[i]! < to; i++) {
      rows.push([keys[i]!, this.#durable.get(keys[i]!)!])
    }
    return rows
  }

  /** Writes at once, without loss: for what an actor of the simulation keeps. */
  put(key: Key, value: Uint8Array): void {
    this.#apply([{ key, value }])
  }

  mount(life: Life): Store {
    return {
      get: (key) => this.get(key),
      range: (bounds) => this.range(bounds),
      commit: (writes) => this.#commit(life, writes),
    }
  }

  /** Some of the commits that were not acknowledged yet may have reached the disk: a prefix of them, by chance. */
  crash(): void {
    for (const { at, before } of this.#unsynced.reverse()) {
      if (at + UNSYNCED_MS > this.#options.time.now) this.#apply(before)
    }
    this.#unsynced = []
    const survivors = this.#options.draws.between(0, this.#pending.length)
    for (const { writes } of this.#pending.slice(0, survivors)) this.#apply(writes)
    this.#pending = []
  }

  #commit(life: Life, writes: readonly Write[]): Promise<void> {
    if (this.full && writes.some(({ key, value }) => value !== undefined && key.startsWith('log/e/'))) {
      return Promise.reject(SmartLayerError.of('store.full', { operation: 'append to the stream log' }))
    }
    if (!this.#options.waitsForFsync) {
      const before = writes.map(({ key }) => ({ key, value: this.#durable.get(key) }))
      this.#unsynced.push({ at: this.#options.time.now, before })
      this.#apply(writes)
      return Promise.resolve()
    }
    return new Promise((resolve) => {
      this.#pending.push({ writes, resolve })
      if (this.#pending.length > 1) return
      this.#options.time.at(this.slowMs + 0.5 + this.#options.draws.next() * 3, () => {
        if (life.alive) this.#fsync()
      })
    })
  }

  #fsync(): void {
    const done = this.#pending
    this.#pending = []
    for (const { writes, resolve } of done) {
      this.#apply(writes)
      resolve()
    }
  }

  #apply(writes: readonly Write[]): void {
    for (const { key, value } of writes) {
      const isThere = this.#durable.has(key)
      if (isThere !== (value !== undefined))
        this.#keys.splice(this.#placeOf(key), isThere ? 1 : 0, ...(isThere ? [] : [key]))
      if (value) this.#durable.set(key, value)
      else this.#durable.delete(key)
    }
    this.#options.wrote(writes)
  }

  /** Where this key stands among the others, or would stand. */
  #placeOf(key: Key): number {
    let low = 0
    for (let high = this.#keys.length; low < high; ) {
      const middle = (low + high) >> 1
      if (this.#keys[middle]! < key) low = middle + 1
      else high = middle
    }
    return low
  }
}
