/** What is asked of service nodes, and how long things are kept: parameters that all nodes of a network share. */

/** What a service class promises. Latency and staleness in ms, the others as shares from 0 to 1. */
export type Objectives = {
  /** Least share of probes that get an answer. */
  readonly availability: number
  /** 99 of 100 answers come within this. */
  readonly latencyMs: number
  /** No answer rests on a position that was left behind longer ago. */
  readonly stalenessMs: number
  /** Largest share of answers that are wrong or refusals. */
  readonly failedCalls: number
}

export type ServiceClass = 'standard'

export type HealthParameters = {
  /** Length of a window; windows start at whole multiples of it. */
  readonly windowMs: number
  /** Probes of one node by one anchor in a window. */
  readonly probesPerWindow: number
  readonly objectives: Readonly<Record<ServiceClass, Objectives>>
  /** A first penalty lasts this long, each further one that still weighs twice as long as the one before. */
  readonly penaltyMs: number
  /** How much planned maintenance a node has in an epoch of `drainEpochMs`. */
  readonly drainMs: number
  readonly drainEpochMs: number
}

const DAY_MS = 86_400_000

/** For networks on one machine: windows of seconds, and patience with a machine that does many things at once. */
export const LOCAL_HEALTH: HealthParameters = {
  windowMs: 5_000,
  probesPerWindow: 5,
  objectives: { standard: { availability: 0.8, latencyMs: 2_048, stalenessMs: 5_000, failedCalls: 0.2 } },
  penaltyMs: 60_000,
  drainMs: 3_600_000,
  drainEpochMs: DAY_MS,
}

/** Bounds of what an anchor keeps. */
export const HEALTH_LIMITS = {
  /** Service nodes that are judged. */
  nodes: 10_000,
  /** Windows of one node whose samples are kept: enough for a penalty, with some that came late. */
  windows: 16,
  /** Anchors that probe one node. */
  probers: 7,
  /** A sample is taken this many windows after its window ended. */
  lateWindows: 4,
  /** Judged periods of one node: a day of five minutes each. */
  periods: 288,
  periodMs: 300_000,
  /** Penalties, and drains, of one node that are remembered. */
  penalties: 32,
  drains: 64,
  /** Proofs that an anchor signed two samples for one window. */
  conflicts: 256,
} as const

/** Longest penalty, and how long one weighs after it. */
export const PENALTY_LIMIT_MS = DAY_MS
