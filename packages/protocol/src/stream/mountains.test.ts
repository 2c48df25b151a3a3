import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Bytes32 } from '../primitives/bytes.ts'
import { keccakText, nobleCrypto } from '../primitives/crypto.ts'
import { append, leafOf, type Mountains, NO_MOUNTAINS, nodeOf, prove, proves, rootOf } from './mountains.ts'

const { keccak } = nobleCrypto
const UIDS = Array.from({ length: 70 }, (_, i) => keccakText(keccak, `uid ${i}`))

function rangeOf(size: number): Mountains {
  return UIDS.slice(0, size).reduce((range, uid) => append(range, uid, keccak), NO_MOUNTAINS)
}

function subtree(first: bigint, height: number): Bytes32 {
  if (height === 0) return leafOf(UIDS[Number(first) - 1]!, keccak)
  const half = 1n << BigInt(height - 1)
  return nodeOf(subtree(first, height - 1), subtree(first + half, height - 1), keccak)
}

test('there is a peak for every set bit of the size, and every prefix has a root of its own', () => {
  expect(rangeOf(1).peaks).toHaveLength(1)
  expect(rangeOf(7).peaks).toHaveLength(3)
  expect(rangeOf(64).peaks).toHaveLength(1)
  const roots = Array.from({ length: 70 }, (_, size) => rootOf(rangeOf(size), keccak))
  expect(new Set(roots).size).toBe(70)
})

test('every entry of every prefix is proven at its place, and nowhere else', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 70 }), fc.nat(), fc.nat(), (size, at, elsewhere) => {
      const sequence = BigInt(1 + (at % size))
      const other = BigInt(1 + (elsewhere % size))
      const uid = UIDS[Number(sequence) - 1]!
      const root = rootOf(rangeOf(size), keccak)
      const proof = prove({ size: BigInt(size), sequence }, subtree)
      const claim = { uid, sequence, size: BigInt(size), root }
      expect(proves(proof, claim, keccak)).toBe(true)
      if (other !== sequence) expect(proves(proof, { ...claim, sequence: other }, keccak)).toBe(false)
      expect(proves(proof, { ...claim, uid: keccakText(keccak, 'other') }, keccak)).toBe(false)
      expect(proves(proof, { ...claim, size: BigInt(size) + 1n }, keccak)).toBe(false)
    }),
    { numRuns: 300 },
  )
})

test('a place outside the range has no proof, and hostile proofs only fail', () => {
  expect(() => prove({ size: 3n, sequence: 4n }, subtree)).toThrow(RangeError)
  const claim = { uid: UIDS[0]!, sequence: 1n, size: 3n, root: rootOf(rangeOf(3), keccak) }
  expect(proves({ siblings: [], peaks: [] }, claim, keccak)).toBe(false)
  expect(proves({ siblings: Array(48).fill(UIDS[1]), peaks: rangeOf(3).peaks }, claim, keccak)).toBe(false)
  expect(proves({ siblings: [], peaks: [] }, { ...claim, size: 0n }, keccak)).toBe(false)
})
