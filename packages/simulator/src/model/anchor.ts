/** One honest anchor of the model: its record as production keeps it, and every signature that ever left it. */
import {
  type AnchorContext,
  type AnchorRecord,
  acceptEntry,
  accepted,
  emptyRecord,
  GENESIS,
  holdEntry,
  learnCertificate,
  learnPlacement,
  proposerOf,
  type Release,
  release,
  renew,
  report,
  type VerifiedReport,
  vote,
} from '@smartlayer/protocol'
import { isOpen, type Opening, openEpoch, sealEpoch } from './hand-over.ts'
import { anchorAddress, EPSILON, HOMES, HONEST, INSTANCE, NOW, nodeAddress, setOf } from './parties.ts'
import type { Profile } from './profile.ts'
import { agedBody, type Body, entryOfHead, GENESIS_ID, headOf, type Values } from './values.ts'

/** Signatures that left an anchor: they are known to everybody from then on. Lists are sorted, so that equal sets are equal. */
export type Signed = {
  readonly reports: readonly { readonly slot: number; readonly head: number }[]
  readonly votes: readonly number[]
  readonly accepts: readonly number[]
  readonly holds: readonly number[]
  readonly renewals: readonly { readonly body: number; readonly expires: number }[]
  /** What it answered to the next home set after it sealed the epoch. */
  readonly sealed: Opening | undefined
}

export type Anchor = {
  readonly record: AnchorRecord
  /** Ticks until it settled after a restart. */
  readonly unsettled: number
  readonly signed: Signed
  /** Slots of the placements whose release it took note of. The record may forget; the promise stays. */
  readonly released: readonly number[]
}

/** What reports a placement rests on: who of the honest reported which head, and what the liar claims (undefined: nothing). */
export type Reports = { readonly honest: readonly (number | undefined)[]; readonly liar: number | undefined }

export type Action =
  | { readonly do: 'report'; readonly slot: number; readonly reading: number }
  | { readonly do: 'vote'; readonly body: number; readonly reports: Reports; readonly reading: number }
  | { readonly do: 'renew'; readonly body: number; readonly expires: number; readonly reading: number }
  | { readonly do: 'release'; readonly body: number }
  | {
      readonly do: 'accept'
      readonly entry: number
      readonly body: number
      readonly proven: boolean
      readonly reading: number
    }
  | { readonly do: 'hold'; readonly entry: number; readonly reading: number }
  | { readonly do: 'store'; readonly entry: number }
  | { readonly do: 'restart' }
  | { readonly do: 'seal'; readonly epoch: number }
  | { readonly do: 'open'; readonly epoch: number; readonly opening: Opening }

export type Stage = { readonly profile: Profile; readonly values: Values }

export const NOTHING_SIGNED: Signed = {
  reports: [],
  votes: [],
  accepts: [],
  holds: [],
  renewals: [],
  sealed: undefined,
}

export function freshAnchor(): Anchor {
  return { record: emptyRecord(INSTANCE), unsettled: 0, signed: NOTHING_SIGNED, released: [] }
}

/** A time that lies so far back that no rule tells it from earlier ones. */
export function floorOf({ leases }: Profile): number {
  return -(leases ? leases.length + 4 * EPSILON : 0)
}

/** Lets one anchor do one thing by the production rule; undefined when the rule refuses it or nothing changes. */
export function act(stage: Stage, anchor: Anchor, action: Action): Anchor | undefined {
  const next = actByRule(stage, anchor, action)
  return next && next.record === anchor.record && next.signed === anchor.signed && next.unsettled === anchor.unsettled
    ? undefined
    : next
}

