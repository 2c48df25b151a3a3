/** One honest anchor of the model: its record as production keeps it, and every signature that ever left it. */
import {
  type AnchorContext,
  type AnchorRecord,
  acceptEntry,
  accepted,
  emptyRecord,
  GENESIS,
  type HomeStanding,
  holdEntry,
  learnCertificate,
  learnPlacement,
  open,
  proposerOf,
  type Release,
  release,
  renew,
  report,
  seal,
  signingEpoch,
  type VerifiedReport,
  vote,
} from '@smartlayer/protocol'
import { type Answer, answerOf, recordFrom, type Sealed, standingAtFirst, withoutLease } from './hand-over.ts'
import { anchorAddress, EPSILON, epochOfSet, HONEST, homeOfTerm, INSTANCE, NOW, nodeAddress, setOf } from './parties.ts'
import type { Profile } from './profile.ts'
import { agedBody, type Body, entryOfHead, GENESIS_ID, headOf, type Values } from './values.ts'

/** Signatures that left an anchor: they are known to everybody from then on. Lists are sorted, so that equal sets are equal. */
export type Signed = {
  readonly reports: readonly { readonly slot: number; readonly head: number }[]
  readonly votes: readonly number[]
  readonly accepts: readonly number[]
  readonly holds: readonly number[]
  readonly renewals: readonly { readonly body: number; readonly expires: number }[]
  /** What it answers to the home set after one that it sits in, as soon as it may. */
  readonly sealed: readonly Sealed[]
}

