import { expect, it } from 'vitest'
import { halfSipHash, littleEndianWords } from './half-sip-hash.ts'

it("is the authors' HalfSipHash-2-4 with 32 bits: their vector for the 32 bytes 0, 1, 2, … under the key 0, 1, …, 7", () => {
  const message = littleEndianWords(Uint8Array.from({ length: 32 }, (_, i) => i))
  expect(halfSipHash(message[0]!, message[1]!, message, 0)).toBe(0x1221e7fe)
})

it('reads the message from where it is told to', () => {
  const words = Int32Array.from({ length: 24 }, (_, i) => i * 0x01234567)
  const middle = words.slice(8, 16)
  expect(halfSipHash(1, 2, words, 8)).toBe(halfSipHash(1, 2, middle, 0))
})
