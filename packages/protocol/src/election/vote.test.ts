import { describe, expect, test } from 'vitest'
import type { Home } from '../directory/home.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { accepted } from '../primitives/verdict.ts'
import type { Placement } from './messages.ts'
import { type AnchorContext, type AnchorRecord, emptyRecord } from './record.ts'
import {
  hasRunningPlacement,
  headOfReports,
  learnPlacement,
  release,
  renew,
  report,
  type VerifiedReport,
  vote,
} from './vote.ts'

const anchors = ['a', 'b', 'c', 'd'].map((letter): Address => `0x${letter.repeat(40)}`)
const [a, b, c, d] = anchors as [Address, Address, Address, Address]
const service = (n: number): Address => `0x${String(n).repeat(40)}`
const hash = (n: number): Bytes32 => `0x${n.toString(16).padStart(64, '0')}`
const home: Home = { anchors, quorum: 3 }
const INSTANCE = hash(7)
const context = (now: bigint, settled = true): AnchorContext => ({
  self: a,
  epoch: 0n,
  now,
  settled,
  leaseMs: 3_000n,
  epsilonMs: 200n,
})
const isServiceNode = (node: Address) => !anchors.includes(node)

function reportsFor(term: bigint, heads: readonly [bigint, bigint, number][] = []): VerifiedReport[] {
  return [a, b, c].map((anchor, i) => {
    const [certificateTerm, certificateN, at] = heads[i] ?? [0n, 0n, 0]
    return { anchor, report: { instance: INSTANCE, term, certificateTerm, certificateN, certificateHash: hash(at) } }
  })
}

function placement(term: bigint, change: Partial<Placement> = {}): Placement {
  return {
    instance: INSTANCE,
    term,
    incarnation: 0n,
    proposer: anchors[Number(term % 4n)]!,
    executor: service(1),
    replicas: [service(1), service(2), service(3)],
    headTerm: 0n,
    headN: 0n,
    headHash: hash(0),
    notBefore: 10_000n,
    expires: 13_000n,
    ...change,
  }
}

function cast(
  record: AnchorRecord,
  body: Placement,
  { at = 10_000n, id = Number(body.term), settled = true, reports = reportsFor(body.term) } = {},
) {
  return vote(
    record,
    { placement: body, hash: hash(id), reports, from: body.proposer },
    { home, isServiceNode },
    context(at, settled),
  )
}

function voted(body = placement(1n), at = 10_000n): AnchorRecord {
  const decision = cast(emptyRecord(INSTANCE), body, { at })
  if (!accepted(decision)) throw new Error(decision.code)
  return decision.value.record
}

describe('reports', () => {
  const certificate = { term: 0n, n: 0n, hash: hash(0) }

  test('only the proposer of the term is answered, and then nothing of a lower term is signed', () => {
    expect(report(emptyRecord(INSTANCE), { term: 1n, from: c, certificate }, home, context(0n))).toMatchObject({
      code: 'election.not_proposer',
    })
    const made = report(emptyRecord(INSTANCE), { term: 2n, from: c, certificate }, home, context(0n))
    if (!accepted(made)) throw new Error(made.code)
    const lower = report(made.value.record, { term: 1n, from: b, certificate }, home, context(0n))
    expect(lower).toMatchObject({ verdict: 'ignore', code: 'election.term_old' })
    expect(cast(made.value.record, placement(1n))).toMatchObject({ code: 'election.term_old' })
  })

  test('asking again gives the same report; terms cannot be burnt by a jump', () => {
    const made = report(emptyRecord(INSTANCE), { term: 1n, from: b, certificate }, home, context(0n))
    if (!accepted(made)) throw new Error(made.code)
    const again = report(
      made.value.record,
      { term: 1n, from: b, certificate: { ...certificate, n: 5n } },
      home,
      context(1n),
    )
    expect(again).toMatchObject({ value: { sign: made.value.sign } })
    expect(report(emptyRecord(INSTANCE), { term: 9n, from: b, certificate }, home, context(0n))).toMatchObject({
      code: 'election.term_jump',
    })
  })

  test('whoever was away follows to a term in which more than f anchors reported', () => {
    const ask = (anchors: readonly Address[], of = 9n) =>
      report(
        emptyRecord(INSTANCE),
        {
          term: 9n,
          from: b,
          certificate,
          reports: anchors.map((anchor) => ({ ...reportsFor(of)[0]!, anchor })),
        },
        home,
        context(0n),
      )
    expect(ask([b, c])).toMatchObject({ verdict: 'accept', value: { record: { term: 9n } } })
    expect(ask([b, b])).toMatchObject({ code: 'election.term_jump' })
    expect(ask([b, c], 8n)).toMatchObject({ code: 'election.term_jump' })
  })
})

