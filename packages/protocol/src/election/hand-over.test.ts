import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Bytes32 } from '../primitives/bytes.ts'
import { accepted } from '../primitives/verdict.ts'
import {
  type HomeStanding,
  mayHandOver,
  NO_STANDING,
  open,
  plausible,
  type SealedLease,
  type SealedRecord,
  seal,
  sealedRecord,
  signingEpoch,
  takeOver,
} from './hand-over.ts'
import { emptyRecord, leasedUntil, type VotedLease } from './record.ts'

const hash = (n: number): Bytes32 => `0x${n.toString(16).padStart(64, '0')}`
const INSTANCE = hash(7)
const clock = { now: 10_000n, leaseMs: 3_000n, epsilonMs: 200n, settled: true }
const lease = (n: number, expires: bigint, released = false): VotedLease => ({
  placement: hash(n),
  term: BigInt(n),
  expires,
  released,
})
const sealedLease = (n: number, expires: bigint): SealedLease => ({ placement: hash(n), term: BigInt(n), expires })
const answer = (leases: readonly SealedLease[]): SealedRecord => ({
  instance: INSTANCE,
  placement: undefined,
  leases,
  certified: undefined,
  restored: undefined,
})

function sealed(standing: HomeStanding, epoch: bigint): HomeStanding {
  const decision = seal(standing, epoch)
  if (!accepted(decision)) throw new Error(decision.code)
  return decision.value
}

describe('standings', () => {
  test('an anchor signs in the epoch it took over, and in none once it sealed', () => {
    const first: HomeStanding = { sealed: 1n, opened: 1n }
    expect(signingEpoch(first)).toBe(1n)
    const left = sealed(first, 2n)
    expect(signingEpoch(left)).toBeUndefined()
    expect(signingEpoch(open(left, 2n))).toBe(2n)
  })

  test('a seal is never taken back', () => {
    expect(seal({ sealed: 3n, opened: 1n }, 3n)).toMatchObject({ code: 'home.sealed' })
    expect(seal({ sealed: 3n, opened: 1n }, 2n)).toMatchObject({ code: 'home.sealed' })
    expect(open({ sealed: 3n, opened: 1n }, 2n)).toEqual({ sealed: 3n, opened: 2n })
  })

  test('who opens an epoch that is over by then signs nothing', () => {
    expect(signingEpoch(open({ sealed: 3n, opened: 1n }, 2n))).toBeUndefined()
  })

  test('only who took over the old set, or a later one, and sealed, can hand over', () => {
    expect(mayHandOver(NO_STANDING, 1n, 2n)).toBe(false)
    expect(mayHandOver({ sealed: 1n, opened: 1n }, 1n, 2n)).toBe(false) // it may still sign in epoch 1
    expect(mayHandOver({ sealed: 2n, opened: 0n }, 1n, 2n)).toBe(false) // it never knew what epoch 1 had promised
    expect(mayHandOver({ sealed: 2n, opened: 1n }, 1n, 2n)).toBe(true)
    expect(mayHandOver({ sealed: 3n, opened: 2n }, 1n, 2n)).toBe(true)
  })

  test('whatever happens in whatever order, nothing is signed below a seal', () => {
    const step = fc.record({ what: fc.constantFrom('seal', 'open'), epoch: fc.bigInt(1n, 6n) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        let standing: HomeStanding = { sealed: 1n, opened: 1n }
        let highest = 1n
        for (const { what, epoch } of steps) {
          const next = seal(standing, epoch)
          if (what === 'open') standing = open(standing, epoch)
          else if (accepted(next)) standing = next.value
          if (epoch > highest) highest = epoch
          const signs = signingEpoch(standing)
          expect(standing.sealed).toBe(highest)
          expect(signs === undefined || signs === highest).toBe(true)
        }
      }),
    )
  })
})

