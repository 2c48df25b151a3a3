/** The door of a log: which entry may follow, who shares a commit, how much may wait, and who waits for whom. */
import { type Bytes32, SmartLayerError } from '@smartlayer/protocol'
import type { LogEntry, LogPlace } from '../../ports/stream-log.ts'

/** Largest `bytes` of one entry. */
export const ENTRY_BYTES_LIMIT = 1_000_000
/** Highest place in a stream: a row of the index is named by stream and place together. */
export const SEQUENCE_LIMIT = 0xffff_ffffn
/** What may wait for its commit. */
const WAITING_ENTRIES_LIMIT = 65_536
const WAITING_BYTES_LIMIT = 67_108_864
/** What one commit takes, unless a single append is larger. */
const GROUP_ENTRIES = 1_024
const GROUP_BYTES = 4_194_304
const CHANGES_LIMIT = 1_024

/** Where streams and subsets stand on disk. */
export type DurableHeads = {
  head(stream: Bytes32): LogPlace | undefined
  subsetHead(stream: Bytes32, subset: Bytes32): LogPlace | undefined
}
export type DurablePlaces = DurableHeads & { placeAt(stream: Bytes32, sequence: bigint): LogPlace | undefined }

/** Makes appends durable, all of them, and shows them to readers. */
export type Commit = (appends: readonly (readonly LogEntry[])[]) => Promise<void>

type Waiting = {
  readonly entries: readonly LogEntry[]
  readonly bytes: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}
/** A stream with entries that are not durable yet. */
type Unresolved = { count: number; head: LogEntry; readonly subsets: Map<Bytes32, LogEntry> }

export class AppendQueue {
  readonly #heads: DurableHeads
  readonly #commit: Commit
  readonly #unresolved = new Map<Bytes32, Unresolved>()
  readonly #changing = new Map<Bytes32, { readonly run: unknown; readonly over: Promise<void> }>()
  #waiting: Waiting[] = []
  #entries = 0
  #bytes = 0
  #isDraining = false
  #committing: Promise<void> = Promise.resolve()
  #lastChange: Promise<void> = Promise.resolve()
  #changes = 0

  /** One commit runs at a time; when it fails, it and all that waited behind it are refused with its error. */
  constructor(heads: DurableHeads, commit: Commit) {
    this.#heads = heads
    this.#commit = commit
  }

