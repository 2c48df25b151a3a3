import { expect, test } from 'vitest'
import type { InputData } from '../attestation/schemas.ts'
import { type Address, type Bytes32, ZERO_32 } from '../primitives/bytes.ts'
import { accepted } from '../primitives/verdict.ts'
import {
  admit,
  type Candidate,
  certify,
  EMPTY_SUBSET,
  emptyStream,
  freeze,
  type StoredPlace,
  type StreamState,
  type SubsetState,
} from './admit.ts'

const uid = (n: number): Bytes32 => `0x${n.toString(16).padStart(64, '0')}`
const ISSUER: Address = `0x${'11'.repeat(20)}`
const NEW_KEY: Address = `0x${'22'.repeat(20)}`

type Change = Omit<Partial<InputData>, 'kind'> &
  Partial<Pick<Candidate, 'kind' | 'attester' | 'proven'>> & { previous?: Bytes32 }

function entryAt(n: bigint, change: Change = {}): Candidate {
  const {
    previous = n === 1n ? ZERO_32 : uid(Number(n) - 1),
    kind = 'fact',
    attester = ISSUER,
    proven,
    ...data
  } = change
  const place = { epoch: 1n, sequence: n, subSequence: n, subPrevious: previous, ...data }
  return {
    data: place as InputData,
    uid: uid(Number(n)),
    previous,
    kind,
    issuer: ISSUER,
    attester,
    epoch: undefined,
    ...(proven ? { proven } : {}),
  }
}

function opening(n: bigint, epoch: bigint, previous = uid(Number(n) - 1)): Candidate {
  const entry = entryAt(n, { previous, kind: 'epoch', subSequence: 1n, subPrevious: ZERO_32 })
  return {
    ...entry,
    uid: uid(1_000 + Number(n)),
    data: { ...entry.data, epoch },
    epoch: { reason: 'rotation', key: NEW_KEY },
  }
}

function streamOf(length: number): { state: StreamState; subset: SubsetState } {
  let at = { state: emptyStream(uid(99)), subset: EMPTY_SUBSET }
  for (let n = 1; n <= length; n++) {
    const decision = admit(at.state, at.subset, { entry: entryAt(BigInt(n)), stored: undefined })
    if (!accepted(decision)) throw new Error(decision.code)
    at = decision.value
  }
  return at
}

const offer = (length: number, entry: Candidate, stored?: StoredPlace) => {
  const { state, subset } = streamOf(length)
  return admit(state, subset, { entry, stored })
}

test('entries are taken one after another, in stream and subset', () => {
  expect(streamOf(3)).toMatchObject({ state: { sequence: 3n, head: uid(3) }, subset: { sequence: 3n, head: uid(3) } })
})

test.each<[string, Candidate, StoredPlace | undefined, string]>([
  ['after a gap', entryAt(5n), undefined, 'stream.sequence_gap'],
  ['with another predecessor', entryAt(3n, { previous: uid(9), subPrevious: uid(2) }), undefined, 'stream.predecessor'],
  ['with a gap in its subset', entryAt(3n, { subSequence: 4n }), undefined, 'stream.subset'],
  ['by another key than that of the epoch', entryAt(3n, { attester: NEW_KEY }), undefined, 'stream.key'],
  ['that is known', entryAt(2n), { uid: uid(2), epoch: 1n }, 'stream.already_known'],
  ['that rivals a stored one', entryAt(2n), { uid: uid(77), epoch: 1n }, 'stream.fork'],
])('an entry %s waits or is refused, and blames no relay', (_, entry, stored, code) => {
  expect(offer(2, entry, stored)).toMatchObject({ verdict: 'ignore', code })
})

test('an entry of another epoch is refused, and only a later epoch may be opened, within reach', () => {
  const later = entryAt(3n)
  expect(offer(2, { ...later, data: { ...later.data, epoch: 2n } })).toMatchObject({ code: 'stream.epoch' })
  const { state } = streamOf(2)
  expect(admit(state, EMPTY_SUBSET, { entry: opening(3n, 3n), stored: undefined })).toMatchObject({ verdict: 'accept' })
  expect(offer(2, opening(3n, 66n))).toMatchObject({ code: 'stream.epoch' })
  expect(offer(2, opening(3n, 1n))).toMatchObject({ code: 'stream.epoch' })
})

test('a new epoch continues the numbers of the stream, and its key alone signs in it', () => {
  const { state } = streamOf(2)
  const opened = admit(state, EMPTY_SUBSET, { entry: opening(3n, 2n), stored: undefined })
  if (!accepted(opened)) throw new Error(opened.code)
  expect(opened.value.state).toMatchObject({ epoch: 2n, sequence: 3n, key: NEW_KEY })
  const next = entryAt(4n, { previous: opened.value.state.head, subSequence: 1n, subPrevious: ZERO_32 })
  const inEpoch = (attester: Address) => {
    const entry = { ...next, attester, data: { ...next.data, epoch: 2n } }
    return admit(opened.value.state, EMPTY_SUBSET, { entry, stored: undefined })
  }
  expect(inEpoch(NEW_KEY)).toMatchObject({ verdict: 'accept' })
  expect(inEpoch(ISSUER)).toMatchObject({ code: 'stream.key' })
})

test('an epoch is never opened over an entry that this anchor holds already', () => {
  expect(offer(3, opening(3n, 2n), { uid: uid(3), epoch: 1n })).toMatchObject({ code: 'stream.sequence_gap' })
})

test('a frozen stream keeps what has a receipt, takes nothing more, and goes on in a new epoch', () => {
  const { state, subset } = streamOf(2)
  const frozen = freeze(certify(state, 1n))
  expect(frozen.frozenAfter).toBe(1n)
  expect(admit(frozen, subset, { entry: entryAt(3n), stored: undefined })).toMatchObject({ code: 'stream.frozen' })
  expect(admit(frozen, subset, { entry: entryAt(2n), stored: { uid: uid(2), epoch: 1n } })).toMatchObject({
    code: 'stream.already_known',
  })
  expect(certify(frozen, 2n).frozenAfter).toBe(2n)
  const opened = admit(frozen, EMPTY_SUBSET, { entry: opening(3n, 2n), stored: undefined })
  expect(accepted(opened) && opened.value.state.frozenAfter).toBe(undefined)
})

test('what 2f + 1 home anchors took before is taken by its chain alone', () => {
  const { state, subset } = streamOf(2)
  const entry = entryAt(3n, { attester: NEW_KEY, proven: true })
  expect(admit(freeze(state), subset, { entry, stored: undefined })).toMatchObject({ verdict: 'accept' })
  const gap = entryAt(4n, { proven: true })
  expect(admit(freeze(state), subset, { entry: gap, stored: undefined })).toMatchObject({ code: 'stream.sequence_gap' })
})
