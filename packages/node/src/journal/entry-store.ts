/** How journals rest on disk at home anchors: entries by hash, the committed chain by place. */
import {
  type Bytes32,
  bytes32,
  type CommitProof,
  type Cursors,
  commitProofShape,
  cursorAfter,
  cursorsOf,
  GENESIS,
  type Head,
  isFromElsewhere,
  type JournaledEntry,
  journaledEntryShape,
  type KeptCheckpoint,
  keptCheckpointShape,
  listOf,
  optional,
  record,
  stateOf,
  text,
  uint,
} from '@smartlayer/protocol'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Store, Write } from '../ports/store.ts'

const CURSOR_LIMIT = 256
/** Entries of one instance that are cut at a time; what is left goes with the next checkpoint. */
const CUT_LIMIT = 4_096
/** Far more than are left between two cuts. */
const DROP_LIMIT = 65_536
const storedEntryShape = record({
  journaled: journaledEntryShape,
  cursors: listOf(record({ key: text(160), sequence: uint(64), uid: bytes32 }), CURSOR_LIMIT),
})
const linkShape = record({ hash: bytes32, proof: optional(commitProofShape) })

/** What follows from a chain up to one entry: where its successor's input must continue. */
export type Tip = { readonly time: bigint; readonly cursors: Cursors }

export class EntryStore {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** The newest checkpoint that 2f + 1 home anchors signed. */
  checkpoint(instance: Bytes32): KeptCheckpoint | undefined {
    const value = this.#store.get(checkpointKey(instance))
    return value && keptCheckpointShape.parse(decodeJson(value), 'checkpoint')
  }

  checkpointWrite(kept: KeptCheckpoint): Write {
    const { instance } = kept.certified.checkpoint
    return { key: checkpointKey(instance), value: encodeJson(keptCheckpointShape.toJson(kept)) }
  }

  /** Cuts all entries up to place `floor`, also those that were never committed. */
  cutWrites(instance: Bytes32, floor: bigint): readonly Write[] {
    const links = this.#store.range({ from: linkPrefix(instance), to: linkKey(instance, floor + 1n), limit: CUT_LIMIT })
    const entries = this.#store
      .range({ from: entryPrefix(instance), to: `${entryPrefix(instance)}~`, limit: CUT_LIMIT })
      .filter(([, value]) => storedEntryShape.parse(decodeJson(value), 'entry').journaled.entry.n <= floor)
    return [...links, ...entries].map(([key]) => ({ key, value: undefined }))
  }

  /** Drops a whole journal: another incarnation begins without it. */
  dropWrites(instance: Bytes32): readonly Write[] {
    const prefixes = [linkPrefix(instance), entryPrefix(instance)]
    const rows = prefixes.flatMap((from) => this.#store.range({ from, to: `${from}~`, limit: DROP_LIMIT }))
    return rows.map(([key]) => ({ key, value: undefined }))
  }

  entry(instance: Bytes32, hash: Bytes32): JournaledEntry | undefined {
    return this.#stored(instance, hash)?.journaled
  }

  /** Undefined when the entry, and so its chain, is not known here. */
  tip(instance: Bytes32, hash: Bytes32): Tip | undefined {
    if (hash === GENESIS.hash) return { time: 0n, cursors: {} }
    const stored = this.#stored(instance, hash)
    if (!stored) return this.#tipOfCheckpoint(instance, hash)
    const cursors = Object.fromEntries(stored.cursors.map(({ key, sequence, uid }) => [key, { sequence, uid }]))
    return { time: stored.journaled.entry.time, cursors }
  }

  entryWrite(journaled: JournaledEntry, hash: Bytes32, before: Cursors): Write {
    const after = cursorAfter(journaled.entry, journaled.input, before)
    const cursors = Object.entries(after).map(([key, cursor]) => ({ key, ...cursor }))
    const value = encodeJson(storedEntryShape.toJson({ journaled, cursors }))
    return { key: entryKey(journaled.entry.instance, hash), value }
  }

  linkWrite(instance: Bytes32, { n, hash }: Pick<Head, 'n' | 'hash'>, proof: CommitProof | undefined): Write {
    return { key: linkKey(instance, n), value: encodeJson(linkShape.toJson({ hash, proof })) }
  }

  /** Committed entries from place `from` on, at most `limit`, each with its proof where one was kept. */
  committed(
    instance: Bytes32,
    from: bigint,
    limit: number,
  ): readonly { journaled: JournaledEntry; proof: CommitProof | undefined }[] {
    const rows = this.#store.range({ from: linkKey(instance, from), to: `${linkPrefix(instance)}~`, limit })
    const links = rows.map(([, value]) => linkShape.parse(decodeJson(value), 'link'))
    return links.flatMap(({ hash, proof }) => {
      const journaled = this.entry(instance, hash)
      return journaled ? [{ journaled, proof: proof as CommitProof | undefined }] : []
    })
  }

  /** The chain from just above place `after` up to the entry `head`, or undefined when a link of it is missing. */
  chain(
    instance: Bytes32,
    { after, head, limit }: { after: bigint; head: Bytes32; limit: number },
  ): readonly JournaledEntry[] | undefined {
    const chain: JournaledEntry[] = []
    for (let hash = head; chain.length < limit; ) {
      if (hash === GENESIS.hash) break
      const journaled = this.entry(instance, hash)
      if (!journaled) return undefined
      if (journaled.entry.n <= after) break
      chain.unshift(journaled)
      hash = journaled.entry.previous
    }
    return chain
  }

  #tipOfCheckpoint(instance: Bytes32, hash: Bytes32): Tip | undefined {
    const kept = this.checkpoint(instance)
    if (kept?.certified.checkpoint.entry !== hash) return undefined
    const { checkpoint } = kept.certified
    const cursors = isFromElsewhere(checkpoint) ? {} : cursorsOf(stateOf(kept.snapshot))
    return { time: checkpoint.time, cursors }
  }

  #stored(instance: Bytes32, hash: Bytes32) {
    const value = this.#store.get(entryKey(instance, hash))
    return value && storedEntryShape.parse(decodeJson(value), 'entry')
  }
}

function checkpointKey(instance: Bytes32): string {
  return `checkpoint/${instance}`
}

function entryPrefix(instance: Bytes32): string {
  return `entry/${instance}/`
}

function entryKey(instance: Bytes32, hash: Bytes32): string {
  return entryPrefix(instance) + hash
}

function linkPrefix(instance: Bytes32): string {
  return `chain/${instance}/`
}

function linkKey(instance: Bytes32, n: bigint): string {
  return linkPrefix(instance) + String(n).padStart(20, '0')
}
