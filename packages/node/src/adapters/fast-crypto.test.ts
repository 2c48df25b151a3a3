import { type Hex, nobleCrypto, nobleSigner, toHex } from '@smartlayer/protocol'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { fastCrypto } from './fast-crypto.ts'

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const fast = await fastCrypto()
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const privateKey = fc.bigInt({ min: 1n, max: ORDER - 1n }).map(word)

function word(value: bigint): Hex {
  return `0x${value.toString(16).padStart(64, '0')}`
}

it('hashes as noble does', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => {
      expect(fast.crypto.keccak(bytes)).toEqual(nobleCrypto.keccak(bytes))
    }),
  )
})

it('gives out hashes that later hashing does not overwrite', () => {
  const first = fast.crypto.keccak(Uint8Array.of(1))
  const copy = first.slice()
  fast.crypto.keccak(Uint8Array.of(2))
  expect(first).toEqual(copy)
})

it('makes the same addresses and signatures as noble, which each recovers from the other', () => {
  fc.assert(
    fc.property(privateKey, bytes32, (key, digest) => {
      const [ours, noble] = [fast.signer(key), nobleSigner(key)]
      const signature = ours.sign(digest)
      expect(ours.address).toBe(noble.address)
      expect(signature).toBe(noble.sign(digest))
      expect(fast.crypto.recover(digest, signature)).toBe(noble.address)
    }),
    { numRuns: 30 },
  )
})

it('refuses what noble refuses: high s, other v, r and s that are no signature', () => {
  const key = word(7n)
  const digest = fast.crypto.keccak(Uint8Array.of(1))
  const signature = fast.signer(key).sign(digest)
  const [r, s, v] = [signature.slice(2, 66), BigInt(`0x${signature.slice(66, 130)}`), signature.slice(130)]
  const highS: Hex = `0x${r}${word(ORDER - s).slice(2)}${v === '1b' ? '1c' : '1b'}`
  const zero: Hex = `0x${'00'.repeat(64)}1b`
  const beyondOrder: Hex = `0x${'ff'.repeat(32)}${word(s).slice(2)}1b`
  const otherV = ['00', '01', '1a', '1d', '25'].map((other): Hex => `0x${r}${word(s).slice(2)}${other}`)
  for (const refused of [highS, zero, beyondOrder, ...otherV, '0x' as Hex]) {
    expect(fast.crypto.recover(digest, refused)).toBeUndefined()
    expect(nobleCrypto.recover(digest, refused)).toBeUndefined()
  }
})

it('agrees with noble on any 65 bytes', () => {
  fc.assert(
    fc.property(bytes32, fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.constantFrom(27, 28), (digest, rs, v) => {
      const low = Uint8Array.of(...rs, v)
      low[32]! &= 0x7f
      expect(fast.crypto.recover(digest, toHex(low))).toBe(nobleCrypto.recover(digest, toHex(low)))
    }),
    { numRuns: 50 },
  )
})

it('refuses a private key outside the order', () => {
  for (const key of [word(0n), word(ORDER), '0x01' as Hex]) expect(() => fast.signer(key)).toThrow('secp256k1 key')
})
