/** What may enter a journal as a fact: from the declared issuer, for this token or its subset, next in its subset. */
import { describe, expect, test } from 'vitest'
import { instanceOf, subsetOf, tokenOf } from '../directory/ids.ts'
import { type Bytes32, ZERO_32 } from '../primitives/bytes.ts'
import { nobleCrypto } from '../primitives/crypto.ts'
import { domainOf } from '../primitives/domain.ts'
import { KEEP_ALL } from '../stream/retention.ts'
import { TEST, type TestEntry, TestStream } from '../stream/testing.ts'
import { type Cursors, checkInput, cursorKey, type InputContext } from './input.ts'

const { keccak } = nobleCrypto
const SUBSET = 'flight/LH454'
const SCRIPT: Bytes32 = `0x${'5c'.repeat(32)}`
const token = (tokenId: bigint) => tokenOf({ chainId: 1n, contract: TEST.contract, tokenId }, keccak)
const OWN = token(7n)

function contextFor(stream: TestStream, change: Partial<InputContext> = {}): InputContext {
  return {
    networkId: TEST.networkId,
    domain: domainOf({ name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: TEST.registry }, keccak),
    easDomain: TEST.easDomain,
    crypto: nobleCrypto,
    rules: {
      token: OWN,
      tokenType: TEST.tokenType,
      scriptHash: SCRIPT,
      inputs: { fact: { issuer: stream.issuer.address, lane: TEST.lane, retention: KEEP_ALL } },
      actions: {},
      effects: {},
    },
    instance: instanceOf(OWN, SCRIPT, keccak),
    cursors: {},
    executor: `0x${'00'.repeat(20)}`,
    anchors: [],
    time: TEST.timeS * 1_000n,
    ...change,
  }
}

const offer = (stream: TestStream, { item }: TestEntry, change: Partial<InputContext> = {}, name = 'fact') =>
  checkInput({ kind: 'input', name, ...item }, contextFor(stream, change))

describe('which token a fact is for', () => {
  test('for the subset that the token follows, and for this very token', () => {
    const stream = new TestStream()
    expect(offer(stream, stream.make(SUBSET, { late: true })).verdict).toBe('accept')
    expect(offer(stream, stream.make(SUBSET, { late: true }, { data: { token: OWN } })).verdict).toBe('accept')
  })

  test('not for another token of the same type', () => {
    const stream = new TestStream()
    const other = stream.make(SUBSET, { late: true }, { data: { token: token(8n) } })
    expect(offer(stream, other)).toMatchObject({
      verdict: 'reject',
      code: 'attestation.token',
      facts: { expected: OWN, actual: token(8n) },
    })
  })
})

describe('where it stands', () => {
  const cursorsAt = (stream: TestStream, entry: TestEntry, sequence: bigint): Cursors => ({
    [cursorKey(stream.stream, subsetOf(SUBSET, keccak))]: { sequence, uid: entry.uid },
  })

  test('next in its subset, and nowhere else', () => {
    const stream = new TestStream()
    const first = stream.add(SUBSET, 1)
    const second = stream.add(SUBSET, 2)
    const third = stream.add(SUBSET, 3)
    const cursors = cursorsAt(stream, first, 1n)
    expect(offer(stream, second, { cursors }).verdict).toBe('accept')
    expect(offer(stream, first, { cursors })).toMatchObject({ code: 'stream.already_known' })
    expect(offer(stream, third, { cursors })).toMatchObject({ code: 'stream.subset', facts: { next: 2n, got: 3n } })
    expect(offer(stream, second, { cursors: cursorsAt(stream, third, 1n) })).toMatchObject({ code: 'stream.subset' })
  })

  test('only as an input that the token declares', () => {
    const stream = new TestStream()
    const entry = stream.make(SUBSET, 1)
    for (const name of ['other', 'constructor', '__proto__']) {
      expect(offer(stream, entry, {}, name)).toMatchObject({ verdict: 'reject', code: 'journal.input' })
    }
  })
})

describe('when it holds', () => {
  test('over, it moves the cursor and no script sees it; not yet valid, it waits', () => {
    const stream = new TestStream()
    const over = stream.make(SUBSET, 1, { about: { expirationTime: TEST.timeS + 10n } })
    expect(offer(stream, over)).toMatchObject({ value: { unseen: undefined } })
    const late = (TEST.timeS + 3_600n) * 1_000n
    expect(offer(stream, over, { time: late })).toMatchObject({ verdict: 'accept', value: { unseen: 'expired' } })
    const early = stream.make(SUBSET, 1, { data: { validFrom: TEST.timeS + 3_600n } })
    expect(offer(stream, early)).toMatchObject({ verdict: 'ignore', code: 'attestation.not_yet_valid' })
  })

  test('a revocation takes back exactly the entry that it names', () => {
    const stream = new TestStream()
    const entry = stream.add(SUBSET, 1)
    const other = stream.add(SUBSET, 2)
    const revoked = (of: TestEntry, issuer = stream) =>
      checkInput(
        {
          kind: 'input',
          name: 'fact',
          ...entry.item,
          revocation: issuer.make(SUBSET, { revokes: of.uid, of: 'attestation', reason: '' }, { kind: 'revocation' })
            .item,
        },
        contextFor(stream),
      )
    expect(revoked(entry)).toMatchObject({ verdict: 'accept', value: { unseen: 'revoked' } })
    expect(revoked(other)).toMatchObject({ verdict: 'reject', code: 'journal.input' })
    expect(revoked(entry, new TestStream(`0x${'08'.repeat(32)}`))).toMatchObject({ verdict: 'reject' })
  })
})

test('nothing is journaled twice under two names: the cursor after it is the same for all replicas', () => {
  const stream = new TestStream()
  const first = stream.make(SUBSET, 1)
  expect(offer(stream, first)).toMatchObject({
    value: {
      uid: first.uid,
      cursor: {
        key: cursorKey(stream.stream, subsetOf(SUBSET, keccak)),
        value: { sequence: 1n, uid: first.uid },
      },
    },
  })
  expect(first.item.attestation.message.refUID).toBe(ZERO_32)
})
