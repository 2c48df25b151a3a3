import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  afterPenalty,
  HEALTH_STATES,
  type HealthState,
  isPenaltyDue,
  type JudgeContext,
  judge,
  NEWCOMER,
  outlookOf,
  penalise,
  type Standing,
} from './judge.ts'
import { combineSamples, measureOf } from './measure.ts'
import type { ProbeSample } from './messages.ts'
import { ANCHORS, OBJECTIVES, QUORUM, type Seen, sampleOf, windowAt } from './testing.ts'

const FAILING: Seen = { answered: 2, latencyMs: 4_000 }
const rank = (state: HealthState) => HEALTH_STATES.indexOf(state)
const context = (index: number, planned = false): JudgeContext => ({
  start: windowAt(index),
  quorum: QUORUM,
  objectives: OBJECTIVES,
  planned,
})
const all = (index: number, seen: Seen) => ANCHORS.map(({ address }) => sampleOf(address, windowAt(index), seen))

function after(windows: readonly Seen[], from: Standing = NEWCOMER): Standing {
  return windows.reduce((standing, seen, i) => judge(all(i, seen), context(i), standing).standing, from)
}

const anySeen: fc.Arbitrary<Seen> = fc
  .record({
    answered: fc.integer({ min: 0, max: 10 }),
    latencyMs: fc.integer({ min: 1, max: 60_000 }),
    stalenessMs: fc.integer({ min: 0, max: 60_000 }),
  })
  .chain((seen) => fc.integer({ min: 0, max: 10 - seen.answered }).map((failed) => ({ ...seen, failed })))
const goodSeen: fc.Arbitrary<Seen> = fc.record({
  answered: fc.integer({ min: 9, max: 10 }),
  latencyMs: fc.integer({ min: 1, max: 512 }),
  stalenessMs: fc.integer({ min: 0, max: 3_000 }),
})
const badSeen: fc.Arbitrary<Seen> = fc.record({
  answered: fc.integer({ min: 0, max: 8 }),
  latencyMs: fc.integer({ min: 513, max: 60_000 }),
})

/** Samples of one window: at least 2f + 1 probers of seven, of whom any two say what they like. */
function window(honest: fc.Arbitrary<Seen>): fc.Arbitrary<{ honest: ProbeSample[]; lies: ProbeSample[] }> {
  return fc
    .record({
      probers: fc.shuffledSubarray([...ANCHORS], { minLength: QUORUM }),
      liars: fc.integer({ min: 0, max: 2 }),
      seen: fc.array(honest, { minLength: 7, maxLength: 7 }),
      lies: fc.array(anySeen, { minLength: 2, maxLength: 2 }),
    })
    .map(({ probers, liars, seen, lies }) => ({
      lies: probers.slice(0, liars).map(({ address }, i) => sampleOf(address, windowAt(0), lies[i]!)),
      honest: probers.slice(liars).map(({ address }, i) => sampleOf(address, windowAt(0), seen[i]!)),
    }))
}

describe('f lying probers of 3f + 1', () => {
  test('move no measure beyond what honest ones saw', () => {
    fc.assert(
      fc.property(window(anySeen), ({ honest, lies }) => {
        const measure = combineSamples([...lies, ...honest], QUORUM)!
        const seen = honest.map(measureOf)
        for (const key of Object.keys(measure) as (keyof typeof measure)[]) {
          const values = seen.map((each) => each[key])
          expect(measure[key]).toBeGreaterThanOrEqual(Math.min(...values))
          expect(measure[key]).toBeLessThanOrEqual(Math.max(...values))
        }
      }),
    )
  })

  test('do not make a window missed that honest ones saw met', () => {
    fc.assert(
      fc.property(window(goodSeen), ({ honest, lies }) => {
        expect(judge([...lies, ...honest], context(0), NEWCOMER).verdict).toBe('met')
      }),
    )
  })

  test('do not save a node that honest ones saw failing', () => {
    fc.assert(
      fc.property(window(badSeen), ({ honest, lies }) => {
        expect(judge([...lies, ...honest], context(0), NEWCOMER).verdict).toBe('missed')
      }),
    )
  })
})

