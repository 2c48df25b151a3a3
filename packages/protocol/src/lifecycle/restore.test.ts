/** What a home anchor makes of an archive: by what it knows itself, where the file comes from, and whose word is with it. */
import { describe, expect, test } from 'vitest'
import { type AnchorRecord, emptyRecord } from '../election/record.ts'
import type { InstanceState } from '../execution/instance.ts'
import type { Head, JournalCheckpoint } from '../journal/messages.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { accepted } from '../primitives/verdict.ts'
import type { ProvenArchive } from './archive.ts'
import { beginIncarnation, enterIncarnation, reportedHead } from './incarnation.ts'
import type { Restore } from './messages.ts'
import { agreeToIncarnation, judgeRestore } from './restore.ts'

const hash = (n: number): Bytes32 => `0x${n.toString(16).padStart(64, '0')}`
const OWNER: Address = `0x${'0a'.repeat(20)}`
const INSTANCE = hash(7)
const HERE = hash(1)
const THERE = hash(2)
const place = (n: number, term = 5): Head => ({ term: BigInt(term), n: BigInt(n), hash: hash(100 + n) })
const CHECKPOINT: JournalCheckpoint = {
  instance: INSTANCE,
  incarnation: 0n,
  term: 5n,
  n: 30n,
  entry: place(30).hash,
  time: 1_000n,
  root: hash(9),
  homeEpoch: 1n,
}
const proven = (change: Partial<ProvenArchive> = {}): ProvenArchive => ({
  networkId: HERE,
  token: hash(3),
  instance: INSTANCE,
  incarnation: 0n,
  base: { checkpoint: CHECKPOINT, state: {} as InstanceState },
  head: place(32),
  places: [place(30), place(31), place(32)],
  isFinal: false,
  ...change,
})
const statement: Restore = { instance: INSTANCE, network: HERE, incarnation: 1n, n: 30n, root: hash(9), time: 0n }
const order = (change: Partial<Restore> = {}, signer: Address | undefined = OWNER) => ({
  statement: { ...statement, ...change },
  signer,
})
const terms = { order: undefined, owner: OWNER, networkId: HERE, homeEpoch: 4n }
const at = (head: Head | undefined, change: Partial<AnchorRecord> = {}): AnchorRecord => ({
  ...emptyRecord(INSTANCE),
  committed: head ?? emptyRecord(INSTANCE).committed,
  ...change,
})
const certifiedIn = (incarnation: bigint) => ({ checkpoint: { ...CHECKPOINT, incarnation }, signatures: [] })

function outcome(...args: Parameters<typeof judgeRestore>): string {
  const verdict = judgeRestore(...args)
  return accepted(verdict) ? verdict.value.step : verdict.code
}

describe('without the word of the owner', () => {
  test.each<[string, AnchorRecord, ProvenArchive, string]>([
    ['an anchor that knows as much', at(place(32)), proven(), 'learn'],
    ['one that knows a place of it', at(place(30)), proven(), 'learn'],
    ['one that knows more', at(place(33)), proven(), 'restore.behind'],
    ['one that knows nothing', at(undefined), proven(), 'restore.incomplete'],
    ['one that lost everything and voted since', at(undefined, { term: 9n }), proven(), 'restore.incomplete'],
    ['one where it was begun anew', at({ ...place(31), hash: hash(999) }), proven(), 'restore.forked'],
    ['one too far back to tell', at(place(3)), proven(), 'restore.forked'],
    ['one that knows nothing, of what ended', at(undefined), proven({ isFinal: true }), 'learn'],
    ['one in a later incarnation', at(place(32), { incarnation: 1n }), proven(), 'restore.incarnation'],
    ['any, from another network', at(undefined), proven({ networkId: THERE, isFinal: true }), 'restore.elsewhere'],
  ])('%s', (_, record, archive, expected) => {
    expect(outcome(record, archive, terms)).toBe(expected)
  })
})

