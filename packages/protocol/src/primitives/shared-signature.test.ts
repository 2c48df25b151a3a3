import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Hex, uintWord } from './bytes.ts'
import { nobleCrypto, nobleSigner } from './crypto.ts'
import { isSharedLength, recoverShared, SHARED_LIMIT, signShared } from './shared-signature.ts'

const { keccak } = nobleCrypto
const signer = nobleSigner(`0x${'0a'.repeat(32)}`)
const digests = (count: number) => Array.from({ length: count }, (_, i) => keccak(uintWord(BigInt(i))))

describe('shared signatures', () => {
  test('one digest is simply signed', () => {
    const [digest] = digests(1)
    expect(signShared([digest!], signer, keccak)).toEqual([signer.sign(digest!)])
  })

  test.each([1, 2, 3, 7, 64, SHARED_LIMIT])(
    'each of %i digests proves its signer, and no other digest does',
    (count) => {
      const all = digests(count)
      const signatures = signShared(all, signer, keccak)
      for (const [i, signature] of signatures.entries()) {
        expect(isSharedLength((signature.length - 2) / 2)).toBe(true)
        expect(recoverShared(all[i]!, signature, nobleCrypto)).toBe(signer.address)
      }
      const stranger = keccak(uintWord(999n))
      expect(recoverShared(stranger, signatures[0]!, nobleCrypto)).not.toBe(signer.address)
    },
  )

  test('a signature of another place of the tree does not count', () => {
    const all = digests(5)
    const signatures = signShared(all, signer, keccak)
    expect(recoverShared(all[0]!, signatures[1]!, nobleCrypto)).not.toBe(signer.address)
  })

  test('changed anywhere, it proves nothing', () => {
    const all = digests(6)
    const signatures = signShared(all, signer, keccak)
    const place = fc.record({ of: fc.nat(5), at: fc.nat(2_000), by: fc.integer({ min: 1, max: 15 }) })
    fc.assert(
      fc.property(place, ({ of, at, by }) => {
        const text = signatures[of]!
        const i = 2 + (at % (text.length - 2))
        const digit = (Number.parseInt(text[i]!, 16) ^ by).toString(16)
        const changed = `${text.slice(0, i)}${digit}${text.slice(i + 1)}` as Hex
        expect(recoverShared(all[of]!, changed, nobleCrypto)).not.toBe(signer.address)
      }),
      { numRuns: 40 },
    )
  })

  test('ways that are too long, or torn, have no right length', () => {
    expect([64, 66, 65 + 31, 65 + 32 * 9].map(isSharedLength)).toEqual([false, false, false, false])
  })
})