test('too few probers say nothing, and one that speaks twice does not fill up their number', () => {
  const few = all(0, FAILING).slice(0, QUORUM - 1)
  expect(judge(few, context(0), NEWCOMER)).toMatchObject({
    verdict: 'unknown',
    standing: { state: 'healthy', misses: 0 },
  })
  expect(judge([...few, few[0]!], context(0), NEWCOMER).verdict).toBe('unknown')
})

test('every missed objective is a reason with what was measured and what is wanted', () => {
  const judged = judge(all(0, { answered: 6, failed: 2, latencyMs: 900, stalenessMs: 9_000 }), context(0), NEWCOMER)
  expect(judged.reasons).toEqual([
    { objective: 'availability', measured: 0.8, wanted: 0.9 },
    { objective: 'latencyMs', measured: 1_024, wanted: 512 },
    { objective: 'stalenessMs', measured: 9_000, wanted: 3_000 },
    { objective: 'failedCalls', measured: 0.25, wanted: 0.1 },
  ])
  expect(judged.score).toBeCloseTo(1 / 3)
})

describe('states', () => {
  const states = (windows: readonly Seen[]) => windows.map((_, i) => after(windows.slice(0, i + 1)).state)

  test('a node that fails goes down step by step', () => {
    expect(states(Array(6).fill(FAILING))).toEqual([
      'healthy',
      'degraded',
      'degraded',
      'draining',
      'draining',
      'draining',
    ])
    expect(isPenaltyDue(after(Array(5).fill(FAILING)))).toBe(false)
    expect(isPenaltyDue(after(Array(6).fill(FAILING)))).toBe(true)
  })

  test('says beforehand how many missed windows lead where', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 20 }), (fails) => {
        const standing = after(fails.map((fail) => (fail ? FAILING : {})))
        const { draining, penalty } = outlookOf(standing)
        if (draining > 0) {
          expect(after(Array(draining).fill(FAILING), standing).state).toBe('draining')
          expect(after(Array(draining - 1).fill(FAILING), standing).state).not.toBe('draining')
        }
        expect(isPenaltyDue(after(Array(penalty).fill(FAILING), standing))).toBe(true)
      }),
    )
  })

  test('one missed window now and then changes nothing', () => {
    expect(new Set(states(Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? FAILING : {}))))).toEqual(
      new Set(['healthy']),
    )
  })

  test('never flap: a state that was left upwards is not reached again before two more missed windows', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 200 }), (fails) => {
        const seen = fails.map((fail) => (fail ? FAILING : {}))
        const path = states(seen)
        let better = -1
        let missedSince = 0
        path.forEach((state, i) => {
          const before = i > 0 ? path[i - 1]! : 'healthy'
          if (fails[i]) missedSince++
          if (rank(state) < rank(before)) [better, missedSince] = [i, 0]
          if (rank(state) > rank(before) && better >= 0) expect(missedSince).toBeGreaterThanOrEqual(2)
        })
      }),
      { numRuns: 50 },
    )
  })

  test('worse by one window is better again only after four', () => {
    const drained = after(Array(4).fill(FAILING))
    expect(drained.state).toBe('draining')
    expect(after(Array(3).fill({}), drained).state).toBe('draining')
    expect(after(Array(4).fill({}), drained).state).toBe('degraded')
    expect(after(Array(7).fill({}), drained).state).toBe('degraded')
    expect(after(Array(8).fill({}), drained).state).toBe('healthy')
  })

  test('planned maintenance costs nothing', () => {
    const standing = after(Array(3).fill(FAILING))
    const judged = judge(all(3, FAILING), context(3, true), standing)
    expect(judged).toMatchObject({ verdict: 'excused', standing: { misses: standing.misses, state: 'degraded' } })
  })

  test('a penalty ends with its time: then the node is on probation, or drained on when it still fails', () => {
    const penalised = penalise(after(Array(6).fill(FAILING)), windowAt(20))
    const better = after(Array(12).fill({}), penalised)
    expect(better.state).toBe('penalised')
    expect(afterPenalty(better, windowAt(20) - 1n).state).toBe('penalised')
    expect(afterPenalty(better, windowAt(20)).state).toBe('degraded')
    expect(afterPenalty(penalised, windowAt(20)).state).toBe('draining')
  })
})
