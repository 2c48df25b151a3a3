import fc from 'fast-check'
import { recoverAddress } from 'viem'
import { privateKeyToAccount, sign } from 'viem/accounts'
import { expect, it } from 'vitest'
import { type Hex, toHex } from './bytes.ts'
import { isCanonical, nobleCrypto, nobleSigner } from './crypto.ts'

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const DIGEST = nobleCrypto.keccak(Uint8Array.of(1))
const KEY: Hex = word(7n)

function word(value: bigint): Hex {
  return `0x${value.toString(16).padStart(64, '0')}`
}

it('signs and recovers as viem does, for any key and digest', async () => {
  const key = fc.bigInt({ min: 1n, max: ORDER - 1n }).map(word)
  const digest = fc.uint8Array({ minLength: 32, maxLength: 32 })
  await fc.assert(
    fc.asyncProperty(key, digest, async (privateKey, hash) => {
      const signer = nobleSigner(privateKey)
      const signature = signer.sign(hash)
      expect(signer.address).toBe(privateKeyToAccount(privateKey).address.toLowerCase())
      expect(signature).toBe(await sign({ hash: toHex(hash), privateKey, to: 'hex' }))
      expect(nobleCrypto.recover(hash, signature)).toBe(signer.address)
      expect((await recoverAddress({ hash: toHex(hash), signature })).toLowerCase()).toBe(signer.address)
    }),
    { numRuns: 20 },
  )
})

it('refuses the other signature of the same key and digest: high s', () => {
  const signature = nobleSigner(KEY).sign(DIGEST)
  const s = BigInt(`0x${signature.slice(66, 130)}`)
  const flipped = signature.endsWith('1b') ? '1c' : '1b'
  const malleated: Hex = `0x${signature.slice(2, 66)}${word(ORDER - s).slice(2)}${flipped}`
  expect(isCanonical(signature)).toBe(true)
  expect(isCanonical(malleated)).toBe(false)
  expect(nobleCrypto.recover(DIGEST, malleated)).toBeUndefined()
})

it('refuses every v other than 27 and 28', () => {
  const signature = nobleSigner(KEY).sign(DIGEST)
  for (let v = 0; v < 256; v++) {
    const other: Hex = `0x${signature.slice(2, 130)}${v.toString(16).padStart(2, '0')}`
    expect(isCanonical(other)).toBe(v === 27 || v === 28)
    if (v !== 27 && v !== 28) expect(nobleCrypto.recover(DIGEST, other)).toBeUndefined()
  }
})

it('refuses what is no signature, without throwing', () => {
  const forged = ['0x', `0x${'zz'.repeat(64)}1b`, `0x${'00'.repeat(64)}1b`, `0x${'ff'.repeat(32)}${'01'.repeat(32)}1b`]
  for (const signature of forged) expect(nobleCrypto.recover(DIGEST, signature as Hex)).toBeUndefined()
})
