/** The HTTP API about the health of service nodes; apart from the rest, so that clients which do not ask need not carry it. */
import {
  certifiedPenaltyShape,
  Drain,
  ReadWeights,
  signedDrainShape,
  signedSampleShape,
  WEIGHTS_LIMIT,
} from '../health/messages.ts'
import { HEALTH_LIMITS } from '../health/parameters.ts'
import { integer, listOf, optional, record, type ShapeOf, signature, text } from '../primitives/shape.ts'
import { address, bool, bytes32, uint } from '../primitives/struct.ts'
import { oneOfText } from './messages.ts'

/** Shares and scores in answers about health are parts of this. */
export const SHARE_PARTS = 10_000
const share = integer(0, SHARE_PARTS)
const count = integer(0, 1_000_000)
const objectiveValue = integer(0, Number.MAX_SAFE_INTEGER)

/** An objective that was missed: latency and staleness in ms, the others in parts of 10,000. */
export const healthReasonShape = record({ objective: text(16), measured: objectiveValue, wanted: objectiveValue })
export const objectivesShape = record({
  availability: share,
  latencyMs: objectiveValue,
  stalenessMs: objectiveValue,
  failedCalls: share,
})
export type ObjectivesInfo = ShapeOf<typeof objectivesShape>

/**
 * A service node as one anchor judges it. `reasons` are those of the last window that missed something, `outlook` counts the
 * further missed windows that lead to each worse state (0: reached), `until` is the end of a penalty, 0 without one.
 */
export const nodeInfoShape = record({
  node: address,
  operator: bytes32,
  platform: bytes32,
  alive: bool,
  state: oneOfText('healthy', 'degraded', 'draining', 'penalised'),
  score: share,
  weight: share,
  reasons: listOf(healthReasonShape, 4),
  missed: count,
  outlook: record({ degraded: count, draining: count, penalty: count }),
  until: uint(64),
  drain: optional(Drain),
  instances: count,
  limit: count,
})
export type NodeInfo = ShapeOf<typeof nodeInfoShape>

/** GET /v1/nodes `?after=&limit=`: service nodes by address, and signed weights for reads from those of this page. */
export const nodePageShape = record({
  time: uint(64),
  windowMs: uint(32),
  objectives: objectivesShape,
  nodes: listOf(nodeInfoShape, WEIGHTS_LIMIT),
  weights: ReadWeights,
  signature,
  next: optional(address),
})
export type NodePage = ShapeOf<typeof nodePageShape>

/** Some minutes of judged windows; `score` is that of the worst. */
export const periodShape = record({
  start: uint(64),
  windows: count,
  missed: count,
  unknown: count,
  excused: count,
  score: share,
})
export type PeriodInfo = ShapeOf<typeof periodShape>

/** One judged window, with what its probers measured together; nothing where too few spoke. */
export const judgedWindowShape = record({
  start: uint(64),
  verdict: oneOfText('met', 'missed', 'unknown', 'excused'),
  probers: count,
  score: share,
  measure: optional(objectivesShape),
  reasons: listOf(healthReasonShape, 4),
})
export type JudgedWindowInfo = ShapeOf<typeof judgedWindowShape>

/** GET /v1/nodes/:node/health: everything that is known of one service node. */
export const nodeHealthShape = record({
  time: uint(64),
  windowMs: uint(32),
  objectives: objectivesShape,
  node: nodeInfoShape,
  windows: listOf(judgedWindowShape, 64),
  periods: listOf(periodShape, HEALTH_LIMITS.periods),
  penalties: listOf(certifiedPenaltyShape, HEALTH_LIMITS.penalties),
  drains: listOf(signedDrainShape, HEALTH_LIMITS.drains),
})
export type NodeHealth = ShapeOf<typeof nodeHealthShape>

/** GET /v1/nodes/:node/samples: what its probers signed of the last windows. */
export const samplePageShape = record({
  samples: listOf(signedSampleShape, HEALTH_LIMITS.windows * HEALTH_LIMITS.probers),
})

/** POST /v1/development/drain: planned maintenance of this node, from now on; 0 takes it back. */
export const drainRequestShape = record({ forMs: integer(0, 86_400_000) })
export const drainInfoShape = record({ drain: Drain })