describe('on the word of the owner', () => {
  const there = proven({ networkId: THERE })
  test.each<[string, AnchorRecord, ProvenArchive, ReturnType<typeof order>, string]>([
    ['an anchor that knows nothing', at(undefined), proven(), order(), 'endorse'],
    ['one that knows no more than the checkpoint', at(place(30)), proven(), order(), 'endorse'],
    ['one that knows more than the checkpoint', at(place(31)), proven(), order(), 'restore.behind'],
    ['one that agreed to it before', at(undefined, { incarnation: 1n }), proven(), order(), 'endorse'],
    ['one that agreed to a higher one', at(undefined, { incarnation: 2n }), proven(), order(), 'restore.incarnation'],
    ['one where it lives', at(place(30), { restored: certifiedIn(1n) }), proven(), order(), 'restore.incarnation'],
    ['an incarnation that is none', at(undefined), proven(), order({ incarnation: 0n }), 'restore.incarnation'],
    ['from another network', at(undefined), there, order({ network: THERE }), 'endorse'],
    ['from another network over a living one', at(place(1)), there, order({ network: THERE }), 'restore.occupied'],
    ['for another network', at(undefined), there, order(), 'restore.statement'],
    ['for another state', at(undefined), proven(), order({ root: hash(8) }), 'restore.statement'],
    ['for another place', at(undefined), proven(), order({ n: 31n }), 'restore.statement'],
    ['for another instance', at(undefined), proven(), order({ instance: hash(8) }), 'restore.statement'],
    ['without a checkpoint', at(undefined), proven({ base: undefined }), order(), 'restore.no_checkpoint'],
    ['by a stranger', at(undefined), proven(), order({}, `0x${'0b'.repeat(20)}`), 'attestation.signer'],
  ])('%s', (_, record, archive, said, expected) => {
    expect(outcome(record, archive, { ...terms, order: said })).toBe(expected)
  })

  test('nobody is no owner, also of a script whose owner is not known', () => {
    const nobody = { statement, signer: undefined }
    expect(outcome(at(undefined), proven(), { ...terms, order: nobody, owner: undefined })).toBe('attestation.signer')
  })

  test('a place of another network is below all terms of this one', () => {
    const said = order({ network: THERE })
    const verdict = judgeRestore(at(undefined), there, { ...terms, order: said })
    const expected = { step: 'endorse', checkpoint: { ...CHECKPOINT, incarnation: 1n, term: 0n, homeEpoch: 4n } }
    expect(accepted(verdict) && verdict.value).toEqual(expected)
  })
})

describe('an anchor that begins an incarnation', () => {
  test('forgets the journal before it, but no lease and no term', () => {
    const lease = { placement: hash(4), term: 6n, expires: 9n, released: false }
    const agreed = agreeToIncarnation(at(place(31), { term: 6n, leases: [lease] }), { ...CHECKPOINT, incarnation: 1n })
    const begun = beginIncarnation(agreed, certifiedIn(1n))
    expect(begun).toMatchObject({ incarnation: 1n, term: 6n, leases: [lease], committed: place(30) })
    expect(begun).toMatchObject({ certified: undefined, placement: undefined, held: undefined })
    expect(reportedHead(begun)).toEqual(place(30))
  })

  test('enters the term of the checkpoint, so that nobody leads below it again', () => {
    const before = at(undefined, { term: 2n, voted: hash(8) })
    expect(beginIncarnation(before, certifiedIn(1n))).toMatchObject({ term: 5n, voted: undefined })
  })
})

test('a restored state keeps its root until the first entry; streams of another network begin anew', () => {
  const state = { incarnation: '0', cursors: { a: { sequence: '4', uid: hash(1) } } } as unknown as InstanceState
  expect(enterIncarnation(state, { incarnation: 0n }, place(30))).toBe(state)
  expect(enterIncarnation(state, { incarnation: 1n }, place(30))).toEqual({ ...state, incarnation: '1' })
  expect(enterIncarnation(state, { incarnation: 1n }, place(30, 0))).toEqual({ incarnation: '1', cursors: {} })
})