describe('records', () => {
  test('what is over or given back is not handed over', () => {
    const record = { ...emptyRecord(INSTANCE), leases: [lease(1, 9_000n), lease(2, 9_900n), lease(3, 12_000n, true)] }
    expect(sealedRecord(record, clock).leases).toEqual([sealedLease(2, 9_900n)])
  })

  test('an anchor that has not settled hands over every lease: its clock may be ahead', () => {
    const record = { ...emptyRecord(INSTANCE), leases: [lease(1, 9_000n)] }
    expect(sealedRecord(record, { ...clock, settled: false }).leases).toEqual([sealedLease(1, 9_000n)])
  })

  test('a lease that no honest anchor can have voted for makes an answer worthless', () => {
    expect(plausible(answer([lease(1, 13_800n)]), clock)).toMatchObject({ verdict: 'accept' })
    expect(plausible(answer([lease(1, 13_801n)]), clock)).toMatchObject({ code: 'election.lease_length' })
  })

  test('the new anchor is bound by every lease that any of the answers names, and by its own', () => {
    const own = { ...emptyRecord(INSTANCE), leases: [lease(1, 11_000n)] }
    const taken = takeOver(own, [answer([lease(1, 12_000n)]), answer([lease(2, 12_500n)]), answer([])])
    expect(taken.leases).toEqual([lease(1, 12_000n), lease(2, 12_500n)])
    expect(leasedUntil(taken)).toBe(12_500n)
  })

  test('what it knows to be given back does not bind it again', () => {
    const own = { ...emptyRecord(INSTANCE), leases: [lease(1, 11_000n, true)] }
    expect(leasedUntil(takeOver(own, [answer([lease(1, 12_000n)])]))).toBe(0n)
  })

  test('nobody is believed that a lease was given back: an answer can only bind', () => {
    const lie = answer([lease(1, 12_500n, true)])
    const truth = answer([sealedLease(1, 12_000n)])
    for (const answers of [
      [lie, truth, answer([])],
      [truth, answer([]), lie],
    ]) {
      expect(leasedUntil(takeOver(emptyRecord(INSTANCE), answers))).toBe(12_500n)
    }
  })

  test('answers about other instances change nothing', () => {
    const other = { ...answer([lease(1, 12_000n)]), instance: hash(8) }
    expect(takeOver(emptyRecord(INSTANCE), [other])).toEqual(emptyRecord(INSTANCE))
  })

  test('the order of the answers does not matter', () => {
    const leases = fc.array(fc.record({ n: fc.integer({ min: 1, max: 4 }), until: fc.bigInt(10_000n, 13_000n) }), {
      maxLength: 4,
    })
    fc.assert(
      fc.property(fc.array(leases, { minLength: 1, maxLength: 4 }), (answers) => {
        const said = answers.map((each) => answer(each.map(({ n, until }) => lease(n, until))))
        const until = (order: readonly SealedRecord[]) => leasedUntil(takeOver(emptyRecord(INSTANCE), order))
        expect(until(said)).toBe(until(said.toReversed()))
      }),
    )
  })
})

describe('a set that takes over a restored instance', () => {
  const begun = (incarnation: bigint) => ({
    checkpoint: {
      instance: INSTANCE,
      incarnation,
      term: 2n,
      n: 30n,
      entry: hash(30),
      time: 1n,
      root: hash(9),
      homeEpoch: 1n,
    },
    signatures: [],
  })
  const certified = (n: number, term: bigint, incarnation: bigint) =>
    ({ head: { term, n: BigInt(n), hash: hash(n) }, certificate: { entry: { incarnation } } }) as never

  test('goes on from its checkpoint, whatever an anchor that missed it says of the incarnation before', () => {
    const restored = { ...answer([]), restored: begun(1n) }
    const missed = { ...answer([]), certified: certified(60, 9n, 0n) }
    for (const answers of [
      [restored, missed],
      [missed, restored],
    ]) {
      const record = takeOver(emptyRecord(INSTANCE), answers)
      expect(record).toMatchObject({ incarnation: 1n, certified: undefined, committed: { n: 30n } })
    }
  })

  test('keeps what was certified since', () => {
    const since = { ...answer([]), restored: begun(1n), certified: certified(31, 3n, 1n) }
    expect(takeOver(emptyRecord(INSTANCE), [answer([]), since]).certified?.head.n).toBe(31n)
  })
})
