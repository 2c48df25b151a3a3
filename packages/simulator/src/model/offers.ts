/** What anybody may hand to an anchor, given the signatures that exist: messages arrive at any time, in any order, or never. */
import { type Action, act, openAnchor, type Reports, type Signed, type Stage } from './anchor.ts'
import { type Evidence, samePlace } from './evidence.ts'
import type { Keeper } from './executor.ts'
import { openingsOf } from './hand-over.ts'
import { EPSILON, HONEST, setOf } from './parties.ts'
import type { Profile } from './profile.ts'
import { bodyOf, entryAfter, GENESIS_ID } from './values.ts'

/** What was signed by the honest anchors of all sets, what that proves, and the executors of all terms. */
export type Table = {
  readonly signed: readonly Signed[]
  readonly evidence: Evidence
  readonly keepers: readonly Keeper[]
}

/** Offers that were computed before, by all that they depend on. */
export type KnownOffers = Map<string, readonly Action[]>

/** Offers to an anchor that sits in these sets. */
export function offersTo(stage: Stage, sets: readonly number[], table: Table, known: KnownOffers): readonly Action[] {
  return [
    ...sets.flatMap((set) => offersIn(stage, set, table, known)),
    ...releaseOffers(stage, table),
    ...handOverOffers(stage, sets, table),
  ]
}

function offersIn(stage: Stage, set: number, table: Table, known: KnownOffers): readonly Action[] {
  const remember = (key: string, make: () => readonly Action[]): readonly Action[] => {
    const made = known.get(key) ?? make()
    known.set(key, made)
    return made
  }
  const { evidence } = table
  const own = stage.profile.homes[set]!.map((index) => table.signed[index]!)
  const slots = stage.values.terms.flatMap((term, slot) => (setOf(term) === set ? [slot] : []))
  const placed = evidence.placed.filter((id) => slots.includes(stage.values.bodies[id]!.slot))
  return [
    ...remember(`reports ${set}`, () =>
      (stage.profile.leases?.reports === false ? [] : slots).flatMap((slot) =>
        atReadings(stage, { slot, variant: 0 }, (reading) => ({ do: 'report', slot, reading })),
      ),
    ),
    ...slots.flatMap((slot) => {
      if (!stage.profile.exact && placed.some((id) => stage.values.bodies[id]!.slot === slot)) return []
      const reports = own.map((signed) => signed.reports.filter((r) => r.slot === slot).map((r) => r.head))
      const bodies = [...new Set(own.flatMap((signed) => signed.votes))].filter(
        (id) => stage.values.bodies[id]!.slot === slot,
      )
      const asked = { slot, reports: reports.sort(), bodies: bodies.sort(), certified: evidence.certified }
      return remember(JSON.stringify(asked), () => voteOffers(stage, asked))
    }),
    ...remember(`entries ${set}|${placed}|${evidence.certified}|${acceptedBy(own)}`, () => [
      ...acceptOffers(stage, { placed, certified: evidence.certified, seen: acceptedBy(own) }),
      ...certificateOffers(stage, set, evidence.certified),
    ]),
    ...leaseOffers(stage, placed, table.keepers),
  ]
}

function acceptedBy(own: readonly Signed[]): readonly number[] {
  return [...new Set(own.flatMap((signed) => signed.accepts))].sort((a, b) => a - b)
}

/** Once for each time that an honest anchor's clock may show, and for what it may show before it settled. */
function atReadings(stage: Stage, body: Spot, make: (reading: number) => Action): readonly Action[] {
  const ahead = clockAhead(stage.profile)
  return [...honestReadings(stage, body), ...(ahead > 0 ? [ahead] : [])].map(make)
}

function clockAhead({ leases, newcomersAhead }: Profile): number {
  return Math.max(leases?.clockAhead ?? 0, newcomersAhead)
}

type Spot = { readonly slot: number; readonly variant: number }

/** Without leases each placement has a time of its own, in which its lease runs and those before it are over. */
function honestReadings({ profile: { leases } }: Stage, { slot, variant }: Spot): readonly number[] {
  return leases ? [0, EPSILON] : [10 * slot + 4 * variant]
}

/** Where no journal is looked at every report is at hand: what follows without them is more than what may happen. */
const FREE_REPORTS: Reports = { honest: Array.from({ length: HONEST }, () => GENESIS_ID), liar: undefined }

type Asked = {
  readonly slot: number
  /** Heads that each honest anchor reported in this term. */
  readonly reports: readonly (readonly number[])[]
  /** Bodies of this term that somebody voted for. */
  readonly bodies: readonly number[]
  readonly certified: readonly number[]
}

/** Any body for which an anchor that knows nothing would vote, with reports that were made: the rest is up to its record. */
function voteOffers(stage: Stage, asked: Asked): readonly Action[] {
  const resting = stage.profile.entries === 0 ? [FREE_REPORTS] : restingOn(asked)
  const { slot } = asked
  return bodiesOf(stage, asked).flatMap((body) => {
    const witness = resting.find((reports) =>
      honestReadings(stage, stage.values.bodies[body]!).some((reading) =>
        act(stage, openAnchor(setOf(stage.values.terms[slot]!)), { do: 'vote', body, reports, reading }),
      ),
    )
    return witness
      ? atReadings(stage, stage.values.bodies[body]!, (reading) => ({ do: 'vote', body, reports: witness, reading }))
      : []
  })
}

