import { expect, test } from 'vitest'
import { nobleSigner } from '../primitives/crypto.ts'
import { openEntry, readEntry } from './entry.ts'
import { checkFork } from './fork.ts'
import { EPOCH_SUBSET } from './messages.ts'
import { TestStream } from './testing.ts'

const codeOf = (verdict: { verdict: string; code?: string }) => verdict.code ?? verdict.verdict

test('a fact of the issuer is believed, and one by a stranger is not', () => {
  const stream = new TestStream()
  const { item } = stream.add('flight/LH1', { delay: 3 })
  expect(codeOf(openEntry(item, stream.context))).toBe('accept')
  const stranger = nobleSigner(`0x${'09'.repeat(32)}`)
  const forged = stream.make('flight/LH1', { delay: 4 }, { kind: 'fact', signer: stranger })
  expect(codeOf(openEntry(forged.item, stream.context))).toBe('attestation.signer')
})

test('a body that was changed, or a kind that no issuer may publish, is refused', () => {
  const stream = new TestStream()
  const { item } = stream.add('flight/LH1', { delay: 3 })
  expect(codeOf(openEntry({ ...item, body: '{"delay":4}' }, stream.context))).toBe('attestation.content')
  const outcome = stream.make('flight/LH1', {}, { kind: 'outcome', signer: stream.issuer })
  expect(codeOf(openEntry(outcome.item, stream.context))).toBe('stream.kind')
})

test('a revocation says what it takes back, and nothing else', () => {
  const stream = new TestStream()
  const { uid } = stream.add('flight/LH1', { delay: 3 })
  const good = stream.add(
    'flight/LH1',
    { revokes: uid, of: 'attestation', reason: 'wrong flight' },
    { kind: 'revocation' },
  )
  expect(openEntry(good.item, stream.context)).toMatchObject({ value: { revocation: { revokes: uid } } })
  for (const body of [
    { revokes: uid },
    { revokes: uid, of: 'all', reason: '' },
    { revokes: '0x1', of: 'batch', reason: '' },
  ]) {
    const bad = stream.make('flight/LH1', body, { kind: 'revocation', signer: stream.issuer })
    expect(codeOf(openEntry(bad.item, stream.context))).toBe('stream.body')
  }
})

test('a key that an epoch names signs in this epoch alone, with the issuer’s delegation', () => {
  const stream = new TestStream()
  stream.add('flight/LH1', { delay: 1 })
  const key = nobleSigner(`0x${'0a'.repeat(32)}`)
  stream.epoch = 2n
  const opening = stream.add(EPOCH_SUBSET, { reason: 'rotation', key: key.address }, { kind: 'epoch' })
  expect(openEntry(opening.item, stream.context)).toMatchObject({ value: { epoch: { key: key.address } } })
  stream.key = key
  stream.delegation = opening.item
  const { item } = stream.add('flight/LH1', { delay: 2 })
  expect(codeOf(openEntry(item, stream.context))).toBe('accept')
  const { delegation, ...bare } = item
  expect(delegation).toBeDefined()
  expect(codeOf(openEntry(bare, stream.context))).toBe('attestation.signer')
  stream.epoch = 3n
  const later = stream.make('flight/LH1', { delay: 3 }, { kind: 'fact', signer: key })
  expect(codeOf(openEntry(later.item, stream.context))).toBe('attestation.signer')
})

test('a key cannot delegate to another key, and an epoch outside its subset is none', () => {
  const stream = new TestStream()
  const key = nobleSigner(`0x${'0a'.repeat(32)}`)
  stream.epoch = 2n
  const opening = stream.add(EPOCH_SUBSET, { reason: 'rotation', key: key.address }, { kind: 'epoch' })
  stream.delegation = opening.item
  stream.epoch = 3n
  const own = stream.make(EPOCH_SUBSET, { reason: 'rotation', key: key.address }, { kind: 'epoch', signer: key })
  expect(codeOf(openEntry(own.item, stream.context))).toBe('attestation.signer')
  const elsewhere = stream.make(
    'flight/LH1',
    { reason: 'rotation', key: key.address },
    { kind: 'epoch', signer: stream.issuer },
  )
  expect(codeOf(openEntry(elsewhere.item, stream.context))).toBe('stream.identity')
})

test('an entry that is vouched for is read without its signature, but its body still counts', () => {
  const stream = new TestStream()
  const { item, uid } = stream.add('flight/LH1', { delay: 3 })
  const unsigned = { ...item, attestation: { ...item.attestation, signature: `0x${'00'.repeat(65)}` as const } }
  expect(codeOf(openEntry(unsigned as never, stream.context))).toBe('attestation.signature')
  expect(readEntry(unsigned as never, stream.context)).toMatchObject({ value: { uid } })
  expect(codeOf(readEntry({ ...item, body: '{}' }, stream.context))).toBe('attestation.content')
})

test('two entries for one place prove a fork; the same one twice, or two places, prove nothing', () => {
  const stream = new TestStream()
  const first = stream.make('flight/LH1', { delay: 1 }, { kind: 'fact', signer: stream.issuer })
  const second = stream.make('flight/LH1', { delay: 2 }, { kind: 'fact', signer: stream.issuer })
  expect(codeOf(checkFork({ first: first.item, second: second.item }, stream.context))).toBe('accept')
  expect(codeOf(checkFork({ first: first.item, second: first.item }, stream.context))).toBe('stream.identity')
  stream.add('flight/LH1', { delay: 1 })
  const next = stream.add('flight/LH1', { delay: 2 })
  expect(codeOf(checkFork({ first: first.item, second: next.item }, stream.context))).toBe('stream.identity')
})
