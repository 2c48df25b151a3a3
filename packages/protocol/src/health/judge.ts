/** From measures to consequences: a score with its reasons, and four states with a way in and a longer way out. */
import { combineSamples, type Measure } from './measure.ts'
import type { ProbeSample } from './messages.ts'
import type { Objectives } from './parameters.ts'

export const HEALTH_STATES = ['healthy', 'degraded', 'draining', 'penalised'] as const
export type HealthState = (typeof HEALTH_STATES)[number]

/** A missed window weighs twice as much as a met one makes good, so a node that misses every other one goes down. */
const MISSED_WEIGHT = 2
const MET_WEIGHT = 1
/** The weight of misses at which a state begins; `most` is where counting ends. */
const LIMITS = { degraded: 4, draining: 8, penalty: 12, most: 16 } as const
/** The weight at or below which a state is left for a better one: far below where it began, so nothing flaps. */
const RECOVERED = { degraded: 0, draining: 4 } as const
/** Part of a window's score in the node's score. */
const NEW_SCORE_SHARE = 0.25

/** Where a node stands for one anchor, after all windows judged so far. */
export type Standing = {
  readonly state: HealthState
  /** From 0 to 1, the mean of its windows, later ones standingPenalties more. */
  readonly score: number
  /** The weight of missed windows that is not made good yet. */
  readonly misses: number
  /** The start of the last window that was judged. */
  readonly window: bigint
  /** When the last penalty ends; 0 without one. */
  readonly until: bigint
}

export const NEWCOMER: Standing = { state: 'healthy', score: 1, misses: 0, window: 0n, until: 0n }

export type Reason = { readonly objective: keyof Objectives; readonly measured: number; readonly wanted: number }

/** `unknown`: too few probers spoke. `excused`: the node had planned maintenance. Neither changes where it stands. */
export type WindowVerdict = 'met' | 'missed' | 'unknown' | 'excused'

export type Judgement = {
  readonly verdict: WindowVerdict
  readonly measure: Measure | undefined
  /** Of this window alone; 1 when everything was met. */
  readonly score: number
  /** The objectives that were missed. */
  readonly reasons: readonly Reason[]
  readonly standing: Standing
}

export type JudgeContext = {
  readonly start: bigint
  /** How many probers must have spoken: 2f + 1. */
  readonly quorum: number
  readonly objectives: Objectives
  readonly planned: boolean
}

/** Judges one window of a node by the samples of its probers, after what was judged before. */
export function judge(samples: readonly ProbeSample[], context: JudgeContext, history: Standing): Judgement {
  const { start, quorum, objectives, planned } = context
  const measure = combineSamples(samples, quorum)
  const standing = { ...history, window: start > history.window ? start : history.window }
  if (planned) return { verdict: 'excused', measure, score: 1, reasons: [], standing }
  if (!measure) return { verdict: 'unknown', measure, score: 1, reasons: [], standing }
  const reasons = missedObjectives(measure, objectives)
  const score = reasons.reduce((least, reason) => Math.min(least, ratioOf(reason)), 1)
  const weight = reasons.length > 0 ? history.misses + MISSED_WEIGHT : history.misses - MET_WEIGHT
  const misses = Math.max(0, Math.min(LIMITS.most, weight))
  const mean = history.score + (score - history.score) * NEW_SCORE_SHARE
  const next = { ...standing, misses, score: mean, state: stateAfter(history.state, misses) }
  return { verdict: reasons.length > 0 ? 'missed' : 'met', measure, score, reasons, standing: next }
}

/** True when a node that is drained went on missing its objectives: its probers may certify a penalty. */
export function isPenaltyDue({ state, misses }: Standing): boolean {
  return state === 'draining' && misses >= LIMITS.penalty
}

/** A certified penalty holds until its end. */
export function penalise(standing: Standing, until: bigint): Standing {
  return { ...standing, state: 'penalised', until: until > standing.until ? until : standing.until }
}

/** After a penalty a node has to show that it keeps its objectives; one that does not is drained on. */
export function afterPenalty(standing: Standing, now: bigint): Standing {
  if (standing.state !== 'penalised' || now < standing.until) return standing
  const misses = Math.max(standing.misses, LIMITS.degraded)
  return { ...standing, misses, state: misses >= LIMITS.draining ? 'draining' : 'degraded' }
}

/** How many further missed windows lead to each worse state; 0 where it is reached. */
export function outlookOf({ state, misses }: Standing): { degraded: number; draining: number; penalty: number } {
  const windows = (limit: number) => Math.max(0, Math.ceil((limit - misses) / MISSED_WEIGHT))
  const until = (worse: HealthState, limit: number) =>
    HEALTH_STATES.indexOf(state) >= HEALTH_STATES.indexOf(worse) ? 0 : windows(limit)
  return {
    degraded: until('degraded', LIMITS.degraded),
    draining: until('draining', LIMITS.draining),
    penalty: until('penalised', LIMITS.penalty),
  }
}

/** The objectives that a measure misses. */
export function missedObjectives(measure: Measure, objectives: Objectives): readonly Reason[] {
  const names = Object.keys(objectives) as (keyof Objectives)[]
  return names
    .filter((name) => (name === 'availability' ? measure[name] < objectives[name] : measure[name] > objectives[name]))
    .map((objective) => ({ objective, measured: measure[objective], wanted: objectives[objective] }))
}

/** How much of a missed objective was met, from 0 to 1. */
function ratioOf({ objective, measured, wanted }: Reason): number {
  if (objective === 'availability') return measured / wanted
  if (objective === 'failedCalls') return (1 - measured) / (1 - wanted)
  return wanted / measured
}

function stateAfter(state: HealthState, misses: number): HealthState {
  if (state === 'penalised') return state // it ends with its time, not with a window
  if (misses >= LIMITS.draining) return 'draining'
  if (state === 'draining' && misses > RECOVERED.draining) return state
  if (misses >= LIMITS.degraded) return 'degraded'
  return state !== 'healthy' && misses > RECOVERED.degraded ? 'degraded' : 'healthy'
}
