/** Signed messages of the instance journal: entries, accepts, holds, roots (docs/spec/journal.md). */
import { type Bytes32, type Hex, toHex, ZERO_32 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { type Domain, digestOf } from '../primitives/domain.ts'
import { bytes32, struct, type TypeOf, uint } from '../primitives/struct.ts'

/** What a journal entry carries. The order is part of the wire format: append only. */
export const ENTRY_KINDS = [
  'term-start',
  'input',
  'action',
  'attempt',
  'outcome',
  'give-up',
  'lifecycle',
  'message',
  'receipt',
] as const
export type EntryKind = (typeof ENTRY_KINDS)[number]

/** One place of an instance's journal. `input` is the UID of the attested input, `content` the hash of its body, `time` in ms. */
export const Entry = struct('Entry', {
  instance: bytes32,
  incarnation: uint(64),
  placement: bytes32,
  term: uint(64),
  n: uint(64),
  previous: bytes32,
  kind: uint(16),
  input: bytes32,
  content: bytes32,
  time: uint(64),
})
export type Entry = TypeOf<typeof Entry>

const place = { instance: bytes32, placement: bytes32, term: uint(64), n: uint(64), entry: bytes32 }

/** An anchor accepted this entry; at most one per (instance, term, n). 2f + 1 of them certify it. */
export const Accept = struct('Accept', place)
/** An anchor holds the certificate of this entry, signed in the entry's own term. 2f + 1 of them commit it. */
export const Held = struct('Held', place)
export type Place = TypeOf<typeof Accept>

/** A replica computed this state after entry n. */
export const Executed = struct('Executed', { instance: bytes32, n: uint(64), entry: bytes32, root: bytes32 })
export type Executed = TypeOf<typeof Executed>

/** The state after entry `n`, of that term and time (ms), has this root. `homeEpoch` names the home set that signs. */
export const JournalCheckpoint = struct('JournalCheckpoint', {
  instance: bytes32,
  incarnation: uint(64),
  term: uint(64),
  n: uint(64),
  entry: bytes32,
  time: uint(64),
  root: bytes32,
  homeEpoch: uint(64),
})
export type JournalCheckpoint = TypeOf<typeof JournalCheckpoint>

/** A checkpoint with the signatures of its home anchors; valid with 2f + 1. */
export type CertifiedJournalCheckpoint = { readonly checkpoint: JournalCheckpoint; readonly signatures: readonly Hex[] }

/** An entry with the accepts that certify it. */
export type Certificate = { readonly entry: Entry; readonly accepts: readonly Hex[] }

/** A certificate with the place of its entry, as computed by whoever checked it. */
export type CertifiedEntry = { readonly certificate: Certificate; readonly head: Head }

/** Proof that an entry is committed: 2f + 1 holds, or the certificate of the next entry of the same term. */
export type CommitProof =
  | { readonly by: 'held'; readonly entry: Entry; readonly held: readonly Hex[] }
  | { readonly by: 'next'; readonly entry: Entry; readonly next: Certificate }

/** Where a journal stands: the place after which the next entry goes. */
export type Head = { readonly term: bigint; readonly n: bigint; readonly hash: Bytes32 }
export const GENESIS: Head = { term: 0n, n: 0n, hash: ZERO_32 }

/** The name of an entry in all later messages: its EIP-712 digest. */
export function entryHash(entry: Entry, domain: Domain, keccak: Hasher): Bytes32 {
  return toHex(digestOf(Entry, entry, domain, keccak))
}

export function placeOf(entry: Entry, hash: Bytes32): Place {
  return { instance: entry.instance, placement: entry.placement, term: entry.term, n: entry.n, entry: hash }
}

/** Order of certificates: by term first, then by n; a longer chain of an older term loses. */
export function compareHeads(a: Head, b: Head): number {
  if (a.term !== b.term) return a.term < b.term ? -1 : 1
  return a.n === b.n ? 0 : a.n < b.n ? -1 : 1
}

export function kindOf(entry: Entry): EntryKind | undefined {
  return ENTRY_KINDS[Number(entry.kind)]
}
