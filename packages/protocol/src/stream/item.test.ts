import fc from 'fast-check'
import { expect, test } from 'vitest'
import { attestBatch } from '../attestation/batch.ts'
import { SLInput } from '../attestation/schemas.ts'
import { isSmartLayerError } from '../errors/smart-layer-error.ts'
import { nobleCrypto, nobleSigner } from '../primitives/crypto.ts'
import { decodeItem, encodeItem, type StreamItem, streamItemShape } from './item.ts'
import { EPOCH_SUBSET } from './messages.ts'
import { TestStream } from './testing.ts'

function examples(): readonly StreamItem[] {
  const stream = new TestStream()
  const plain = stream.add('flight/LH1', { text: 'äöü €  𝄞', n: 1 })
  const key = nobleSigner(`0x${'0a'.repeat(32)}`)
  stream.epoch = 2n
  const opening = stream.add(EPOCH_SUBSET, { reason: 'rotation', key: key.address }, { kind: 'epoch' })
  stream.key = key
  stream.delegation = opening.item
  const delegated = stream.add('flight/LH1', {})
  const { message } = plain.item.attestation
  const data = SLInput.decode(new Uint8Array(32 * 12))
  const items = [0, 1, 2].map(() => ({ ...message, schema: SLInput, data }))
  const { keccak } = nobleCrypto
  const about = {
    signer: key,
    domain: stream.context.easDomain,
    keccak,
    time: 1n,
    firstSequence: 1n,
    salt: message.salt,
  }
  const batched = attestBatch(items, about).map((attestation) => ({ attestation, body: '{}' }))
  return [plain.item, opening.item, delegated.item, ...batched]
}

test('the binary form gives back every entry: plain, delegated, in a batch, with any text', () => {
  for (const item of examples()) expect(decodeItem(encodeItem(item))).toEqual(item)
})

test('the binary form is about half as large as JSON', () => {
  const [item] = examples()
  expect(encodeItem(item!).length).toBeLessThan(JSON.stringify(streamItemShape.toJson(item!)).length * 0.6)
})

test('10 000 changed byte strings are refused with a typed error or are another whole entry', () => {
  const forms = examples().map(encodeItem)
  const change = fc.record({
    form: fc.nat(forms.length - 1),
    at: fc.nat(),
    byte: fc.nat(255),
    cut: fc.option(fc.nat(), { freq: 3 }),
  })
  fc.assert(
    fc.property(change, ({ form, at, byte, cut }) => {
      const bytes = forms[form]!.slice()
      bytes[at % bytes.length] = byte
      const sent = cut === null ? bytes : bytes.subarray(0, cut % bytes.length)
      try {
        expect(encodeItem(decodeItem(sent))).toEqual(sent)
      } catch (error) {
        if (!isSmartLayerError(error)) throw error
      }
    }),
    { numRuns: 10_000 },
  )
})