function actByRule({ profile, values }: Stage, anchor: Anchor, action: Action): Anchor | undefined {
  const { record, signed } = anchor
  switch (action.do) {
    case 'report': {
      const term = values.terms[action.slot]!
      const home = HOMES[setOf(term) as 0 | 1]
      const certificate = record.certified?.head ?? GENESIS
      const asked = { term, from: proposerOf(home, term), certificate }
      const decision = report(record, asked, home, contextOf(profile, anchor, action.reading))
      if (!accepted(decision)) return undefined
      const { record: next, sign } = decision.value
      const known = next.certified
      if (known ? known.head.hash !== sign.certificateHash : sign.certificateN !== 0n) return undefined
      const head = entryOfHead(values, { term: sign.certificateTerm, n: sign.certificateN, hash: sign.certificateHash })
      if (profile.entries === 0) return { ...anchor, record: next }
      return signing(anchor, next, { reports: withReport(signed.reports, { slot: action.slot, head }) })
    }
    case 'vote': {
      const body = values.bodies[action.body]!
      const { placement, hash } = body.certified
      const proposal = { placement, hash, reports: reportsOf(values, body, action.reports), from: placement.proposer }
      const home = HOMES[setOf(placement.term) as 0 | 1]
      const rights = { home, isServiceNode: () => true }
      const decision = vote(record, proposal, rights, contextOf(profile, anchor, action.reading))
      if (!accepted(decision)) return undefined
      return signing(anchor, decision.value.record, { votes: withNumber(signed.votes, action.body) })
    }
    case 'renew': {
      const { certified } = values.bodies[action.body]!
      const request = { placement: certified.hash, expires: NOW + BigInt(action.expires) }
      const decision = renew(
        learnPlacement(record, certified, certified.hash),
        request,
        contextOf(profile, anchor, action.reading),
      )
      if (!accepted(decision)) return undefined
      const renewal = { body: action.body, expires: Number(decision.value.sign.expires - NOW) }
      return signing(anchor, decision.value.record, { renewals: withRenewal(signed.renewals, renewal) })
    }
    case 'release': {
      const { certified, slot } = values.bodies[action.body]!
      const message: Release = { placement: certified.hash, n: 0n, head: certified.placement.headHash }
      const decision = release(learnPlacement(record, certified, certified.hash), message, nodeAddress(slot))
      if (!accepted(decision) || anchor.released.includes(slot)) return undefined
      return { ...anchor, record: decision.value, released: withNumber(anchor.released, slot) }
    }
    case 'accept': {
      const { certified, slot } = values.bodies[action.body]!
      const { entry, previous, certified: proposed } = values.entries[action.entry]!
      const proposal = {
        entry,
        hash: proposed.head.hash,
        executor: nodeAddress(slot),
        placement: certified,
        predecessor: action.proven ? values.entries[previous]?.certified : undefined,
      }
      const known = profile.leases ? learnPlacement(record, certified, certified.hash) : record
      const decision = acceptEntry(known, proposal, { previousTime: 0n }, contextOf(profile, anchor, action.reading))
      if (!accepted(decision)) return undefined
      return signing(anchor, decision.value.record, { accepts: withNumber(signed.accepts, action.entry) })
    }
    case 'hold': {
      const { certified } = values.entries[action.entry]!
      const decision = holdEntry(record, certified, contextOf(profile, anchor, action.reading))
      if (!accepted(decision)) return undefined
      return signing(anchor, decision.value.record, { holds: withNumber(signed.holds, action.entry) })
    }
    case 'store':
      return { ...anchor, record: learnCertificate(record, values.entries[action.entry]!.certified) }
    case 'restart':
      // As in `record-book.ts`: settled once the monotonic clock shows more than one longest lease + 2ε since the start.
      return { ...anchor, unsettled: profile.leases!.length + 2 * EPSILON + 1 }
    case 'seal': {
      if (isOpen(record, action.epoch)) return undefined
      const { record: next, answer } = sealEpoch(record, action.epoch, contextOf(profile, anchor, 0))
      const sealed = {
        head: entryOfHead(values, answer.head),
        leasedUntil: answer.leasedUntil === 0n ? floorOf(profile) : Number(answer.leasedUntil - NOW),
      }
      return signing(anchor, next, { sealed })
    }
    case 'open': {
      if (isOpen(record, action.epoch)) return undefined
      const certified = values.entries[action.opening.head]?.certified
      const until = NOW + BigInt(action.opening.leasedUntil)
      return { ...anchor, record: openEpoch(record, action.epoch, { certified, leasedUntil: until }) }
    }
  }
}

