/** Service levels as the Control Room shows them: where each node stands in words, why, and what would come next. */
import { type HealthView, nameOf, type SnapshotView } from './model.ts'

/** Scores and weights come in parts of this. */
const PARTS = 10_000
/** From the best to the worst; `planned` is nobody's fault. */
export type Tone = 'good' | 'planned' | 'uneasy' | 'bad'

export type HealthSummary = {
  readonly node: string
  readonly name: string
  readonly state: string
  readonly tone: Tone
  /** Per cent. */
  readonly score: number
  readonly reads: number
  readonly placed: string
  readonly reasons: readonly string[]
  readonly next: string
}

/** Those that need a look come first. */
export function healthOf(view: SnapshotView): {
  readonly by: string | undefined
  readonly nodes: readonly HealthSummary[]
} {
  const nodes = (view.health?.nodes ?? []).map((each) => summaryOf(view, each))
  const rank = ({ tone }: HealthSummary) => ['bad', 'uneasy', 'planned', 'good'].indexOf(tone)
  return { by: view.health?.by, nodes: nodes.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1)) }
}

function summaryOf(view: SnapshotView, health: HealthView): HealthSummary {
  const { node, score, weight, instances, limit, reasons, missed } = health
  const past = health.state === 'healthy' && missed > 0 ? 'was: ' : ''
  return {
    node,
    name: nameOf(view, node),
    ...stateOf(health),
    score: percent(score),
    reads: percent(weight),
    placed: `${instances} of ${limit}`,
    reasons: reasons.map(({ objective, measured, wanted }) => past + reasonText(objective, measured, wanted)),
    next: nextOf(health),
  }
}

function stateOf({ state, alive, drain, until }: HealthView): { readonly state: string; readonly tone: Tone } {
  if (drain) return { state: `maintenance until ${timeOf(drain.until)}`, tone: 'planned' }
  if (state === 'penalised') return { state: `penalised until ${timeOf(until)}`, tone: 'bad' }
  if (!alive) return { state: `${state}, silent`, tone: 'bad' }
  return { state, tone: state === 'healthy' ? 'good' : state === 'degraded' ? 'uneasy' : 'bad' }
}

function nextOf({ state, drain, outlook }: HealthView): string {
  if (drain) return 'It hands over what it hosts; nothing is held against it.'
  if (state === 'penalised') return 'It gets no placement until then, and has to prove itself after it.'
  if (state === 'draining') {
    return outlook.penalty > 0 ? `Penalised after ${windows(outlook.penalty)}.` : 'Its probers may certify a penalty.'
  }
  return `Drained after ${windows(outlook.draining)}, penalised after ${outlook.penalty}.`
}

function reasonText(objective: string, measured: number, wanted: number): string {
  const names: Readonly<Record<string, string>> = {
    availability: 'availability',
    latencyMs: 'latency',
    stalenessMs: 'staleness',
    failedCalls: 'failed calls',
  }
  const show = (value: number) => (objective.endsWith('Ms') ? `${value} ms` : `${percent(value)} %`)
  return `${names[objective] ?? objective} ${show(measured)}, wanted ${show(wanted)}`
}

function windows(count: number): string {
  return `${count} more missed window${count === 1 ? '' : 's'}`
}

function percent(parts: number): number {
  return Math.round((parts * 1_000) / PARTS) / 10
}

function timeOf(ms: string): string {
  return new Date(Number(ms)).toISOString().slice(11, 19)
}
