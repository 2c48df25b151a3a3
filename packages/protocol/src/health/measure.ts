/** What several anchors measured of a node in one window, as one measure that no minority of liars can move. */
import { p99 } from './latency.ts'
import type { ProbeSample } from './messages.ts'
import type { Objectives } from './parameters.ts'

/** The same members as the objectives, as they were measured. */
export type Measure = { readonly [K in keyof Objectives]: number }

/**
 * Each member is the median over the samples, the better one of the two in the middle: with 2f + 1 samples or more, at most f
 * of them false, it lies within what honest probers measured. Undefined while fewer probers than the quorum speak.
 */
export function combineSamples(samples: readonly ProbeSample[], quorum: number): Measure | undefined {
  const spoken = samples.filter(({ probes }) => probes > 0n)
  if (new Set(spoken.map(({ prober }) => prober)).size !== spoken.length) return undefined // not one each
  if (spoken.length < quorum) return undefined
  const measures = spoken.map(measureOf)
  const sorted = (of: (measure: Measure) => number) => measures.map(of).sort((a, b) => a - b)
  const lower = (of: (measure: Measure) => number) => sorted(of)[(spoken.length - 1) >> 1] ?? 0
  return {
    availability: sorted((measure) => measure.availability)[spoken.length >> 1] ?? 1,
    latencyMs: lower((measure) => measure.latencyMs),
    stalenessMs: lower((measure) => measure.stalenessMs),
    failedCalls: lower((measure) => measure.failedCalls),
  }
}

/** What one anchor measured. */
export function measureOf({ probes, answered, failed, stalenessMs, latency }: ProbeSample): Measure {
  const ends = Number(answered + failed)
  return {
    availability: probes > 0n ? ends / Number(probes) : 1,
    latencyMs: p99(latency),
    stalenessMs: Number(stalenessMs),
    failedCalls: ends > 0 ? Number(failed) / ends : 0,
  }
}