  /** Takes entries that follow the heads, all or none, and resolves when they are durable. */
  append(entries: readonly LogEntry[]): Promise<void> {
    if (entries.length === 0) return Promise.resolve()
    const bytes = entries.reduce((sum, entry) => sum + entry.bytes.length, 0)
    if (this.#entries + entries.length > WAITING_ENTRIES_LIMIT || this.#bytes + bytes > WAITING_BYTES_LIMIT) {
      return Promise.reject(SmartLayerError.of('queue.full', { queue: 'stream log', limit: WAITING_ENTRIES_LIMIT }))
    }
    const change = this.#changing.size > 0 && entries.find(({ stream }) => this.#changing.has(stream))
    if (change) return this.#appendAfter(this.#changing.get(change.stream)!.over, entries, bytes)
    const refusal = this.#reserve(entries)
    if (refusal) return Promise.reject(refusal)
    this.#entries += entries.length
    this.#bytes += bytes
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entries, bytes, resolve, reject })
      if (!this.#isDraining) void this.#drain()
    })
  }

  /**
   * Runs a change of what is on disk; changes run one after another. With a `stream`, it runs when no entry of that stream is
   * on its way, and appends to it wait until it is over.
   */
  change<T>(run: () => Promise<T>, stream?: Bytes32): Promise<T> {
    if (this.#changes >= CHANGES_LIMIT) {
      return Promise.reject(SmartLayerError.of('queue.full', { queue: 'changes of the log', limit: CHANGES_LIMIT }))
    }
    this.#changes++
    const changed = this.#runAfter(this.#lastChange, run, stream)
    this.#lastChange = changed.then(ignored, ignored)
    if (stream !== undefined) this.#changing.set(stream, { run, over: this.#lastChange })
    return changed
  }

  /** Resolves when everything that was asked for so far has ended, in one way or another. */
  async settled(): Promise<void> {
    while (this.#entries > 0 || this.#changes > 0) await Promise.all([this.#committing, this.#lastChange, nextTurn()])
  }

  async #runAfter<T>(before: Promise<void>, run: () => Promise<T>, stream: Bytes32 | undefined): Promise<T> {
    await before
    try {
      while (stream !== undefined && this.#unresolved.has(stream)) await this.#committing
      return await run()
    } finally {
      this.#changes--
      if (stream !== undefined && this.#changing.get(stream)?.run === run) this.#changing.delete(stream)
    }
  }

  async #appendAfter(change: Promise<void>, entries: readonly LogEntry[], bytes: number): Promise<void> {
    this.#entries += entries.length
    this.#bytes += bytes
    await change
    this.#entries -= entries.length
    this.#bytes -= bytes
    return this.append(entries)
  }

  /** Moves the heads over the entries, or says why they do not follow and leaves the heads where they were. */
  #reserve(entries: readonly LogEntry[]): SmartLayerError | undefined {
    const undo: (() => void)[] = []
    for (const entry of entries) {
      const refusal = this.#refusal(entry)
      if (refusal) {
        while (undo.length > 0) undo.pop()!()
        return refusal
      }
      undo.push(this.#advance(entry))
    }
    return undefined
  }

  #refusal({ stream, subset, sequence, subSequence, bytes }: LogEntry): SmartLayerError | undefined {
    const unresolved = this.#unresolved.get(stream)
    const next = ((unresolved?.head ?? this.#heads.head(stream))?.sequence ?? 0n) + 1n
    if (sequence !== next) return SmartLayerError.of('stream.sequence_gap', { next, got: sequence })
    const subsetHead = unresolved?.subsets.get(subset) ?? this.#heads.subsetHead(stream, subset)
    const subNext = (subsetHead?.subSequence ?? 0n) + 1n
    if (subSequence !== subNext) return SmartLayerError.of('stream.sequence_gap', { next: subNext, got: subSequence })
    return tooLarge(sequence, bytes)
  }

  #advance(entry: LogEntry): () => void {
    const unresolved = this.#unresolved.get(entry.stream)
    if (!unresolved) {
      const subsets = new Map([[entry.subset, entry]])
      this.#unresolved.set(entry.stream, { count: 1, head: entry, subsets })
      return () => this.#unresolved.delete(entry.stream)
    }
    const { head, subsets } = unresolved
    const subsetHead = subsets.get(entry.subset)
    unresolved.count++
    unresolved.head = entry
    subsets.set(entry.subset, entry)
    return () => {
      unresolved.count--
      unresolved.head = head
      if (subsetHead) subsets.set(entry.subset, subsetHead)
      else subsets.delete(entry.subset)
    }
  }

  async #drain(): Promise<void> {
    this.#isDraining = true
    await Promise.resolve() // appends of the same turn share the commit
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup()
      let refused: { readonly error: unknown } | undefined
      this.#committing = this.#commit(group.map(({ entries }) => entries)).catch((error: unknown) => {
        refused = { error }
      })
      await this.#committing
      if (refused) this.#refuseAll(group, refused.error)
      else for (const each of group) this.#resolve(each)
    }
    this.#isDraining = false
  }

  #nextGroup(): readonly Waiting[] {
    let entries = 0
    let bytes = 0
    let count = 0
    for (const each of this.#waiting) {
      entries += each.entries.length
      bytes += each.bytes
      if (count > 0 && (entries > GROUP_ENTRIES || bytes > GROUP_BYTES)) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  #resolve({ entries, bytes, resolve }: Waiting): void {
    this.#entries -= entries.length
    this.#bytes -= bytes
    for (const entry of entries) {
      const unresolved = this.#unresolved.get(entry.stream)!
      if (--unresolved.count === 0) this.#unresolved.delete(entry.stream)
      else if (unresolved.subsets.get(entry.subset) === entry) unresolved.subsets.delete(entry.subset)
    }
    resolve()
  }

  /** What waits rests on what was refused: it would leave a gap. */
  #refuseAll(group: readonly Waiting[], error: unknown): void {
    const refused = [...group, ...this.#waiting]
    this.#waiting = []
    this.#unresolved.clear()
    for (const { entries, bytes, reject } of refused) {
      this.#entries -= entries.length
      this.#bytes -= bytes
      reject(error)
    }
  }
}

/**
 * Throws when a snapshot cannot begin or continue a stream: it must be in order, with one entry per subset, and end beyond
 * what is there. What it has in common with what is there must be the same; a tail without receipt is truncated first.
 */
export function refuseInstall(stream: Bytes32, entries: readonly LogEntry[], log: DurablePlaces): void {
  const head = log.head(stream)?.sequence ?? 0n
  const last = entries.at(-1)?.sequence ?? 0n
  if (last <= head) throw SmartLayerError.of('stream.sequence_gap', { next: head + 1n, got: last })
  const subsets = new Set<Bytes32>()
  let before = 0n
  for (const entry of entries) {
    const next = before + 1n
    if (entry.stream !== stream || subsets.has(entry.subset) || entry.sequence < next) {
      throw SmartLayerError.of('stream.sequence_gap', { next, got: entry.sequence })
    }
    refuseUnlike(entry, log)
    const refusal = tooLarge(entry.sequence, entry.bytes)
    if (refusal) throw refusal
    subsets.add(entry.subset)
    before = entry.sequence
  }
}

function refuseUnlike(entry: LogEntry, log: DurablePlaces): void {
  const subsetHead = log.subsetHead(entry.stream, entry.subset)
  const there = log.placeAt(entry.stream, entry.sequence)
  const isSame = there === undefined || there.uid === entry.uid
  const next = (subsetHead?.subSequence ?? 0n) + (subsetHead?.uid === entry.uid ? 0n : 1n)
  if (!isSame || entry.subSequence < next) {
    throw SmartLayerError.of('stream.sequence_gap', { next, got: entry.subSequence })
  }
}

/** Why an entry cannot be kept whatever it follows. */
function tooLarge(sequence: bigint, bytes: Uint8Array): SmartLayerError | undefined {
  if (sequence > SEQUENCE_LIMIT) return SmartLayerError.of('stream.too_long', { limit: SEQUENCE_LIMIT })
  if (bytes.length > ENTRY_BYTES_LIMIT) {
    return SmartLayerError.of('message.too_large', { limit: ENTRY_BYTES_LIMIT, what: 'an entry of a stream' })
  }
  return undefined
}

function ignored(): void {}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
