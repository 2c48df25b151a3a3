import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { accept, ignore } from '../primitives/verdict.ts'
import { ANY_FRESHNESS, judgeRead, knownAsOf, mayReuse, type ReadPosition, resultKey, tooOld } from './reads.ts'

const STREAM = `0x${'51'.repeat(32)}` as const
const SUBSET = `0x${'52'.repeat(32)}` as const
const NOW = 1_000_000n
const LIMITS = { epsilonMs: 200n, staleReadsMs: 60_000n }

function positionAt(changes: Partial<ReadPosition> = {}): ReadPosition {
  const cursors = { [`${STREAM}:${SUBSET}`]: { sequence: '4', uid: STREAM } }
  return { state: { n: '7', cursors }, expires: NOW + 1_000n, asOf: NOW - 500n, leads: false, ...changes }
}

describe('a replica answers', () => {
  const judge = (wanted: Partial<typeof ANY_FRESHNESS>, position = positionAt()) =>
    judgeRead({ ...ANY_FRESHNESS, ...wanted }, position, NOW, LIMITS)

  it('what it was not asked to be fresh, from where it stands', () => {
    expect(judge({})).toEqual(accept({ stale: false }))
  })

  it('from the journal place and the place in a subset that were asked for, and no earlier', () => {
    expect(judge({ minN: 7n })).toEqual(accept({ stale: false }))
    const behind = { n: 7n, minN: 8n, sequence: 0n, minSequence: 0n }
    expect(judge({ minN: 8n })).toEqual(ignore('query.behind', behind))
    const subset = { stream: STREAM, subset: SUBSET }
    expect(judge({ ...subset, minSequence: 4n })).toEqual(accept({ stale: false }))
    expect(judge({ ...subset, minSequence: 5n })).toMatchObject({ code: 'query.behind', facts: { sequence: 4n } })
    expect(judge({ stream: SUBSET, subset: STREAM, minSequence: 1n })).toMatchObject({ facts: { sequence: 0n } })
  })

  it('within the age that was asked for', () => {
    expect(judge({ maxAgeMs: 500n })).toEqual(accept({ stale: false }))
    expect(judge({ maxAgeMs: 499n })).toEqual(ignore('query.too_old', { ageMs: 500n, maxAgeMs: 499n }))
  })

  it('linearizably only while it leads', () => {
    expect(judge({ linearizable: true })).toMatchObject({ code: 'query.not_linearizable' })
    expect(judge({ linearizable: true }, positionAt({ leads: true }))).toEqual(accept({ stale: false }))
  })

  it('after the lease for a stated time, marked, and only those who did not ask for more', () => {
    const ended = (ms: bigint) => positionAt({ expires: NOW - ms, leads: true })
    expect(judge({}, ended(200n))).toEqual(accept({ stale: false }))
    expect(judge({}, ended(201n))).toEqual(accept({ stale: true }))
    expect(judge({}, ended(60_000n))).toEqual(accept({ stale: true }))
    expect(judge({}, ended(60_001n))).toMatchObject({ code: 'query.not_serving' })
    expect(judge({ maxAgeMs: 999_999n }, ended(201n))).toMatchObject({ code: 'query.not_serving' })
    expect(judge({ linearizable: true }, ended(201n))).toMatchObject({ code: 'query.not_serving' })
  })
})

describe('the age of a position', () => {
  const said = fc.array(fc.record({ n: fc.bigInt(0n, 9n), at: fc.bigInt(0n, 2_000n) }), { maxLength: 8 })

  it('is vouched for by more anchors than may lie: f of them, whatever they say, move nothing', () => {
    fc.assert(
      fc.property(said, said, fc.integer({ min: 0, max: 3 }), (honest, lies, f) => {
        const confirmed = { n: 5n, time: 700n }
        const asOf = knownAsOf(confirmed, [...honest, ...lies.slice(0, f)], f)
        const newestHonest = honest.filter(({ n }) => n <= 5n).reduce((most, { at }) => (at > most ? at : most), 0n)
        expect(asOf).toBeGreaterThanOrEqual(confirmed.time)
        expect(asOf).toBeLessThanOrEqual(newestHonest > confirmed.time ? newestHonest : confirmed.time)
      }),
    )
  })

  it('does not count what was said of a place that is not confirmed here yet', () => {
    const here = { n: 5n, time: 700n }
    expect(knownAsOf(here, [{ n: 6n, at: 900n }], 0)).toBe(700n)
    expect(knownAsOf(here, [{ n: 5n, at: 900n }], 0)).toBe(900n)
  })

  it('is never negative, so clocks that differ refuse nothing', () => {
    expect(tooOld({ maxAgeMs: 1n }, 2_000n, 1_000n)).toBeUndefined()
  })
})

describe('an answer for everybody', () => {
  const made = { at: 1_000n, root: STREAM, term: 3n, stale: false }

  it('is given again for a second, on the same basis', () => {
    expect(mayReuse(made, { ...made, now: 2_000n })).toBe(true)
    expect(mayReuse(made, { ...made, now: 2_001n })).toBe(false)
    expect(mayReuse(made, { ...made, now: 999n })).toBe(false)
  })

  it('never across another state root, term or mark', () => {
    const present = { ...made, now: 1_000n }
    expect(mayReuse(made, { ...present, root: SUBSET })).toBe(false)
    expect(mayReuse(made, { ...present, term: 4n })).toBe(false)
    expect(mayReuse(made, { ...present, stale: true })).toBe(false)
  })
})

it('results have equal keys only when all that they come from is equal', () => {
  const word = fc.constantFrom(STREAM, SUBSET)
  const parts = fc.record({
    ...{ scriptHash: word, engine: word, instance: word, stateRoot: word, args: word },
    method: fc.constantFrom('a', 'a/b', 'b'),
    audience: fc.constantFrom('', `0x${'aa'.repeat(20)}`),
  })
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      expect(resultKey(a) === resultKey(b)).toBe(JSON.stringify(a) === JSON.stringify(b))
    }),
  )
})
