/** What the token must be after each entry of its journal: written once more, apart from the script and from the network. */
import type { EffectName, Entry, Shown, Tally } from './history.ts'

const FOLD = { factor: 31, modulus: 1_000_003 } as const
const OPEN_LIMIT = 8
const ATTEMPTS = 10

export type EffectStatus = 'pending' | 'attempting' | 'succeeded' | 'uncertain' | 'awaiting failure attestation'
export type Effect = {
  readonly name: EffectName
  readonly status: EffectStatus
  readonly attempts: number
  readonly failures: number
}
export type Replayed = {
  /** The state after each place, from place 0 on. */
  readonly states: readonly Shown[]
  /** By key, those that were attempted. */
  readonly effects: ReadonlyMap<string, Effect>
}

const NO_TALLY: Tally = { last: 0, sum: 0, gaps: 0 }
export const BEGINNING: Shown = {
  own: NO_TALLY,
  all: NO_TALLY,
  asked: 0,
  skipped: 0,
  charged: 0,
  called: 0,
  uncertain: 0,
  acted: 0,
  actionSum: 0,
}

/** Entries in order, from the first place on. */
export function replay(entries: readonly Entry[]): Replayed {
  const effects = new Map<string, Effect>()
  const actions = new Set<string>()
  const states: Shown[] = [BEGINNING]
  for (const { input } of entries) states.push(after(states.at(-1)!, input, { effects, actions }))
  return { states, effects }
}

type Kept = { readonly effects: Map<string, Effect>; readonly actions: Set<string> }

function after(state: Shown, input: Entry['input'], { effects, actions }: Kept): Shown {
  switch (input.kind) {
    case 'term-start':
      return state
    case 'input':
      return afterFact(state, input)
    case 'action': {
      // The same action may be journaled by several executors: it counts once.
      if (actions.has(input.digest)) return state
      actions.add(input.digest)
      return { ...state, acted: state.acted + 1, actionSum: folded(state.actionSum, input.by) }
    }
    case 'attempt': {
      const effect = effects.get(input.effect) ?? { name: input.name, status: 'pending', attempts: 0, failures: 0 }
      if (isOpen(effect) && input.attempt === effect.attempts + 1)
        effects.set(input.effect, { ...effect, status: 'attempting', attempts: input.attempt })
      return state
    }
    case 'outcome':
      return afterOutcome(state, input, effects)
  }
}

function afterFact(state: Shown, { name, index, add, effect }: Extract<Entry['input'], { kind: 'input' }>): Shown {
  const { last, sum, gaps } = state[name]
  const tally = { last: index, sum: folded(sum, add), gaps: gaps + (index === last + 1 ? 0 : 1) }
  const next = { ...state, [name]: tally }
  if (effect === 'none') return next
  const open = state.asked - state.charged - state.called - state.uncertain
  return open < OPEN_LIMIT ? { ...next, asked: state.asked + 1 } : { ...next, skipped: state.skipped + 1 }
}

function afterOutcome(
  state: Shown,
  { effect: key, attempt, end }: Extract<Entry['input'], { kind: 'outcome' }>,
  effects: Map<string, Effect>,
): Shown {
  const effect = effects.get(key)
  if (effect?.status !== 'attempting' || effect.attempts !== attempt) return state
  const status = statusAfter(effect, end)
  const hasFailed = status === 'pending' || status === 'awaiting failure attestation'
  effects.set(key, { ...effect, status, failures: effect.failures + (hasFailed ? 1 : 0) })
  if (status === 'uncertain') return { ...state, uncertain: state.uncertain + 1 }
  if (status !== 'succeeded') return state
  return effect.name === 'charge' ? { ...state, charged: state.charged + 1 } : { ...state, called: state.called + 1 }
}

function statusAfter({ name, failures }: Effect, end: 'answered' | 'failed' | 'lost'): EffectStatus {
  if (end === 'answered') return 'succeeded'
  if (end === 'lost' && name === 'call') return 'uncertain'
  return failures + 1 >= ATTEMPTS ? 'awaiting failure attestation' : 'pending'
}

function isOpen({ status }: Effect): boolean {
  return status !== 'succeeded' && status !== 'uncertain'
}

function folded(sum: number, add: number): number {
  return (sum * FOLD.factor + add) % FOLD.modulus
}
