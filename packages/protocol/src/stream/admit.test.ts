import { expect, test } from 'vitest'
import type { InputData } from '../attestation/schemas.ts'
import { type Bytes32, ZERO_32 } from '../primitives/bytes.ts'
import { accepted } from '../primitives/verdict.ts'
import {
  admit,
  EMPTY_SUBSET,
  emptyStream,
  freeze,
  type StreamEntry,
  type StreamState,
  type SubsetState,
} from './admit.ts'

const uid = (n: number): Bytes32 => `0x${n.toString(16).padStart(64, '0')}`

function entryAt(n: bigint, change: Partial<InputData> & { previous?: Bytes32 } = {}): StreamEntry {
  const { previous = n === 1n ? ZERO_32 : uid(Number(n) - 1), ...data } = change
  const place = { epoch: 1n, sequence: n, subSequence: n, subPrevious: previous, ...data }
  return { data: place as InputData, uid: uid(Number(n)), previous }
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

const offer = (length: number, entry: StreamEntry, stored?: Bytes32) => {
  const { state, subset } = streamOf(length)
  return admit(state, subset, { entry, stored })
}

test('entries are taken one after another, in stream and subset', () => {
  expect(streamOf(3)).toMatchObject({ state: { sequence: 3n, head: uid(3) }, subset: { sequence: 3n, head: uid(3) } })
})

test.each<[string, StreamEntry, Bytes32 | undefined, string]>([
  ['after a gap', entryAt(5n), undefined, 'stream.sequence_gap'],
  ['with another predecessor', entryAt(3n, { previous: uid(9), subPrevious: uid(2) }), undefined, 'stream.predecessor'],
  ['with a gap in its subset', entryAt(3n, { subSequence: 4n }), undefined, 'stream.subset'],
  ['of another epoch', entryAt(3n, { epoch: 2n }), undefined, 'stream.epoch'],
  ['that is known', entryAt(2n), uid(2), 'stream.already_known'],
  ['that rivals a stored one', entryAt(2n), uid(77), 'stream.fork'],
])('an entry %s waits or is refused, and blames no relay', (_, entry, stored, code) => {
  expect(offer(2, entry, stored)).toMatchObject({ verdict: 'ignore', code })
})

test('a frozen stream takes nothing more, and still knows what it has', () => {
  const { state, subset } = streamOf(2)
  expect(admit(freeze(state), subset, { entry: entryAt(3n), stored: undefined })).toMatchObject({
    code: 'stream.frozen',
  })
  expect(admit(freeze(state), subset, { entry: entryAt(2n), stored: uid(2) })).toMatchObject({
    code: 'stream.already_known',
  })
})
