/** When a home anchor reports, votes, renews and forgets: at most one executor at a time (docs/spec/election.md). */
import { type Home, proposerOf } from '../directory/home.ts'
import { compareHeads, GENESIS, type Head } from '../journal/messages.ts'
import { olderIncarnation } from '../lifecycle/incarnation.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import type { CertifiedPlacement, Placement, Release, Renew, Report } from './messages.ts'
import {
  type AnchorContext,
  type AnchorRecord,
  enterTerm,
  isOver,
  leasedUntil,
  otherEpoch,
  termReached,
  type VotedLease,
} from './record.ts'

/** A report whose signature and certificate were checked at the door. */
export type VerifiedReport = { readonly anchor: Address; readonly report: Report }

export type Decision<T> = Verdict<{ readonly record: AnchorRecord; readonly sign: T }>

/**
 * Prepare: the anchor names its highest certificate and promises to sign nothing below `term`. A term far above its own is
 * believed when more than f anchors reported in it (`reports`): one of them is honest, so it was reached step by step.
 */
export function report(
  record: AnchorRecord,
  prepare: {
    readonly term: bigint
    readonly from: Address
    readonly certificate: Head
    readonly reports?: readonly VerifiedReport[] | undefined
  },
  home: Home,
  context: AnchorContext,
): Decision<Report> {
  const { term, from, certificate, reports = [] } = prepare
  if (from !== proposerOf(home, term))
    return reject('election.not_proposer', { term, proposer: proposerOf(home, term) })
  const elsewhere = otherEpoch(term, context)
  if (elsewhere) return elsewhere
  if (term === record.term && record.report) return accept({ record, sign: record.report })
  if (term <= record.term) return ignore('election.term_old', { term, highest: record.term })
  if (
    isJump(termReached(record, context), term, home) &&
    reportersOf(reports, term).size <= home.anchors.length - home.quorum
  )
    return ignore('election.term_jump', { term, highest: record.term })
  const made: Report = {
    instance: record.instance,
    term,
    certificateTerm: certificate.term,
    certificateN: certificate.n,
    certificateHash: certificate.hash,
  }
  return accept({ record: { ...enterTerm(record, term, context), report: made }, sign: made })
}

/** A term that one proposer may not lead to by itself: it could use up all terms. */
export function isJump(reached: bigint, term: bigint, home: Home): boolean {
  return term > reached + BigInt(home.anchors.length)
}

/** Vote: one body per term, resting on 2f + 1 reports, and only when every lease voted for is over or released. */
export function vote(
  record: AnchorRecord,
  proposal: { placement: Placement; hash: Bytes32; reports: readonly VerifiedReport[]; from: Address },
  { home, isServiceNode }: { home: Home; isServiceNode: (node: Address) => boolean },
  context: AnchorContext,
): Decision<Placement> {
  const { placement, hash } = proposal
  const refusal =
    malformedPlacement(proposal, { home, isServiceNode }, context) ??
    otherEpoch(placement.term, context) ??
    olderIncarnation(placement.incarnation, record)
  if (refusal) return refusal
  if (placement.term < record.term) return ignore('election.term_old', { term: placement.term, highest: record.term })
  const sameTerm = placement.term === record.term
  if (sameTerm && record.voted === hash) return accept({ record, sign: placement })
  if (sameTerm && record.voted) return ignore('election.voted', { term: placement.term })
  const until = leasedUntil(record)
  if (until > 0n && !context.settled) return ignore('election.restart_wait', { remainingMs: Number(context.leaseMs) })
  if (until > 0n && !isOver(until, context)) return ignore('election.lease_running', { until })
  if (until > 0n && placement.notBefore <= until + context.epsilonMs) {
    return ignore('election.not_before', { notBefore: placement.notBefore, earliest: until + context.epsilonMs + 1n })
  }
  const entered = enterTerm(record, placement.term, context)
  const lease: VotedLease = { placement: hash, term: placement.term, expires: placement.expires, released: false }
  return accept({ record: { ...entered, voted: hash, leases: [...entered.leases, lease] }, sign: placement })
}

