/** How reads are shared out: by score, less to the degraded, nothing to who is to be left alone. */
import type { Standing } from './judge.ts'

/** All weights of a list together. */
export const WEIGHT_TOTAL = 10_000
/** A degraded node keeps this part of its weight. */
const DEGRADED_SHARE = 0.5

/** `serving` is false for a node that is silent or in maintenance. */
export function readWeightOf({ state, score }: Standing, serving: boolean): number {
  if (!serving || state === 'draining' || state === 'penalised') return 0
  return state === 'degraded' ? score * DEGRADED_SHARE : score
}

/** Whole parts of 10,000 in proportion, which sum to it exactly. Where nobody has any weight all have the same: somebody must be asked. */
export function sharesOf(weights: readonly number[]): readonly number[] {
  if (weights.length === 0) return []
  const sum = weights.reduce((total, weight) => total + weight, 0)
  const parts = weights.map((weight) => (sum > 0 ? (weight / sum) * WEIGHT_TOTAL : WEIGHT_TOTAL / weights.length))
  const shares = parts.map(Math.floor)
  const rest = WEIGHT_TOTAL - shares.reduce((total, share) => total + share, 0)
  const byRemainder = parts
    .map((part, i) => ({ i, remainder: part - Math.floor(part) }))
    .filter(({ i }) => sum === 0 || weights[i]! > 0)
    .sort((a, b) => b.remainder - a.remainder || a.i - b.i)
  for (const { i } of byRemainder.slice(0, rest)) shares[i]!++
  return shares
}
