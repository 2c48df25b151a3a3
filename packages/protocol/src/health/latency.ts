/** Latencies as counts in fixed buckets that double in width: small, mergeable, and alike on every machine. */

/** Bucket k holds what took at most 2^k ms and more than half of that; the last one holds everything above. */
export const LATENCY_BUCKETS = 17

export const NO_LATENCY: readonly bigint[] = Array.from({ length: LATENCY_BUCKETS }, () => 0n)

export function bucketOf(latencyMs: number): number {
  let bucket = 0
  while (bucket < LATENCY_BUCKETS - 1 && 2 ** bucket < latencyMs) bucket++
  return bucket
}

/** The longest that anything in this bucket took, in ms; twice the bucket below where there is no end. */
export function bucketMs(bucket: number): number {
  return 2 ** bucket
}

/** The bound of the bucket below which 99 of 100 lie; 0 when nothing was counted. */
export function p99(counts: readonly bigint[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0n)
  if (total === 0n) return 0
  let beyond = total / 100n
  for (let bucket = counts.length - 1; bucket > 0; bucket--) {
    const count = counts[bucket] ?? 0n
    if (count > beyond) return bucketMs(bucket)
    beyond -= count
  }
  return bucketMs(0)
}
