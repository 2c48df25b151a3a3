import { describe, expect, test } from 'vitest'
import type { Signer } from '../primitives/crypto.ts'
import { type CertifiedPenalty, type PenaltyRecord, type SignedSample, sampleHash } from './messages.ts'
import { PENALTY_LIMIT_MS } from './parameters.ts'
import {
  checkCertifiedPenalty,
  checkPenalty,
  composePenalty,
  PENALTY_WINDOWS,
  type PenaltyContext,
  penaltyDigest,
  standingPenalties,
} from './penalty.ts'
import { ANCHORS, CONTEXT, HEALTH, NODE, OBJECTIVES, QUORUM, type Seen, sampleOf, signed, windowAt } from './testing.ts'

const FAILING: Seen = { answered: 2 }
const context: PenaltyContext = { ...CONTEXT, objectives: OBJECTIVES, after: 0n, repeat: 0, planned: () => false }
const all = (index: number, seen: Seen, by: readonly Signer[] = ANCHORS) =>
  by.map((signer) => signed(signer, sampleOf(signer.address, windowAt(index), seen)))
const failing = (count: number) => Array.from({ length: count }, (_, i) => all(i, FAILING)).flat()
const composed = (samples = failing(PENALTY_WINDOWS)) => composePenalty(NODE, samples, context)!
const certified = (record: PenaltyRecord, by: readonly Signer[]): CertifiedPenalty => ({
  record,
  signatures: by.map((signer) => signer.sign(penaltyDigest(record, CONTEXT))),
})

test('six windows that missed their objectives make a penalty, which every prober can check by itself', () => {
  const { record, samples } = composed()
  expect(record).toMatchObject({ first: windowAt(0), last: windowAt(5), from: windowAt(6), repeat: 0n })
  expect(record.until - record.from).toBe(BigInt(HEALTH.penaltyMs))
  expect(checkPenalty({ record, samples }, context)).toEqual({ verdict: 'accept', value: record })
})

test('five do not, nor six that lie far apart, nor windows that the quorum says nothing about', () => {
  expect(composePenalty(NODE, failing(PENALTY_WINDOWS - 1), context)).toBeUndefined()
  const apart = [0, 1, 2, 3, 4, 9].flatMap((index) => all(index, FAILING))
  expect(composePenalty(NODE, apart, context)).toBeUndefined()
  const few = Array.from({ length: 6 }, (_, i) => all(i, FAILING, ANCHORS.slice(0, QUORUM - 1))).flat()
  expect(composePenalty(NODE, few, context)).toBeUndefined()
})

test('f liars cannot make up a penalty for an honest node, whatever they leave out', () => {
  const lies = (index: number) => all(index, { answered: 0 }, ANCHORS.slice(0, 2))
  const truth = (index: number) => all(index, {}, ANCHORS.slice(2, QUORUM))
  const samples = Array.from({ length: 6 }, (_, i) => [...lies(i), ...truth(i)]).flat()
  expect(composePenalty(NODE, samples, context)).toBeUndefined()
  const hashes = samples.map(({ sample }) => sampleHash(sample, CONTEXT.domain, CONTEXT.crypto.keccak))
  const record = { ...composed().record, samples: hashes }
  expect(checkPenalty({ record, samples }, context)).toMatchObject({
    verdict: 'ignore',
    facts: { detail: '0 windows missed their objectives, 6 needed' },
  })
})

describe('a prober does not sign', () => {
  const { record, samples } = composed()
  const check = (
    change: Partial<PenaltyRecord>,
    given: readonly SignedSample[] = samples,
    by: Partial<PenaltyContext> = {},
  ) => checkPenalty({ record: { ...record, ...change }, samples: given }, { ...context, ...by })

  test.each([
    ['another length', check({ until: record.until + 1n }), 'health.penalty_terms'],
    ['a repetition that it does not know of', check({ repeat: 1n }), 'health.penalty_terms'],
    ['samples that the record does not name', check({}, samples.toReversed()), 'health.evidence'],
    ['fewer samples than it names', check({}, samples.slice(1)), 'health.evidence'],
    ['windows that a known penalty covers', check({}, samples, { after: windowAt(0) }), 'health.evidence'],
    ['windows of planned maintenance', check({}, samples, { planned: (s) => s === windowAt(3) }), 'health.evidence'],
    ['samples of strangers', check({}, samples, { probers: { anchors: [], quorum: 0 } }), 'health.not_prober'],
    ['another node', check({ node: `0x${'99'.repeat(20)}` }), 'health.evidence'],
  ])('%s', (_, verdict, code) => expect(verdict).toMatchObject({ code }))

  test('a sample that was changed after it was signed', () => {
    const [first, ...rest] = samples
    const changed = { ...first!, sample: { ...first!.sample, probes: 11n } }
    expect(check({}, [changed, ...rest])).toMatchObject({ verdict: 'reject', code: 'health.not_prober' })
  })
})

test('penalties that still weigh make the next one twice as long, up to a day', () => {
  const lengthOf = (repeat: number) => {
    const { record } = composePenalty(NODE, failing(6), { ...context, repeat })!
    return Number(record.until - record.from)
  }
  expect([0, 1, 2].map(lengthOf)).toEqual([1, 2, 4].map((times) => times * HEALTH.penaltyMs))
  expect(lengthOf(31)).toBe(PENALTY_LIMIT_MS)
})

test('counts with the signatures of a quorum of probers, each once', () => {
  const { record } = composed()
  expect(checkCertifiedPenalty(certified(record, ANCHORS.slice(0, QUORUM)), CONTEXT)).toMatchObject({
    verdict: 'accept',
  })
  const [one, ...others] = ANCHORS.slice(0, QUORUM - 1)
  expect(checkCertifiedPenalty(certified(record, [one!, one!, ...others]), CONTEXT)).toMatchObject({
    code: 'health.signatures',
  })
})

test('weighs for a day after its end', () => {
  const penalty = certified(composed().record, [])
  const end = penalty.record.until + BigInt(PENALTY_LIMIT_MS)
  expect(standingPenalties([penalty], end - 1n)).toEqual([penalty])
  expect(standingPenalties([penalty], end)).toEqual([])
})
