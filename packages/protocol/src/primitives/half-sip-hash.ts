/** HalfSipHash-2-4: a keyed 32-bit hash of 32 bytes in 32-bit steps, fast in JavaScript and cheap on chain. */

/** Words of one message. */
export const MESSAGE_WORDS = 8
/** Message length in the top byte, as the last block has it. */
const LAST_BLOCK = (4 * MESSAGE_WORDS) << 24

/** The eight 32-bit words of 32 bytes, little-endian as SipHash reads them. */
export function littleEndianWords(bytes: Uint8Array): Int32Array {
  const words = new Int32Array(MESSAGE_WORDS)
  for (let i = 0; i < 4 * MESSAGE_WORDS; i++) words[i >> 2]! |= bytes[i]! << (8 * (i & 3))
  return words
}

/** Hashes the eight words of `words` from `at` on under the 64-bit key `k0 ‖ k1`; the result is below 2^32. */
export function halfSipHash(k0: number, k1: number, words: Int32Array, at: number): number {
  let v0 = k0
  let v1 = k1
  let v2 = 0x6c796765 ^ k0
  let v3 = 0x74656462 ^ k1
  for (let block = 0; block <= MESSAGE_WORDS + 1; block++) {
    // Two rounds for each word and for the length, four to finish: there is no word then, but 0xff is mixed in.
    const word = block < MESSAGE_WORDS ? words[at + block]! : block === MESSAGE_WORDS ? LAST_BLOCK : 0
    v3 ^= word
    for (let rounds = block > MESSAGE_WORDS ? 4 : 2; rounds > 0; rounds--) {
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
    }
    v0 ^= word
    if (block === MESSAGE_WORDS) v2 ^= 0xff
  }
  return (v1 ^ v3) >>> 0
}
