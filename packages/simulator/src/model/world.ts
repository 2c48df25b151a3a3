/** The whole of one profile as a search sees it: the honest anchors of all home sets, the executors, and the passing of time. */
import { epochOfTerm, FIRST_EPOCH, firstTermOf } from '@smartlayer/protocol'
import {
  type Action,
  type Anchor,
  act,
  aged,
  freshAnchor,
  keyOfAnchor,
  keyOfSigned,
  newcomer,
  type Signed,
  type Stage,
} from './anchor.ts'
import { type Evidence, evidenceOf, type Settled, samePlace, type Verdicts } from './evidence.ts'
import {
  agedKeeper,
  ask,
  canAct,
  count,
  type Keeper,
  keyOfKeeper,
  mayAsk,
  NO_LEASE,
  releasedBy,
  restarted,
} from './executor.ts'
import { type KnownOffers, offersTo } from './offers.ts'
import { EPSILON, epochOfSet, HOMES, setOf } from './parties.ts'
import type { Profile } from './profile.ts'
import { brokenPromise } from './promises.ts'
import type { State, World } from './search.ts'
import { describeAction } from './tell.ts'
import { agedPlacement, emptyValues, GENESIS_ID, mayBind, nameOfTerm, placedForm } from './values.ts'

/** What can happen in a situation: what is offered to anchors of each kind, and what executors do by themselves. */
type Situation = {
  readonly offers: readonly Int32Array[]
  readonly moves: readonly { readonly common: number; readonly text: string }[]
  readonly violation: string | undefined
}
/** `signs`: with something that a quorum may come together for. */
/** Anchors next to each other that sit in the same sets: they are interchangeable. */
type Kind = { readonly first: number; readonly size: number; readonly sets: readonly number[] }
/** An anchor as it stands once, with what follows from it as far as that was computed before. */
type Row = {
  readonly anchor: Anchor
  readonly signed: number
  /** By action. */
  readonly steps: Map<number, Step>
  /** By what is common: the same anchor without what can make no difference. */
  readonly pruned: Map<number, number>
  /** By home set: the same anchor without its answer to the next one. */
  readonly mute: Map<number, number>
  aged: number
}
type Step = { readonly to: number; readonly signs: boolean; readonly broken: string | undefined }

const REFUSED: Step = { to: -1, signs: false, broken: undefined }

/** What is not an anchor's own: executors, and what is settled for good. */
type Common = {
  readonly keepers: readonly Keeper[]
  readonly settled: Settled
  /** How often anchors crashed. */
  readonly crashes: number
}
const NOTHING_SETTLED: Settled = { placed: [], certified: [] }

/**
 * `promises`: each step is judged by what the anchor promised. `trusting`: what a sealed anchor keeps is forgotten, since it signs
 * nothing any more; a search for what comes of a missing rule does not rely on that.
 */
export type Judging = { readonly promises: boolean; readonly trusting: boolean }