export type Anchor = {
  readonly record: AnchorRecord
  readonly standing: HomeStanding
  /** Ticks until it settled after it started. */
  readonly unsettled: number
  /** It started without a record: nothing bound it, so it votes without waiting. */
  readonly bare: boolean
  readonly signed: Signed
  /** Slots of the placements whose release it took note of. The record may forget; the promise stays. */
  readonly released: readonly number[]
  /** The home sets it sits in. */
  readonly sets: readonly number[]
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
  | { readonly do: 'seal'; readonly set: number; readonly reading: number }
  | { readonly do: 'answer'; readonly set: number; readonly reading: number }
  | { readonly do: 'open'; readonly set: number; readonly answers: readonly Answer[]; readonly reading: number }

export type Stage = { readonly profile: Profile; readonly values: Values }

export const NOTHING_SIGNED: Signed = {
  reports: [],
  votes: [],
  accepts: [],
  holds: [],
  renewals: [],
  sealed: [],
}

/** An anchor that sits in these sets, before anything happened. */
export function freshAnchor(sets: readonly number[]): Anchor {
  return {
    record: emptyRecord(INSTANCE),
    standing: standingAtFirst(sets),
    unsettled: 0,
    bare: false,
    signed: NOTHING_SIGNED,
    released: [],
    sets,
  }
}

/** An anchor that took over, or began, this set and knows nothing else. */
export function openAnchor(set: number): Anchor {
  return { ...freshAnchor([set]), standing: { sealed: epochOfSet(set), opened: epochOfSet(set) } }
}

/** Started only now, with a clock that may be far ahead: nothing that it promised before binds it. */
export function newcomer(profile: Profile, sets: readonly number[]): Anchor {
  return { ...freshAnchor(sets), unsettled: settlingTicks(profile), bare: true }
}

/** A time that lies so far back that no rule tells it from earlier ones. */
export function floorOf({ leases }: Profile): number {
  return -(leases ? leases.length + 4 * EPSILON : 0)
}

/** Lets one anchor do one thing by the production rule; undefined when the rule refuses it or nothing changes. */
export function act(stage: Stage, anchor: Anchor, action: Action): Anchor | undefined {
  const next = actByRule(stage, anchor, action)
  if (!next) return undefined
  const isSame =
    next.record === anchor.record &&
    next.signed === anchor.signed &&
    next.standing === anchor.standing &&
    next.unsettled === anchor.unsettled
  return isSame ? undefined : next
}

function actByRule({ profile, values }: Stage, anchor: Anchor, action: Action): Anchor | undefined {
  const { record, signed } = anchor
  switch (action.do) {
    case 'report': {
      const term = values.terms[action.slot]!
      const home = homeOfTerm(term)
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
      const home = homeOfTerm(placement.term)
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
      const sealed = signed.sealed.map((answer) => withoutLease(answer, certified.hash))
      return {
        ...anchor,
        record: decision.value,
        signed: { ...signed, sealed },
        released: withNumber(anchor.released, slot),
      }
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
      return { ...anchor, unsettled: settlingTicks(profile), bare: false }
    case 'seal': {
      const decision = seal(anchor.standing, epochOfSet(action.set + 1))
      return accepted(decision)
        ? answering({ profile, values }, { ...anchor, standing: decision.value }, action)
        : undefined
    }
    case 'answer':
      return answering({ profile, values }, anchor, action)
    case 'open': {
      if (anchor.standing.opened >= epochOfSet(action.set)) return undefined
      if (anchor.unsettled > 0) return undefined // as in `hand-over.ts` of the node
      const next = recordFrom(values, record, action.answers, contextOf(profile, anchor, action.reading))
      if (!next) return undefined
      const standing = open(anchor.standing, epochOfSet(action.set))
      return answering({ profile, values }, { ...anchor, record: next, standing }, action)
    }
  }
}

/** What it stands for now lets it answer, once, for every set before that it sits in. */
function answering({ profile, values }: Stage, anchor: Anchor, { reading }: { reading: number }): Anchor {
  const { sealed } = anchor.signed
  const due = profile.homes.flatMap((_, set) => {
    if (set + 1 >= profile.homes.length || !anchor.sets.includes(set)) return []
    if (sealed.some((known) => known.set === set)) return []
    return answerOf(values, set, anchor, contextOf(profile, anchor, reading)) ?? []
  })
  return due.length === 0 ? anchor : signing(anchor, anchor.record, { sealed: [...sealed, ...due] })
}

/** As in `record-book.ts`: settled once the monotonic clock shows more than one longest lease + 2ε since the start. */
function settlingTicks({ leases }: Profile): number {
  return leases ? leases.length + 2 * EPSILON + 1 : 0
}

/** The same anchor one tick later. Leases that are over for every clock are forgotten: no rule that signs keeps them. */
export function aged({ profile, values }: Stage, { record, unsettled, signed, ...rest }: Anchor): Anchor {
  const { placement } = record
  const body = (id: number) => agedBody(values, id, floorOf(profile))
  return {
    ...rest,
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
    bare: rest.bare && unsettled > 1,
    signed: {
      ...signed,
      votes: signed.votes.map(body),
      renewals: signed.renewals.map(({ body: id, expires }) => ({ body: body(id), expires: expires - 1 })),
      sealed: signed.sealed.map(({ leases, ...answer }) => ({
        ...answer,
        leases: leases
          .map((lease) => ({ ...lease, expires: lease.expires - 1 }))
          .filter(({ expires }) => expires >= -EPSILON),
      })),
    },
  }
}

/** How far back an end lies makes no difference once it is over for every clock. */
function agedEnd(expires: bigint): bigint {
  const over = NOW - 2n * BigInt(EPSILON)
  return expires - 1n < over ? over : expires - 1n
}

function contextOf({ leases }: Profile, { unsettled, bare, standing }: Anchor, reading: number): AnchorContext {
  return {
    self: anchorAddress(0, 0),
    epoch: signingEpoch(standing),
    now: NOW + BigInt(reading),
    settled: unsettled === 0 || bare,
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
export function keyOfAnchor(
  { values, profile: { exact } }: Stage,
  { record, standing, unsettled, bare, released, sets }: Anchor,
): string {
  const { term, voted, leases, placement, accepted: last, certified } = record
  const leased = leases.map((lease) => `${lease.placement}:${lease.expires}:${lease.released}`).sort()
  const body = placement && `${placement.hash}:${placement.placement.expires}`
  const promised = last && (exact || last.term === term) ? entryOfHead(values, last) : GENESIS_ID
  const known = certified ? entryOfHead(values, certified.head) : GENESIS_ID
  const stands = `${standing.sealed}:${standing.opened}`
  return `${term}|${voted}|${leased}|${body}|${promised}|${known}|${stands}|${unsettled}|${bare}|${released}|${sets}`
}

export function keyOfSigned({ reports, votes, accepts, holds, renewals, sealed }: Signed): string {
  const reported = reports.map(({ slot, head }) => `${slot}:${head}`)
  const renewed = renewals.map(({ body, expires }) => `${body}:${expires}`)
  const answers = sealed.map(({ set, head, leases }) => {
    return `${set}:${head}:${leases.map(({ placement, expires, released }) => `${placement},${expires},${released}`)}`
  })
  return `${reported}|${votes}|${accepts}|${holds}|${renewed}|${answers}`
}
