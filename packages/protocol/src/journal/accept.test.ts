import { describe, expect, test } from 'vitest'
import type { Placement } from '../election/messages.ts'
import { type AnchorContext, type AnchorRecord, emptyRecord } from '../election/record.ts'
import { release, renew } from '../election/vote.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { accepted } from '../primitives/verdict.ts'
import { acceptEntry, holdEntry, learnCertificate, learnCommit, type VerifiedProposal } from './accept.ts'
import { type CertifiedEntry, ENTRY_KINDS, type Entry, GENESIS, type Head } from './messages.ts'

const hash = (n: number): Bytes32 => `0x${n.toString(16).padStart(64, '0')}`
const EXECUTOR: Address = `0x${'11'.repeat(20)}`
const OTHER: Address = `0x${'22'.repeat(20)}`
const INSTANCE = hash(7)
const PLACEMENT = hash(100)
const context = (now = 10_500n): AnchorContext => ({
  self: OTHER,
  epoch: 0n,
  now,
  settled: true,
  leaseMs: 3_000n,
  epsilonMs: 200n,
})

const body: Placement = {
  instance: INSTANCE,
  term: 2n,
  incarnation: 0n,
  proposer: OTHER,
  executor: EXECUTOR,
  replicas: [EXECUTOR],
  headTerm: 1n,
  headN: 4n,
  headHash: hash(4),
  notBefore: 10_000n,
  expires: 13_000n,
}

function entry(change: Partial<Entry> = {}): Entry {
  return {
    instance: INSTANCE,
    incarnation: 0n,
    placement: PLACEMENT,
    term: 2n,
    n: 5n,
    previous: hash(4),
    kind: BigInt(ENTRY_KINDS.indexOf('input')),
    input: hash(50),
    content: hash(51),
    time: 10_400n,
    ...change,
  }
}

function proposal(change: Partial<VerifiedProposal> = {}, of: Partial<Entry> = {}): VerifiedProposal {
  const placement = { placement: body, votes: [], hash: PLACEMENT }
  return { entry: entry(of), hash: hash(5), executor: EXECUTOR, placement, predecessor: undefined, ...change }
}

function certified(n: number, term = 2n): CertifiedEntry {
  const head: Head = { term, n: BigInt(n), hash: hash(n) }
  return { certificate: { entry: entry({ n: BigInt(n), term, previous: hash(n - 1) }), accepts: [] }, head }
}

const offer = (record: AnchorRecord, proposed: VerifiedProposal, now?: bigint) =>
  acceptEntry(record, proposed, { previousTime: 10_000n }, context(now))

function after(record = emptyRecord(INSTANCE), proposed = proposal()): AnchorRecord {
  const decision = offer(record, proposed)
  if (!accepted(decision)) throw new Error(decision.code)
  return decision.value.record
}

describe('accepting', () => {
  test('the entry behind the head of the placement, then the one behind a certified entry of the same term', () => {
    const first = after()
    const second = proposal({ hash: hash(6), predecessor: certified(5) }, { n: 6n, previous: hash(5) })
    expect(offer(first, second)).toMatchObject({
      verdict: 'accept',
      value: { record: { held: { n: 5n }, accepted: { n: 6n } } },
    })
  })

  test('the same entry again is signed again, another one at its place never', () => {
    expect(offer(after(), proposal())).toMatchObject({ verdict: 'accept' })
    expect(offer(after(), proposal({ hash: hash(55) }, { content: hash(52) }))).toMatchObject({
      code: 'journal.accepted_other',
    })
  })

  test.each<[string, VerifiedProposal, string]>([
    ['by another node than the executor', proposal({ executor: OTHER }), 'journal.not_executor'],
    ['under another placement', proposal({}, { placement: hash(101) }), 'journal.placement'],
    ['for another incarnation', proposal({}, { incarnation: 1n }), 'journal.placement'],
    ['behind a gap', proposal({}, { n: 6n }), 'journal.predecessor'],
    ['behind another predecessor', proposal({}, { previous: hash(3) }), 'journal.predecessor'],
    [
      'behind a certificate of an older term',
      proposal({ predecessor: certified(5, 1n) }, { n: 6n, previous: hash(5) }),
      'journal.predecessor',
    ],
    ['of a kind nobody knows', proposal({}, { kind: 99n }), 'journal.input'],
    ['from before its predecessor', proposal({}, { time: 9_999n }), 'journal.time'],
    ['from the future', proposal({}, { time: 10_901n }), 'journal.time'],
  ])('refused: an entry %s', (_, proposed, code) => {
    expect(offer(emptyRecord(INSTANCE), proposed)).toMatchObject({ code })
  })

  test('nothing after the lease, after its release, or below a term that was signed for', () => {
    expect(offer(emptyRecord(INSTANCE), proposal({}, { time: 13_201n }), 13_201n)).toMatchObject({
      code: 'journal.lease_over',
    })
    const known = { ...emptyRecord(INSTANCE), placement: { placement: body, votes: [], hash: PLACEMENT } }
    const released = release(known, { placement: PLACEMENT, n: 4n, head: hash(4) }, EXECUTOR)
    if (!accepted(released)) throw new Error(released.code)
    expect(offer(released.value, proposal())).toMatchObject({ code: 'election.released' })
    expect(offer({ ...emptyRecord(INSTANCE), term: 3n }, proposal())).toMatchObject({ code: 'election.term_old' })
  })

  test('a lease that was given back stays so, although an entry of its term is held afterwards', () => {
    const known = { ...after(), placement: { placement: body, votes: [], hash: PLACEMENT } }
    const released = release(known, { placement: PLACEMENT, n: 5n, head: hash(5) }, EXECUTOR)
    if (!accepted(released)) throw new Error(released.code)
    const held = holdEntry(released.value, certified(5), context())
    if (!accepted(held)) throw new Error(held.code)
    const { record } = held.value
    const next = proposal({ hash: hash(6), predecessor: certified(5) }, { n: 6n, previous: hash(5) })
    expect(offer(record, next)).toMatchObject({ code: 'election.released' })
    expect(renew(record, { placement: PLACEMENT, expires: 13_400n }, context())).toMatchObject({
      code: 'election.released',
    })
  })
})

describe('holding', () => {
  test('is signed in the own term of the entry, and never below a higher one', () => {
    expect(holdEntry(after(), certified(5), context())).toMatchObject({
      verdict: 'accept',
      value: { sign: { entry: hash(5) } },
    })
    expect(holdEntry({ ...after(), term: 3n }, certified(5), context())).toMatchObject({ code: 'election.term_old' })
  })

  test('the highest certificate is kept by term first', () => {
    const long = learnCertificate(emptyRecord(INSTANCE), certified(9, 1n))
    expect(learnCertificate(long, certified(5, 2n)).certified?.head.term).toBe(2n)
    expect(learnCertificate(learnCertificate(long, certified(5, 2n)), certified(9, 1n)).certified?.head.term).toBe(2n)
  })

  test('what is committed never goes back', () => {
    const committed = learnCommit(emptyRecord(INSTANCE), { term: 2n, n: 5n, hash: hash(5) })
    expect(learnCommit(committed, { term: 3n, n: 4n, hash: hash(4) }).committed.n).toBe(5n)
    expect(learnCommit(committed, GENESIS).committed.n).toBe(5n)
  })
})