export function worldOf(profile: Profile, { promises, trusting }: Judging): World {
  const { exact } = profile
  const stage: Stage = { profile, values: emptyValues(profile.terms) }
  const { values } = stage
  const { leases } = profile
  const kinds = kindsOf(profile)
  const anchorWords = kinds.reduce((sum, { size }) => sum + size, 0)
  const width = anchorWords + 1

  const anchors: Row[] = []
  const anchorIds = new Map<string, number>()
  const signeds: Signed[] = []
  const signedIds = new Map<string, number>()
  const commons: { common: Common; aged: number }[] = []
  const commonIds = new Map<string, number>()
  const actions: { action: Action; text: string }[] = []
  const actionIds = new Map<string, number>()
  const situations = new Map<string, Situation>()
  const verdicts: Verdicts = new Map()
  const offersKnown: KnownOffers = new Map()

  const taken: { actor: number; text: string; broken: string | undefined } = { actor: -1, text: '', broken: undefined }

  function anchorId(anchor: Anchor): number {
    const signed = idOf(signedIds, keyOfSigned(anchor.signed), () => signeds.push(anchor.signed) - 1)
    const key = `${keyOfAnchor(stage, anchor)}#${signed}`
    return idOf(
      anchorIds,
      key,
      () => anchors.push({ anchor, signed, steps: new Map(), pruned: new Map(), mute: new Map(), aged: -1 }) - 1,
    )
  }
  function commonId(common: Common): number {
    const { keepers, settled, crashes } = common
    const key = `${keepers.map(keyOfKeeper).join('|')}#${settled.placed}#${settled.certified}#${crashes}`
    return idOf(commonIds, key, () => commons.push({ common, aged: -1 }) - 1)
  }
  function actionId(action: Action): number {
    return idOf(
      actionIds,
      JSON.stringify(action),
      () => actions.push({ action, text: describeAction(values, action) }) - 1,
    )
  }

  function stepOf(from: number, actionAt: number): Step {
    const row = anchors[from]!
    const known = row.steps.get(actionAt)
    if (known) return known
    const { action } = actions[actionAt]!
    const made = mayTake(row.anchor, action) ? act(stage, row.anchor, action) : undefined
    const step = made
      ? {
          to: anchorId(made),
          signs: action.do === 'vote' || action.do === 'accept',
          broken: promises ? brokenPromise(values, row.anchor, made, leases) : undefined,
        }
      : REFUSED
    row.steps.set(actionAt, step)
    return step
  }

  /**
   * A clock that runs ahead shows so only until the anchor settled. A new anchor hears of an old release after it took over, not
   * before: either way it is not bound by that lease, and in between it does nothing.
   */
  function mayTake({ unsettled, standing }: Anchor, action: Action): boolean {
    if (action.do === 'release') return standing.opened >= epochOfTerm(values.terms[values.bodies[action.body]!.slot]!)
    return !(leases && 'reading' in action && action.reading > EPSILON && unsettled === 0)
  }

  function agedAnchor(id: number): number {
    const row = anchors[id]!
    if (row.aged < 0) row.aged = anchorId(aged(stage, row.anchor))
    return row.aged
  }
  function agedCommon(id: number): number {
    const row = commons[id]!
    if (row.aged >= 0) return row.aged
    const { keepers, settled } = row.common
    const placed = settled.placed.map((body) => agedPlacement(values, body))
    row.aged = commonId({
      ...row.common,
      keepers: keepers.map((keeper) => agedKeeper(keeper, leases!)),
      settled: { ...settled, placed },
    })
    return row.aged
  }

  /** What the common state makes of an anchor: signatures that nobody can use any more are forgotten. */
  function pruned(id: number, common: number): number {
    const { anchor, pruned: made } = anchors[id]!
    const known = made.get(common)
    if (known !== undefined) return known
    const kept = !trusting
      ? anchor
      : hasLeft(anchor)
        ? { ...freshAnchor(anchor.sets), ...pickLeft(anchor) }
        : withoutPast(anchor)
    const forgotten = anchorId(withoutSettled(kept, commons[common]!.common))
    made.set(common, forgotten)
    return forgotten
  }

  /** It sealed the last home set that it sits in, which it had taken over. */
  function hasLeft({ standing, sets }: Anchor): boolean {
    const last = epochOfSet(Math.max(...sets))
    return standing.opened >= last && standing.sealed > last
  }

  /** Of terms before the home set in which it signs it keeps the leases that bind it: what it knows besides changes nothing. */
  function withoutPast(anchor: Anchor): Anchor {
    const { standing, record, released } = anchor
    const first = firstTermOf(standing.opened)
    if (standing.sealed !== standing.opened || standing.opened === FIRST_EPOCH) return anchor
    const { leases: bound, placement } = record
    return {
      ...anchor,
      released: released.filter((slot) => values.terms[slot]! >= first),
      record: {
        ...record,
        leases: bound.filter((lease) => lease.term >= first || !lease.released),
        placement: placement && placement.placement.term >= first ? placement : undefined,
      },
    }
  }

  function withoutSettled({ record, signed, ...rest }: Anchor, { keepers, settled }: Common): Anchor {
    const slots = settled.placed.map((body) => values.bodies[body]!.slot)
    const isPlaced = (slot: number) => slots.includes(slot)
    return {
      ...rest,
      record: {
        ...record,
        voted: isPlaced(values.terms.indexOf(record.term)) ? undefined : record.voted,
        leases: leases ? record.leases : [], // each term has a time of its own: no lease of another runs in it
      },
      signed: {
        ...signed,
        reports: signed.reports.filter(({ slot }) => !isPlaced(slot)),
        votes: signed.votes.filter((body) => !isPlaced(values.bodies[body]!.slot) && mayBind(values, body)),
        accepts: signed.accepts.filter(
          (id) => !settled.certified.some((other) => samePlace(values.entries[id]!, values.entries[other]!)),
        ),
        renewals: signed.renewals.filter(({ body, expires }) => {
          const { asked, released } = keepers[values.bodies[body]!.slot]!
          return !released && asked?.expires === expires
        }),
      },
    }
  }

  /** A quorum makes a placement or a certificate: from then on it stands by itself. */
  function settle(state: State): void {
    const { common } = commons[state[anchorWords]!]!
    const { settled } = common
    const votes = quorate(state, 'votes', (id) => setOf(values.terms[values.bodies[id]!.slot]!))
    const accepts = quorate(state, 'accepts', (id) => setOf(values.entries[id]!.entry.term))
    if (votes.length + accepts.length === 0) return
    state[anchorWords] = commonId({
      ...common,
      settled: {
        placed: sorted([...settled.placed, ...votes.map((id) => placedForm(values, id))]),
        certified: sorted([...settled.certified, ...accepts]),
      },
    })
  }

  function quorate(state: State, kind: 'votes' | 'accepts', setOfId: (id: number) => number): readonly number[] {
    const counts = new Map<number, number>()
    for (let i = 0; i < anchorWords; i++) {
      for (const id of signeds[anchors[state[i]!]!.signed]![kind]) counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    return [...counts].flatMap(([id, signers]) => (signers + 1 >= HOMES[setOfId(id)]!.quorum ? [id] : []))
  }

  function situationOf(state: State): Situation {
    let key = `${state[anchorWords]}`
    for (const { first, size } of kinds) {
      const own: number[] = []
      for (let i = first; i < first + size; i++) own.push(anchors[state[i]!]!.signed)
      key += `,${size > 1 ? own.sort((a, b) => a - b) : own}`
    }
    const known = situations.get(key)
    if (known) return known
    const all: Signed[] = []
    for (let i = 0; i < anchorWords; i++) all.push(signeds[anchors[state[i]!]!.signed]!)
    const { common } = commons[state[anchorWords]!]!
    const { keepers, settled } = common
    const evidence = evidenceOf(stage, { all, settled }, verdicts)
    const table = { signed: all, evidence, keepers }
    const made: Situation = {
      offers: kinds.map(({ sets }) => Int32Array.from(offersTo(stage, sets, table, offersKnown).map(actionId))),
      moves: leases?.executors ? movesOf(common, evidence, all) : [],
      violation: evidence.violation ?? (leases ? twoExecutors(keepers, evidence) : undefined),
    }
    situations.set(key, made)
    return made
  }

  function twoExecutors(keepers: readonly Keeper[], { placed }: Evidence): string | undefined {
    const acting = placed.filter((id) => canAct(keepers[values.bodies[id]!.slot]!, values.bodies[id]!, leases!))
    if (acting.length < 2) return undefined
    const names = acting.map((id) => nameOfTerm(values, values.bodies[id]!.slot))
    return `executors of terms ${names.join(' and ')} act at the same time`
  }

  function movesOf(common: Common, { placed }: Evidence, all: readonly Signed[]): Situation['moves'] {
    const { keepers } = common
    return placed.flatMap((id) => {
      const { slot } = values.bodies[id]!
      const keeper = keepers[slot]!
      const term = nameOfTerm(values, slot)
      const to = (changed: Keeper, text: string) => ({
        common: commonId({ ...common, keepers: keepers.map((other, i) => (i === slot ? changed : other)) }),
        text: `the executor of ${term} ${text}`,
      })
      if (keeper.released) return []
      const moves = []
      if (mayAsk(keeper, leases!) && (leases!.renewals || !keeper.lease)) {
        for (const reading of [0, EPSILON])
          moves.push(to(ask(keeper, reading, leases!), `asks for its lease until now + ${reading + leases!.length}`))
      }
      if (keeper.asked) {
        const { expires } = keeper.asked
        const votes = all.filter(({ renewals }) =>
          renewals.some((r) => values.bodies[r.body]!.slot === slot && r.expires === expires),
        ).length
        const set = setOf(values.terms[slot]!)
        if (votes + 1 >= HOMES[set]!.quorum)
          moves.push(to(count(keeper), 'counts a quorum of renewals: it holds its lease'))
      }
      if (leases!.executorsCrash && (keeper.asked || keeper.lease))
        moves.push(to(restarted(keeper), 'crashes and starts again'))
      // What the executor of the last term gives back frees nobody.
      const isLast = profile.terms.length > 1 && slot === profile.terms.length - 1
      if (leases!.releases && !isLast) moves.push(to(releasedBy(keeper), 'gives its lease back'))
      return moves
    })
  }

  const idle = commonId({ keepers: profile.terms.map(() => NO_LEASE), settled: NOTHING_SETTLED, crashes: 0 })
  const initial = new Uint32Array(width)
  for (const { first, size, sets } of kinds) {
    const isNew = profile.newcomersAhead > 0 && !sets.includes(0)
    initial.fill(anchorId(isNew ? newcomer(profile, sets) : freshAnchor(sets)), first, first + size)
  }
  initial[anchorWords] = idle
  const restart = actionId({ do: 'restart' })
  const next = new Uint32Array(width)
  const kindOf = kinds.flatMap(({ size }, kind) => Array<number>(size).fill(kind))

  /** Answers to a home set are forgotten once all who sit in it took over. */
  function forgetAnswers(state: State): void {
    for (let set = 1; set < profile.homes.length; set++) {
      const isTaken = profile.homes[set]!.every((i) => anchors[state[i]!]!.anchor.standing.opened >= epochOfSet(set))
      if (!isTaken) continue
      for (const i of profile.homes[set - 1]!) state[i] = muted(state[i]!, set - 1)
    }
  }

  function muted(id: number, set: number): number {
    const { anchor, mute } = anchors[id]!
    const known = mute.get(set)
    if (known !== undefined) return known
    const sealed = anchor.signed.sealed.map((answer) =>
      answer.set === set ? { set, head: GENESIS_ID, leases: [] } : answer,
    )
    const made = anchorId({ ...anchor, signed: { ...anchor.signed, sealed } })
    mute.set(set, made)
    return made
  }

  return {
    width,
    initial: [initial],
    forget(state) {
      if (exact) return
      for (let i = 0; i < anchorWords; i++) state[i] = pruned(state[i]!, state[anchorWords]!)
      forgetAnswers(state)
    },
    sort(state) {
      for (const { first, size } of kinds) if (size > 1) state.subarray(first, first + size).sort()
    },
    violation: (state) => situationOf(state).violation,
    expand(state, visit) {
      const situation = situationOf(state)
      next.set(state)
      for (let i = 0; i < anchorWords; i++) {
        const from = state[i]!
        const kind = kindOf[i]!
        const { first } = kinds[kind]!
        if ((i > first && state[i - 1] === from) || (i > first + 1 && state[i - 2] === from)) continue
        const take = (action: number): void => {
          const step = stepOf(from, action)
          if (step.to < 0) return
          taken.actor = i
          taken.text = actions[action]!.text
          taken.broken = step.broken
          next[i] = step.to
          if (step.signs && !exact) settle(next)
          visit(next)
          next[anchorWords] = state[anchorWords]!
        }
        const offers = situation.offers[kind]!
        for (let k = 0; k < offers.length; k++) take(offers[k]!)
        const { common } = commons[state[anchorWords]!]!
        const isBound = !leases || anchors[from]!.anchor.record.leases.length > 0
        if (isBound && common.crashes < profile.crashes) {
          next[anchorWords] = commonId({ ...common, crashes: common.crashes + 1 })
          take(restart)
          next[anchorWords] = state[anchorWords]!
        }
        next[i] = from
      }
      taken.actor = -1
      taken.broken = undefined
      for (const move of situation.moves) {
        taken.text = move.text
        next[anchorWords] = move.common
        visit(next)
      }
      if (!leases) return
      taken.text = 'a tick passes'
      for (let i = 0; i < anchorWords; i++) next[i] = agedAnchor(state[i]!)
      next[anchorWords] = agedCommon(state[anchorWords]!)
      visit(next)
    },
    lastStep: () => (taken.actor < 0 ? taken.text : `anchor ${'ABCDEF'[taken.actor]} ${taken.text}`),
    stepViolation: () => taken.broken && `${'ABCDEF'[taken.actor]}: ${taken.broken}`,
  }
}

function sorted(list: readonly number[]): readonly number[] {
  return [...list].sort((a, b) => a - b)
}

function idOf(ids: Map<string, number>, key: string, make: () => number): number {
  const known = ids.get(key)
  if (known !== undefined) return known
  const id = make()
  ids.set(key, id)
  return id
}

/** What others may still make use of. */
function pickLeft({ standing, signed, released }: Anchor): Partial<Anchor> {
  return { standing, signed, released }
}

function kindsOf({ homes }: Profile): readonly Kind[] {
  const kinds: Kind[] = []
  const count = Math.max(...homes.flat()) + 1
  for (let index = 0; index < count; index++) {
    const sets = homes.flatMap((members, set) => (members.includes(index) ? [set] : []))
    const last = kinds.at(-1)
    if (last && `${last.sets}` === `${sets}`) kinds[kinds.length - 1] = { ...last, size: last.size + 1 }
    else kinds.push({ first: index, size: 1, sets })
  }
  return kinds
}