/** Renew: only the current placement of the highest term, only while it runs, only upwards by at most one lease. */
export function renew(record: AnchorRecord, request: Renew, context: AnchorContext): Decision<Renew> {
  const current = record.placement
  if (!current || current.hash !== request.placement) return ignore('election.unknown_placement')
  const { term } = current.placement
  const elsewhere = otherEpoch(term, context)
  if (elsewhere) return elsewhere
  if (term < record.term) return ignore('election.term_old', { term, highest: record.term })
  const known = record.leases.find((lease) => lease.placement === request.placement)
  if (known?.released) return ignore('election.released')
  const until = known?.expires ?? current.placement.expires
  if (isOver(until, context)) return ignore('journal.lease_over', { expires: until, now: context.now })
  const limit = context.now + context.leaseMs + context.epsilonMs
  if (request.expires > limit) {
    return ignore('election.lease_length', { length: request.expires - context.now, limit: context.leaseMs })
  }
  const expires = request.expires > until ? request.expires : until
  const entered = enterTerm(record, term, context)
  const others = entered.leases.filter((lease) => lease.placement !== request.placement)
  const leases = [...others, { placement: request.placement, term, expires, released: false }]
  return accept({ record: { ...entered, leases }, sign: request })
}

/** Release: signed by the executor; the lease no longer holds anybody up. Nothing is signed in return. */
export function release(record: AnchorRecord, message: Release, signer: Address): Verdict<AnchorRecord> {
  const current = record.placement
  if (!current || current.hash !== message.placement) return ignore('election.unknown_placement')
  if (current.placement.executor !== signer)
    return reject('journal.not_executor', { executor: current.placement.executor })
  const known = record.leases.find((lease) => lease.placement === message.placement)
  const lease: VotedLease = {
    placement: message.placement,
    term: current.placement.term,
    expires: known?.expires ?? current.placement.expires,
    released: true,
  }
  return accept({ ...record, leases: [...record.leases.filter((l) => l.placement !== message.placement), lease] })
}

/** Takes note of a placement that 2f + 1 votes prove; a lower term never replaces a higher one. */
export function learnPlacement(record: AnchorRecord, certified: CertifiedPlacement, hash: Bytes32): AnchorRecord {
  const known = record.placement
  const { term, incarnation } = certified.placement
  if (incarnation < record.incarnation || (known && known.placement.term >= term)) return record
  return { ...record, incarnation, placement: { ...certified, hash } }
}

/** Whether the instance has a placement that may still be running for this anchor. */
export function hasRunningPlacement(record: AnchorRecord, context: Pick<AnchorContext, 'now' | 'epsilonMs'>): boolean {
  const current = record.placement
  if (!current) return false
  const lease = record.leases.find((l) => l.placement === current.hash)
  return !lease?.released && !isOver(lease?.expires ?? current.placement.expires, context)
}

/** Where the journal continues: the highest certificate among the reports, those of lower terms only. */
export function headOfReports(reports: readonly VerifiedReport[], term: bigint): Head {
  return reports
    .map(({ report: r }): Head => ({ term: r.certificateTerm, n: r.certificateN, hash: r.certificateHash }))
    .filter((head) => head.term < term)
    .reduce((best, head) => (compareHeads(head, best) > 0 ? head : best), GENESIS)
}

function reportersOf(reports: readonly VerifiedReport[], term: bigint): ReadonlySet<Address> {
  return new Set(reports.filter((r) => r.report.term === term).map((r) => r.anchor))
}

function malformedPlacement(
  { placement, reports, from }: { placement: Placement; reports: readonly VerifiedReport[]; from: Address },
  { home, isServiceNode }: { home: Home; isServiceNode: (node: Address) => boolean },
  { now, leaseMs, epsilonMs }: AnchorContext,
): Verdict<never> | undefined {
  const { term } = placement
  const proposer = proposerOf(home, term)
  if (placement.proposer !== proposer || from !== proposer) return reject('election.not_proposer', { term, proposer })
  const reporters = reportersOf(reports, term)
  if (reporters.size < home.quorum) return reject('election.reports', { got: reporters.size, needed: home.quorum })
  const head = headOfReports(reports, term)
  const sameHead = placement.headTerm === head.term && placement.headN === head.n && placement.headHash === head.hash
  if (!sameHead) return reject('election.head')
  const nodes = new Set(placement.replicas)
  const stranger = placement.replicas.find((node) => !isServiceNode(node))
  if (stranger || nodes.size !== placement.replicas.length || !nodes.has(placement.executor)) {
    return reject('election.executor', { node: stranger ?? placement.executor })
  }
  const length = placement.expires - placement.notBefore
  if (length <= 0n || length > leaseMs || placement.expires > now + leaseMs + 3n * epsilonMs) {
    return ignore('election.lease_length', { length, limit: leaseMs })
  }
  return undefined
}
