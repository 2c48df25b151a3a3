import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bucketMs, bucketOf, LATENCY_BUCKETS, p99 } from './latency.ts'
import type { ProbeSample } from './messages.ts'
import { checkConflict, checkSample, checkTimely, compareSamples } from './sample.ts'
import { ANCHORS, CONTEXT, sampleOf, signed, WINDOW_MS, windowAt } from './testing.ts'

const [one, two] = ANCHORS as [(typeof ANCHORS)[number], (typeof ANCHORS)[number]]
const sample = sampleOf(one.address, windowAt(0))
const check = (change: Partial<ProbeSample>) => checkSample(signed(one, { ...sample, ...change }), CONTEXT)

test('a sample of a prober holds', () => {
  expect(check({})).toMatchObject({ verdict: 'accept' })
})

test.each([
  ['a stranger', { prober: two.address }, 'health.not_prober'],
  ['a window of another length', { lengthMs: WINDOW_MS + 1n }, 'health.window'],
  ['a window that starts anywhere', { start: windowAt(0) + 1n }, 'health.window'],
  ['more ends than probes', { failed: 1n }, 'health.counts'],
  ['answers without latency', { answered: 9n }, 'health.counts'],
  ['more stale answers than answers', { stale: 11n }, 'health.counts'],
  ['other buckets', { latency: sample.latency.slice(1) }, 'health.counts'],
])('refused: %s', (_, change, code) => {
  expect(check(change)).toMatchObject({ verdict: 'reject', code })
})

test('a window is taken once it is over, and not long after', () => {
  const timely = (now: bigint) => checkTimely(sample, { now, epsilonMs: 200n })
  expect(timely(windowAt(1) - 201n)).toMatchObject({ code: 'health.window' })
  expect(timely(windowAt(1) - 200n)).toBeUndefined()
  expect(timely(windowAt(5))).toBeUndefined()
  expect(timely(windowAt(5) + 1n)).toMatchObject({ code: 'health.window' })
})

test('the same sample again is nothing new; another one for its window proves a lie', () => {
  const first = signed(one, sample)
  const second = signed(one, { ...sample, stalenessMs: 7n })
  expect(compareSamples(undefined, first)).toMatchObject({ verdict: 'accept' })
  expect(compareSamples(first, signed(one, sample))).toMatchObject({ code: 'health.known' })
  expect(compareSamples(first, second)).toMatchObject({ code: 'health.conflict' })
  expect(checkConflict({ first, second }, CONTEXT)).toEqual({ verdict: 'accept', value: one.address })
  expect(checkConflict({ first, second: first }, CONTEXT)).toMatchObject({ code: 'health.evidence' })
  const forged = { ...second, signature: first.signature }
  expect(checkConflict({ first, second: forged }, CONTEXT)).toMatchObject({ code: 'health.not_prober' })
  const later = signed(one, sampleOf(one.address, windowAt(1)))
  expect(checkConflict({ first, second: later }, CONTEXT)).toMatchObject({ code: 'health.evidence' })
})

test('a latency lies within its bucket, and the 99th part of many is the bucket of one of them', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 300 }), (latencies) => {
      const counts = Array.from({ length: LATENCY_BUCKETS }, () => 0n)
      for (const latency of latencies) {
        const bucket = bucketOf(latency)
        expect(latency).toBeLessThanOrEqual(bucketMs(bucket))
        if (bucket > 0) expect(latency).toBeGreaterThan(bucketMs(bucket - 1))
        counts[bucket]!++
      }
      const sorted = latencies.toSorted((a, b) => a - b)
      const index = latencies.length - 1 - Math.floor(latencies.length / 100)
      expect(p99(counts)).toBe(bucketMs(bucketOf(sorted[index]!)))
    }),
  )
})