/** The same anchor one tick later. Leases that are over for every clock are forgotten: no rule that signs keeps them. */
export function aged({ profile, values }: Stage, { record, unsettled, signed, released }: Anchor): Anchor {
  const { placement } = record
  const body = (id: number) => agedBody(values, id, floorOf(profile))
  return {
    record: {
      ...record,
      leases: record.leases
        .map((lease) => ({ ...lease, expires: lease.expires - 1n }))
        .filter((lease) => lease.expires >= NOW - BigInt(EPSILON)),
      placement: placement && {
        ...placement,
        placement: { ...placement.placement, expires: agedEnd(placement.placement.expires) },
      },
    },
    unsettled: unsettled > 0 ? unsettled - 1 : 0,
    released,
    signed: {
      ...signed,
      votes: signed.votes.map(body),
      renewals: signed.renewals.map(({ body: id, expires }) => ({ body: body(id), expires: expires - 1 })),
      sealed: signed.sealed && {
        ...signed.sealed,
        leasedUntil: Math.max(floorOf(profile), signed.sealed.leasedUntil - 1),
      },
    },
  }
}

/** How far back an end lies makes no difference once it is over for every clock. */
function agedEnd(expires: bigint): bigint {
  const over = NOW - 2n * BigInt(EPSILON)
  return expires - 1n < over ? over : expires - 1n
}

function contextOf({ leases }: Profile, { unsettled }: Anchor, reading: number): AnchorContext {
  return {
    self: anchorAddress(0, 0),
    epoch: 0n,
    now: NOW + BigInt(reading),
    settled: unsettled === 0,
    leaseMs: BigInt(leases?.length ?? 1),
    epsilonMs: BigInt(EPSILON),
  }
}

function reportsOf(values: Values, { slot }: Body, { honest, liar }: Reports): readonly VerifiedReport[] {
  const term = values.terms[slot]!
  const of = (index: number, id: number | undefined): readonly VerifiedReport[] => {
    if (id === undefined) return []
    const head = headOf(values, id)
    const body = {
      instance: INSTANCE,
      term,
      certificateTerm: head.term,
      certificateN: head.n,
      certificateHash: head.hash,
    }
    return [{ anchor: anchorAddress(setOf(term), index), report: body }]
  }
  return [...honest.flatMap((id, index) => of(index, id)), ...of(HONEST, liar)]
}

function signing(anchor: Anchor, record: AnchorRecord, more: Partial<Signed>): Anchor {
  return { ...anchor, record, signed: { ...anchor.signed, ...more } }
}

function withNumber(list: readonly number[], item: number): readonly number[] {
  return list.includes(item) ? list : [...list, item].sort((a, b) => a - b)
}

function withReport(list: Signed['reports'], { slot, head }: Signed['reports'][number]): Signed['reports'] {
  const known = list.some((item) => item.slot === slot && item.head === head)
  return known ? list : [...list, { slot, head }].sort((a, b) => a.slot - b.slot || a.head - b.head)
}

function withRenewal(list: Signed['renewals'], { body, expires }: Signed['renewals'][number]): Signed['renewals'] {
  const known = list.some((item) => item.body === body && item.expires === expires)
  return known ? list : [...list, { body, expires }].sort((a, b) => a.body - b.body || a.expires - b.expires)
}

/** A text that is equal exactly for anchors that no rule tells apart. */
export function keyOfAnchor({ values, profile: { exact } }: Stage, { record, unsettled, released }: Anchor): string {
  const { term, voted, leases, placement, accepted: last, certified } = record
  const leased = leases.map((lease) => `${lease.placement}:${lease.expires}:${lease.released}`).sort()
  const body = placement && `${placement.hash}:${placement.placement.expires}`
  const promised = last && (exact || last.term === term) ? entryOfHead(values, last) : GENESIS_ID
  const known = certified ? entryOfHead(values, certified.head) : GENESIS_ID
  return `${term}|${voted}|${leased}|${body}|${promised}|${known}|${unsettled}|${released}`
}

export function keyOfSigned({ reports, votes, accepts, holds, renewals, sealed }: Signed): string {
  const reported = reports.map(({ slot, head }) => `${slot}:${head}`)
  const renewed = renewals.map(({ body, expires }) => `${body}:${expires}`)
  return `${reported}|${votes}|${accepts}|${holds}|${renewed}|${sealed?.head},${sealed?.leasedUntil}`
}
