/** When a home anchor accepts, holds and commits entries: the order of an instance (docs/spec/journal.md). */

import type { CertifiedPlacement, Placement } from '../election/messages.ts'
import { type AnchorContext, type AnchorRecord, enterTerm, isOver, otherEpoch } from '../election/record.ts'
import { olderIncarnation } from '../lifecycle/incarnation.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import { type CertifiedEntry, compareHeads, type Entry, type Head, kindOf, type Place, placeOf } from './messages.ts'

type Signing<T> = Verdict<{ readonly record: AnchorRecord; readonly sign: T }>

/** A proposed entry after its signatures were checked at the door. */
export type VerifiedProposal = {
  readonly entry: Entry
  readonly hash: Bytes32
  readonly executor: Address
  readonly placement: CertifiedPlacement & { readonly hash: Bytes32 }
  /** The certificate of the predecessor, when it is an entry of the same term. */
  readonly predecessor: CertifiedEntry | undefined
}

/** Accepts an entry: at most one hash per (instance, term, n), only in order, only under a running lease. */
export function acceptEntry(
  record: AnchorRecord,
  proposal: VerifiedProposal,
  { previousTime }: { previousTime: bigint },
  context: AnchorContext,
): Signing<Place> {
  const { entry, hash } = proposal
  const { placement } = proposal.placement
  const refusal =
    wrongPlace(proposal, placement) ??
    wrongTime(entry, previousTime, context) ??
    otherEpoch(entry.term, context) ??
    olderIncarnation(entry.incarnation, record)
  if (refusal) return refusal
  if (entry.term < record.term) return ignore('election.term_old', { term: entry.term, highest: record.term })
  const known = record.leases.find((lease) => lease.placement === proposal.placement.hash)
  if (known?.released) return ignore('election.released')
  const expires = latest(known?.expires ?? 0n, placement.expires)
  if (isOver(expires, context)) return ignore('journal.lease_over', { expires, now: context.now })
  const before = record.accepted
  if (before && before.term === entry.term && before.n >= entry.n && before.hash !== hash) {
    return ignore('journal.accepted_other', { n: entry.n, term: entry.term })
  }
  const learned = proposal.predecessor ? holdKnown(record, proposal.predecessor) : record
  const accepted: Head = { term: entry.term, n: entry.n, hash }
  return accept({ record: { ...enterTerm(learned, entry.term, context), accepted }, sign: placeOf(entry, hash) })
}

/** Holds a certified entry: signed only in the entry's own term. A certificate stored without it may still be reported. */
export function holdEntry(record: AnchorRecord, certified: CertifiedEntry, context: AnchorContext): Signing<Place> {
  const { certificate, head } = certified
  const elsewhere = otherEpoch(head.term, context) ?? olderIncarnation(certificate.entry.incarnation, record)
  if (elsewhere) return elsewhere
  if (head.term < record.term) return ignore('election.term_old', { term: head.term, highest: record.term })
  const entered = enterTerm(holdKnown(record, certified), head.term, context)
  return accept({ record: entered, sign: placeOf(certificate.entry, head.hash) })
}

/** Stores a certificate for later reports; signs nothing. */
export function learnCertificate(record: AnchorRecord, certified: CertifiedEntry): AnchorRecord {
  const known = record.certified
  if (certified.certificate.entry.incarnation < record.incarnation) return record
  return known && compareHeads(known.head, certified.head) >= 0 ? record : { ...record, certified }
}

/** Takes note that an entry, and all before it, is committed. */
export function learnCommit(record: AnchorRecord, head: Head): AnchorRecord {
  return head.n > record.committed.n ? { ...record, committed: head } : record
}

function holdKnown(record: AnchorRecord, certified: CertifiedEntry): AnchorRecord {
  const learned = learnCertificate(record, certified)
  return learned.held && compareHeads(learned.held, certified.head) >= 0
    ? learned
    : { ...learned, held: certified.head }
}

function wrongPlace(
  { entry, executor, placement, predecessor }: VerifiedProposal,
  body: Placement,
): Verdict<never> | undefined {
  if (kindOf(entry) === undefined) return reject('journal.input', { detail: `kind ${entry.kind} is not known` })
  if (executor !== body.executor) return reject('journal.not_executor', { executor: body.executor })
  const samePlacement =
    entry.placement === placement.hash &&
    entry.instance === body.instance &&
    entry.term === body.term &&
    entry.incarnation === body.incarnation
  if (!samePlacement) return reject('journal.placement')
  const afterHead = entry.n === body.headN + 1n && entry.previous === body.headHash
  const afterOwn =
    predecessor !== undefined &&
    predecessor.head.term === entry.term &&
    predecessor.head.n + 1n === entry.n &&
    predecessor.head.hash === entry.previous
  return afterHead || afterOwn ? undefined : reject('journal.predecessor')
}

function wrongTime({ time }: Entry, low: bigint, { now, epsilonMs }: AnchorContext): Verdict<never> | undefined {
  const high = now + 2n * epsilonMs
  return time < low || time > high ? ignore('journal.time', { time, low, high }) : undefined
}

function latest(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