describe('votes', () => {
  test('a placement that rests on 2f + 1 reports gets one vote, and the same one again', () => {
    const record = voted()
    expect(record.leases).toMatchObject([{ expires: 13_000n, released: false }])
    expect(cast(record, placement(1n))).toMatchObject({ verdict: 'accept' })
  })

  test.each([['another body in the same term', placement(1n, { executor: service(2) }), { id: 99 }, 'election.voted']])(
    'refused after a vote: %s',
    (_, body, options, code) => {
      expect(cast(voted(), body, options)).toMatchObject({ code })
    },
  )

  test.each<[string, Placement, object, string]>([
    ['too few reports', placement(1n), { reports: reportsFor(1n).slice(1) }, 'election.reports'],
    ['reports of another term', placement(1n), { reports: reportsFor(2n) }, 'election.reports'],
    ['the wrong proposer', placement(1n, { proposer: c }), {}, 'election.not_proposer'],
    ['a head below the highest certificate', placement(1n, { headN: 1n }), {}, 'election.head'],
    ['an executor that is no replica', placement(1n, { executor: service(9) }), {}, 'election.executor'],
    ['an anchor as replica', placement(1n, { replicas: [service(1), d] }), {}, 'election.executor'],
    ['a lease that is too long', placement(1n, { expires: 13_001n }), {}, 'election.lease_length'],
    ['a lease far in the future', placement(1n, { notBefore: 20_000n, expires: 23_000n }), {}, 'election.lease_length'],
  ])('refused: %s', (_, body, options, code) => {
    expect(cast(emptyRecord(INSTANCE), body, options)).toMatchObject({ code })
  })

  test('while an earlier lease may run by any honest clock, nobody else is elected', () => {
    const next = (at: bigint, change: Partial<Placement> = {}) =>
      cast(voted(), placement(2n, { notBefore: at, expires: at + 3_000n, ...change }), { at })
    expect(next(13_000n)).toMatchObject({ code: 'election.lease_running' })
    expect(next(13_200n)).toMatchObject({ code: 'election.lease_running' })
    expect(next(13_201n)).toMatchObject({ verdict: 'accept' })
    expect(next(13_201n, { notBefore: 13_200n, expires: 16_000n })).toMatchObject({ code: 'election.not_before' })
  })

  test('a restarted anchor waits out the longest lease before it votes for a new executor', () => {
    const body = placement(2n, { notBefore: 14_000n, expires: 17_000n })
    expect(cast(voted(), body, { at: 14_000n, settled: false })).toMatchObject({ code: 'election.restart_wait' })
    expect(cast(emptyRecord(INSTANCE), placement(1n), { settled: false })).toMatchObject({ verdict: 'accept' })
  })

  test('a restarted anchor forgets no lease by a clock that may still be ahead', () => {
    const prepare = { term: 2n, from: c, certificate: { term: 0n, n: 0n, hash: hash(0) } }
    const reported = report(voted(), prepare, home, context(99_000n, false))
    if (!accepted(reported)) throw new Error(reported.code)
    const body = placement(2n, { notBefore: 11_000n, expires: 14_000n })
    expect(cast(reported.value.record, body, { at: 11_000n })).toMatchObject({ code: 'election.lease_running' })
  })

  test('a released lease holds nobody up', () => {
    const record = learnPlacement(voted(), { placement: placement(1n), votes: [] }, hash(1))
    const released = release(record, { placement: hash(1), n: 0n, head: hash(0) }, service(1))
    if (!accepted(released)) throw new Error(released.code)
    const body = placement(2n, { notBefore: 10_100n, expires: 13_100n })
    expect(cast(released.value, body, { at: 10_100n })).toMatchObject({ verdict: 'accept' })
    expect(release(record, { placement: hash(1), n: 0n, head: hash(0) }, service(2))).toMatchObject({
      code: 'journal.not_executor',
    })
  })

  test('a vote binds although nobody ever saw a certificate for it', () => {
    expect(voted().placement).toBeUndefined()
    expect(cast(voted(), placement(2n, { notBefore: 12_000n, expires: 15_000n }), { at: 12_000n })).toMatchObject({
      code: 'election.lease_running',
    })
  })
})

describe('renewals', () => {
  const current = () => learnPlacement(voted(), { placement: placement(1n), votes: [] }, hash(1))

  test('extend the lease this anchor is bound by, by at most one lease from now', () => {
    const renewed = renew(current(), { placement: hash(1), expires: 14_500n }, context(11_500n))
    if (!accepted(renewed)) throw new Error(renewed.code)
    expect(renewed.value.record.leases).toMatchObject([{ expires: 14_500n }])
    expect(
      cast(renewed.value.record, placement(2n, { notBefore: 14_000n, expires: 17_000n }), { at: 14_000n }),
    ).toMatchObject({
      code: 'election.lease_running',
    })
    expect(renew(current(), { placement: hash(1), expires: 19_000n }, context(11_500n))).toMatchObject({
      code: 'election.lease_length',
    })
  })

  test('never shorten it', () => {
    const renewed = renew(current(), { placement: hash(1), expires: 12_000n }, context(11_000n))
    expect(renewed).toMatchObject({ value: { record: { leases: [{ expires: 13_000n }] } } })
  })

  test('end with the lease, with a release, and with a higher term', () => {
    expect(renew(current(), { placement: hash(1), expires: 16_000n }, context(13_201n))).toMatchObject({
      code: 'journal.lease_over',
    })
    expect(renew(current(), { placement: hash(2), expires: 14_000n }, context(11_000n))).toMatchObject({
      code: 'election.unknown_placement',
    })
    const later = { ...current(), term: 2n }
    expect(renew(later, { placement: hash(1), expires: 14_000n }, context(11_000n))).toMatchObject({
      code: 'election.term_old',
    })
  })
})

test('a placement runs until its lease is over for the slowest honest clock', () => {
  const record = learnPlacement(voted(), { placement: placement(1n), votes: [] }, hash(1))
  expect(hasRunningPlacement(record, context(13_200n))).toBe(true)
  expect(hasRunningPlacement(record, context(13_201n))).toBe(false)
})

test('the head of a term is the highest certificate by term first: a longer chain of an older term loses', () => {
  const reports = reportsFor(5n, [
    [1n, 9n, 1],
    [3n, 2n, 2],
    [5n, 4n, 3],
  ])
  expect(headOfReports(reports, 5n)).toEqual({ term: 3n, n: 2n, hash: hash(2) })
})
