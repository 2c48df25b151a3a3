/** Checkpoints of a journal: a state that 2f + 1 home anchors vouch for, so that what led to it can be cut (docs/spec/journal.md). */
import { canonicalJson } from '../attestation/content.ts'
import type { Home } from '../directory/home.ts'
import type { InstanceState, Json } from '../execution/instance.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { toHex, utf8 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { digestOf } from '../primitives/domain.ts'
import { signersAmong } from '../primitives/quorum.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import type { Door } from './certify.ts'
import { type CertifiedJournalCheckpoint, type Entry, type Executed, type Head, JournalCheckpoint } from './messages.ts'

/** Roots that replicas signed, each with its signer as the door recovered it. */
export type VerifiedRoot = { readonly node: Address; readonly executed: Executed }

/** A committed entry as a home anchor has it. */
export type CommittedEntry = { readonly entry: Entry; readonly hash: Bytes32 }

/**
 * When a home anchor signs a checkpoint: a majority of the replicas of a placement signed this root after an entry that the anchor
 * knows to be committed, and the snapshot hashes to the root. So no single executor can plant a state.
 */
export function endorse(
  { snapshot, roots }: { readonly snapshot: string; readonly roots: readonly VerifiedRoot[] },
  { entry, hash }: CommittedEntry,
  {
    replicas,
    homeEpoch,
    keccak,
  }: { readonly replicas: readonly Address[]; readonly homeEpoch: bigint; readonly keccak: Hasher },
): Verdict<JournalCheckpoint> {
  const root = snapshotRoot(snapshot, keccak)
  const same = roots.filter(
    ({ node, executed }) =>
      replicas.includes(node) && executed.n === entry.n && executed.entry === hash && executed.root === root,
  )
  const got = new Set(same.map(({ node }) => node)).size
  const needed = Math.floor(replicas.length / 2) + 1
  if (got < needed) return ignore('journal.roots', { n: entry.n, got, needed })
  const { instance, incarnation, term, n, time } = entry
  return accept({ instance, incarnation, term, n, entry: hash, time, root, homeEpoch })
}

/** A checkpoint counts with the signatures of 2f + 1 anchors of the home set that it names. */
export function checkJournalCheckpoint(
  { checkpoint, signatures }: CertifiedJournalCheckpoint,
  home: Home,
  { domain, crypto }: Door,
): Verdict<Head> {
  const digest = digestOf(JournalCheckpoint, checkpoint, domain, crypto.keccak)
  const got = signersAmong(home.anchors, { digest, signatures }, crypto).length
  if (got < home.quorum) return reject('journal.quorum', { got, needed: home.quorum })
  return accept({ term: checkpoint.term, n: checkpoint.n, hash: checkpoint.entry })
}

/** A snapshot is the canonical JSON of a state, so its root is the hash of its text. */
export function snapshotOf(state: InstanceState): string {
  return canonicalJson(state as unknown as Json)
}

export function snapshotRoot(snapshot: string, keccak: Hasher): Bytes32 {
  return toHex(keccak(utf8(snapshot)))
}

/** Reads a snapshot whose root was checked: 2f + 1 anchors saw that replicas computed it. */
export function stateOf(snapshot: string): InstanceState {
  return JSON.parse(snapshot)
}