/** A proposer is bound to what it sent only by who voted for it: before, it may choose anything. */
function bodiesOf({ profile, values }: Stage, { slot, bodies, certified }: Asked): readonly number[] {
  const { leases } = profile
  const made: number[] = []
  for (let variant = 0; variant < profile.bodyVariants; variant++) {
    const voted = bodies.find((id) => values.bodies[id]!.variant === variant)
    if (voted !== undefined) {
      if (values.bodies[voted]!.expires >= -EPSILON) made.push(voted) // later it could bind nobody any more
      continue
    }
    for (const head of [GENESIS_ID, ...certified]) {
      for (const notBefore of leases?.begins ?? honestReadings({ profile, values }, { slot, variant })) {
        for (const length of leases?.lengths ?? [1])
          made.push(bodyOf(values, { slot, variant, head, notBefore, expires: notBefore + length }))
      }
    }
    break
  }
  return made
}

/** Every choice among the reports that exist; the liar reports any certificate, none, or nothing. */
function restingOn({ reports, certified }: Asked): readonly Reports[] {
  let choices: readonly (readonly (number | undefined)[])[] = [[]]
  for (const heads of reports) choices = [...heads, undefined].flatMap((head) => choices.map((made) => [...made, head]))
  return [GENESIS_ID, ...certified, undefined].flatMap((liar) => choices.map((honest) => ({ honest, liar })))
}

type Proposed = {
  readonly placed: readonly number[]
  readonly certified: readonly number[]
  /** Entries that some anchor accepted. */
  readonly seen: readonly number[]
}

/** Any entry that a placed executor may sign and an anchor that knows nothing would accept. */
function acceptOffers(stage: Stage, { placed, certified, seen }: Proposed): readonly Action[] {
  const { profile, values } = stage
  const offers: Action[] = []
  for (const body of placed) {
    const { head, slot } = values.bodies[body]!
    for (const previous of new Set([head, ...certified, ...seen])) {
      if ((values.entries[previous]?.n ?? 0) >= profile.entries || (values.entries[previous]?.slot ?? 0) > slot)
        continue
      for (let variant = 0; variant < profile.entryVariants; variant++) {
        const entry = entryAfter(values, values.bodies[body]!, previous, variant)
        const proven = certified.includes(previous)
        if (!stage.profile.exact && certified.some((id) => samePlace(values.entries[id]!, values.entries[entry]!)))
          continue
        const action = { do: 'accept', entry, body, proven } as const
        const [now] = honestReadings(stage, values.bodies[body]!)
        if (act(stage, openAnchor(setOf(values.terms[slot]!)), { ...action, reading: now! }))
          offers.push(...atReadings(stage, values.bodies[body]!, (reading) => ({ ...action, reading })))
        if (!seen.includes(entry)) break // variants are alike until one of them was accepted
      }
    }
  }
  return offers
}

function certificateOffers(stage: Stage, set: number, certified: readonly number[]): readonly Action[] {
  return certified.flatMap((entry) => {
    const ownSet = setOf(stage.values.entries[entry]!.entry.term) === set
    const { slot } = stage.values.entries[entry]!
    const hold = ownSet ? atReadings(stage, { slot, variant: 0 }, (reading) => ({ do: 'hold', entry, reading })) : []
    return stage.profile.storing ? [...hold, { do: 'store', entry }] : hold
  })
}

function leaseOffers(stage: Stage, placed: readonly number[], keepers: readonly Keeper[]): readonly Action[] {
  if (!stage.profile.leases) return []
  return placed.flatMap((body) => {
    const { asked } = keepers[stage.values.bodies[body]!.slot]!
    return asked
      ? atReadings(stage, stage.values.bodies[body]!, (reading) => ({
          do: 'renew',
          body,
          expires: asked.expires,
          reading,
        }))
      : []
  })
}

/** What an executor gave back, anchors of every home set may hear. */
function releaseOffers({ values }: Stage, { evidence, keepers }: Table): readonly Action[] {
  return evidence.placed
    .filter((body) => keepers[values.bodies[body]!.slot]!.released)
    .map((body) => ({ do: 'release', body }))
}

/**
 * An anchor seals what comes before the set after its own: to seal more, or a set that it never took over, changes nothing that
 * anybody could see. It reads the latest time that its clock may show: then it names the fewest leases, and believes the most.
 */
function handOverOffers(
  { profile, values }: Stage,
  sets: readonly number[],
  { signed, evidence }: Table,
): readonly Action[] {
  const old = sets.filter((set) => set + 1 < profile.homes.length)
  const ahead = clockAhead(profile)
  const readings = [profile.leases ? EPSILON : 0, ...(ahead > 0 ? [ahead] : [])]
  const answersOf = (set: number) =>
    profile.homes[set]!.flatMap((index) => signed[index]!.sealed.filter((answer) => answer.set === set))
  return readings.flatMap((reading) => [
    ...old.flatMap((set) => [{ do: 'seal', set, reading } as const, { do: 'answer', set, reading } as const]),
    ...sets
      .filter((set) => set > 0)
      .flatMap((set) =>
        openingsOf(values, answersOf(set - 1), evidence.certified).map(
          (answers) => ({ do: 'open', set, answers, reading }) as const,
        ),
      ),
  ])
}
