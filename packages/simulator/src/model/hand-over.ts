/** Hand-over as `node/src/directory/hand-over.ts` does it: who seals and answers when, and what a quorum of answers may be. */
import {
  type AnchorContext,
  type AnchorRecord,
  accepted,
  type Bytes32,
  compareHeads,
  FIRST_EPOCH,
  type HomeStanding,
  mayHandOver,
  NO_STANDING,
  plausible,
  type SealedRecord,
  sealedRecord,
  takeOver,
  type VotedLease,
} from '@smartlayer/protocol'
import { epochOfSet, HOMES, INSTANCE, NOW } from './parties.ts'
import { entryOfHead, GENESIS_ID, headOf, type Values } from './values.ts'

export type Told = {
  readonly placement: Bytes32
  readonly term: string
  readonly expires: number
  readonly released: boolean
}

/**
 * What an anchor of a set says to the next one: its highest certificate, and leases with their distance from now. It names no
 * placement: whoever needs one to go on learns it in the step in which it does.
 */
export type Answer = { readonly head: number; readonly leases: readonly Told[] }
export type Sealed = Answer & { readonly set: number }

/** Further off than any honest anchor votes for. */
const FAR = 100

/** The first home set of a network has nothing to take over. */
export function standingAtFirst(sets: readonly number[]): HomeStanding {
  return sets.includes(0) ? { sealed: FIRST_EPOCH, opened: FIRST_EPOCH } : NO_STANDING
}

/**
 * The answer to the set after `set`, once it may be given. What is said later is no use to anybody who wants more than this one
 * allows: certificates only rise, and the liar names any; leases that end are dropped here too (`withoutLease`, and with time).
 */
export function answerOf(
  values: Values,
  set: number,
  { standing, record }: { standing: HomeStanding; record: AnchorRecord },
  context: AnchorContext,
): Sealed | undefined {
  if (!mayHandOver(standing, epochOfSet(set), epochOfSet(set + 1))) return undefined
  const { certified, leases } = sealedRecord(record, context)
  return {
    set,
    head: certified ? entryOfHead(values, certified.head) : GENESIS_ID,
    leases: leases.map(({ placement, term, expires }) => {
      return { placement, term: String(term), expires: Number(expires - NOW), released: false }
    }),
  }
}

/** An anchor that took note of a release answers without that lease from then on. */
export function withoutLease(answer: Sealed, placement: Bytes32): Sealed {
  return { ...answer, leases: answer.leases.filter((lease) => lease.placement !== placement) }
}

/** The record after taking over, unless one of the answers cannot be what an honest anchor says. */
export function recordFrom(
  values: Values,
  record: AnchorRecord,
  answers: readonly Answer[],
  context: AnchorContext,
): AnchorRecord | undefined {
  const said = answers.map((answer) => sealedOf(values, answer))
  return said.every((answer) => accepted(plausible(answer, context))) ? takeOver(record, said) : undefined
}

/**
 * What a quorum of answers may amount to. The liar is always among them: with a third honest answer in its place an anchor learns
 * no certificate that the liar could not have named, and is bound by no fewer leases. For the same reason it names no lease that
 * only binds, but marks those as given back which others name, or names one that does not end.
 */
export function openingsOf(
  values: Values,
  said: readonly Answer[],
  certified: readonly number[],
): readonly (readonly Answer[])[] {
  const needed = HOMES[0]!.quorum - 1
  const found = new Map<string, readonly Answer[]>()
  for (const honest of groupsOf(said, needed)) {
    const leases = honest.flatMap((answer) => answer.leases)
    for (const lie of liesAbout(leases, certified)) {
      const answers = [lie, ...honest]
      const key = `${highest(values, answers)}|${latest(leases)}|${lie.leases.map((lease) => lease.expires)}`
      if (!found.has(key)) found.set(key, answers)
    }
  }
  return [...found.values()]
}

function liesAbout(leases: readonly Told[], certified: readonly number[]): readonly Answer[] {
  const heads = [GENESIS_ID, ...certified].map((head) => ({ head, leases: [] }))
  if (leases.length === 0) return heads
  const released = leases.map((lease) => ({ ...lease, expires: lease.expires + 1, released: true }))
  const endless = [{ ...leases[0]!, expires: FAR }]
  return [...heads, { head: GENESIS_ID, leases: released }, { head: GENESIS_ID, leases: endless }]
}

function highest(values: Values, answers: readonly Answer[]): number {
  return answers
    .map(({ head }) => head)
    .reduce((a, b) => (compareHeads(headOf(values, a), headOf(values, b)) >= 0 ? a : b))
}

function latest(leases: readonly Told[]): readonly string[] {
  const ends = new Map<Bytes32, number>()
  for (const { placement, expires } of leases) ends.set(placement, Math.max(expires, ends.get(placement) ?? expires))
  return [...ends].map(([placement, expires]) => `${placement}:${expires}`).sort()
}

function sealedOf(values: Values, { head, leases }: Answer): SealedRecord {
  return {
    instance: INSTANCE,
    placement: undefined,
    restored: undefined,
    certified: values.entries[head]?.certified,
    leases: leases.map(({ placement, term, expires, released }): VotedLease => {
      return { placement, term: BigInt(term), expires: NOW + BigInt(expires), released }
    }),
  }
}

function groupsOf<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  if (size === 0) return [[]]
  return items.flatMap((item, i) => groupsOf(items.slice(i + 1), size - 1).map((rest) => [item, ...rest]))
}
