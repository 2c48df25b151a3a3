/** How one home set follows another: the old one seals, the new one takes over what 2f + 1 sealed answers prove (docs/spec/election.md). */
import { type CertifiedEntry, compareHeads } from '../journal/messages.ts'
import { beginIncarnation } from '../lifecycle/incarnation.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import { type AnchorContext, type AnchorRecord, mayRun, type VotedLease } from './record.ts'

/** Leases that one sealed answer may name: an anchor is bound by one or two at a time. */
export const SEALED_LEASE_LIMIT = 8

/**
 * What stands durably at an anchor for one shard: it signs nothing in terms of epochs below `sealed`, and nothing at all unless it
 * took over, or began, the very home set of that epoch (`opened`).
 */
export type HomeStanding = { readonly sealed: bigint; readonly opened: bigint }
export const NO_STANDING: HomeStanding = { sealed: 0n, opened: 0n }

/**
 * A lease that an answer names. It can only bind: nobody is believed that a lease was given back, and who knows that it was
 * does not name it.
 */
export type SealedLease = Omit<VotedLease, 'released'>

/** What an anchor of the old home set says of one instance, after it sealed. Whoever takes it has checked its certificates. */
export type SealedRecord = Pick<AnchorRecord, 'instance' | 'placement' | 'certified' | 'restored'> & {
  readonly leases: readonly SealedLease[]
}

/** From then on nothing of an older home epoch is signed. */
export function seal(standing: HomeStanding, epoch: bigint): Verdict<HomeStanding> {
  if (epoch <= standing.sealed) return ignore('home.sealed', { epoch, standing: standing.sealed })
  return accept({ ...standing, sealed: epoch })
}

/** The set of `epoch` was taken over from the one before it. */
export function open({ sealed, opened }: HomeStanding, epoch: bigint): HomeStanding {
  return { sealed: epoch > sealed ? epoch : sealed, opened: epoch > opened ? epoch : opened }
}

/** The epoch in which an anchor may sign for what lies in the shard. */
export function signingEpoch({ sealed, opened }: HomeStanding): bigint | undefined {
  return sealed === opened && opened > 0n ? opened : undefined
}

/**
 * Whether an anchor's records prove what bound the set before `epoch`: it must have taken over that set itself, or a later one,
 * and can promise nothing in it any more.
 */
export function mayHandOver({ sealed, opened }: HomeStanding, before: bigint, epoch: bigint): boolean {
  return opened >= before && sealed >= epoch
}

/** What is handed over of a record: promises that may still bind, and the highest certificate. */
export function sealedRecord(
  { instance, placement, leases, certified, restored }: AnchorRecord,
  context: Pick<AnchorContext, 'now' | 'epsilonMs' | 'settled'>,
): SealedRecord {
  const binding = leases.filter((lease) => !lease.released && mayRun(lease, context))
  const latest = binding.toSorted((a, b) => (a.expires < b.expires ? -1 : 1)).slice(-SEALED_LEASE_LIMIT)
  return { instance, placement, leases: latest.map(({ released: _, ...lease }) => lease), certified, restored }
}

/** An answer whose leases no honest anchor can have voted for does not count: it would hold everybody up. */
export function plausible(
  { leases }: SealedRecord,
  { now, leaseMs, epsilonMs }: Pick<AnchorContext, 'now' | 'leaseMs' | 'epsilonMs'>,
): Verdict<undefined> {
  const limit = now + leaseMs + 4n * epsilonMs
  const beyond = leases.find(({ expires }) => expires > limit)
  return beyond ? reject('election.lease_length', { length: beyond.expires - now, limit: leaseMs }) : accept(undefined)
}

/**
 * The record with which an anchor of the new set begins: bound by every lease that one of 2f + 1 answers names, with the highest
 * placement and the highest certificate. Two sets of 2f + 1 share an honest anchor, so no valid lease and no committed entry is
 * missed, whatever f of them answer.
 */
export function takeOver(own: AnchorRecord, answers: readonly SealedRecord[]): AnchorRecord {
  return answers.filter(({ instance }) => instance === own.instance).reduce(merged, own)
}

function merged(own: AnchorRecord, answer: SealedRecord): AnchorRecord {
  const { restored } = answer
  const record = restored && restored.checkpoint.incarnation > own.incarnation ? beginIncarnation(own, restored) : own
  const { placement } = answer
  const isOlder = (incarnation: bigint | undefined) => incarnation !== undefined && incarnation < record.incarnation
  const placed = isOlder(placement?.placement.incarnation) ? undefined : placement
  const certified = isOlder(answer.certified?.certificate.entry.incarnation) ? undefined : answer.certified
  const highest = higherPlacement(record.placement, placed)
  return {
    ...record,
    incarnation: highest?.placement.incarnation ?? record.incarnation,
    placement: highest,
    leases: answer.leases.reduce(withLease, record.leases),
    certified: higherCertificate(record.certified, certified),
  }
}

function withLease(leases: readonly VotedLease[], sealed: SealedLease): readonly VotedLease[] {
  const lease: VotedLease = { ...sealed, released: false }
  const known = leases.find(({ placement }) => placement === lease.placement)
  if (known && (known.released || known.expires >= lease.expires)) return leases
  return [...leases.filter(({ placement }) => placement !== lease.placement), lease]
}

function higherPlacement(a: AnchorRecord['placement'], b: AnchorRecord['placement']): AnchorRecord['placement'] {
  if (!a || !b) return a ?? b
  return a.placement.term >= b.placement.term ? a : b
}

function higherCertificate(a: CertifiedEntry | undefined, b: CertifiedEntry | undefined): CertifiedEntry | undefined {
  if (!a || !b) return a ?? b
  return compareHeads(a.head, b.head) >= 0 ? a : b
}
