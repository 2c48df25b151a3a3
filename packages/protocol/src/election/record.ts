/** What a home anchor remembers of one instance: every promise it signed. Durable before any signature leaves. */

import { epochOfTerm, firstTermOf } from '../directory/terms.ts'
import type { CertifiedEntry, CertifiedJournalCheckpoint, Head } from '../journal/messages.ts'
import { GENESIS } from '../journal/messages.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { ignore, type Verdict } from '../primitives/verdict.ts'
import type { CertifiedPlacement, Report } from './messages.ts'

/** A lease this anchor voted for, its renewals included. It binds until `expires` unless it was released. */
export type VotedLease = {
  readonly placement: Bytes32
  readonly term: bigint
  readonly expires: bigint
  readonly released: boolean
}

export type AnchorRecord = {
  readonly instance: Bytes32
  /** It signs nothing of a lower incarnation. */
  readonly incarnation: bigint
  /** The checkpoint with which that incarnation began here; undefined while it is the first. */
  readonly restored: CertifiedJournalCheckpoint | undefined
  /** The highest term it signed anything for; it signs nothing for a lower one. */
  readonly term: bigint
  /** Its report in `term`, when it made one. */
  readonly report: Report | undefined
  /** The one placement body it voted for in `term`. */
  readonly voted: Bytes32 | undefined
  /** Leases it voted for that may still bind. */
  readonly leases: readonly VotedLease[]
  /** The placement of highest term that it saw with 2f + 1 votes. */
  readonly placement: (CertifiedPlacement & { readonly hash: Bytes32 }) | undefined
  /** The last entry it accepted: at most one per (term, n). */
  readonly accepted: Head | undefined
  /** The highest certificate it knows, by (term, n). */
  readonly certified: CertifiedEntry | undefined
  /** The highest entry it signed `Held` for. */
  readonly held: Head | undefined
  /** The highest entry that it knows to be committed. */
  readonly committed: Head
}

/** The rules' view of the moment. Times in milliseconds. */
export type AnchorContext = {
  readonly self: Address
  /** The home epoch whose terms this anchor may sign in; undefined while it is not home, or has not taken over yet. */
  readonly epoch: bigint | undefined
  /** Wall clock, already checked against its high-water mark. */
  readonly now: bigint
  /** False after a restart until one longest lease + 2ε passed on the monotonic clock (docs/spec/election.md). */
  readonly settled: boolean
  readonly leaseMs: bigint
  readonly epsilonMs: bigint
}

export function emptyRecord(instance: Bytes32): AnchorRecord {
  return {
    instance,
    incarnation: 0n,
    restored: undefined,
    term: 0n,
    report: undefined,
    voted: undefined,
    leases: [],
    placement: undefined,
    accepted: undefined,
    certified: undefined,
    held: undefined,
    committed: GENESIS,
  }
}

/** The latest time until which a lease that this anchor voted for may run; zero when none can. */
export function leasedUntil(record: AnchorRecord, except?: Bytes32): bigint {
  return record.leases
    .filter((lease) => !lease.released && lease.placement !== except)
    .reduce((latest, lease) => (lease.expires > latest ? lease.expires : latest), 0n)
}

/** For an anchor a lease is over only when even the slowest honest clock says so: clock − ε > expires. */
export function isOver(expires: bigint, { now, epsilonMs }: Pick<AnchorContext, 'now' | 'epsilonMs'>): boolean {
  return now - epsilonMs > expires
}

/** Before an anchor settled no lease is over for it: its clock may still be ahead. */
export function mayRun(
  { expires }: Pick<VotedLease, 'expires'>,
  context: Pick<AnchorContext, 'now' | 'epsilonMs' | 'settled'>,
): boolean {
  return !context.settled || !isOver(expires, context)
}

/**
 * Signing in a term forgets what was promised in lower ones, but never a lease that may still run, nor, in its own term,
 * that one was given back.
 */
export function enterTerm(record: AnchorRecord, term: bigint, context: AnchorContext): AnchorRecord {
  const leases = record.leases.filter((lease) => (lease.released ? lease.term >= term : mayRun(lease, context)))
  if (term === record.term) return { ...record, leases }
  return { ...record, term, report: undefined, voted: undefined, leases }
}

/** Nothing is signed in a term of another home set than the one this anchor stands in now. */
export function otherEpoch(term: bigint, { epoch }: Pick<AnchorContext, 'epoch'>): Verdict<never> | undefined {
  if (epoch === epochOfTerm(term)) return undefined
  return ignore('home.epoch', { epoch: epochOfTerm(term), standing: epoch ?? 0n })
}

/** The highest term that is behind this anchor: its own, or the beginning of the epoch it stands in. */
export function termReached({ term }: AnchorRecord, { epoch = 0n }: Pick<AnchorContext, 'epoch'>): bigint {
  const floor = firstTermOf(epoch)
  return term > floor ? term : floor
}
