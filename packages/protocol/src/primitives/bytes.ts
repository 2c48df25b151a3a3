/** Hex and bytes: the two shapes in which every id, hash and key travels. */

/** Lowercase 0x-prefixed hex of whole bytes. */
export type Hex = `0x${string}`
/** 32 bytes as lowercase hex (66 characters). */
export type Bytes32 = Hex
/** A 20-byte EVM address as lowercase hex (42 characters). */
export type Address = Hex

export const ZERO_32: Bytes32 = `0x${'00'.repeat(32)}`
export const ZERO_ADDRESS: Address = `0x${'00'.repeat(20)}`

const DIGITS = '0123456789abcdef'
const CODES = Array.from(DIGITS, (digit) => digit.charCodeAt(0))
/** Bytes of which hex is made at a time: arguments of one call are limited. */
const HEX_PIECE = 4_096
/** First byte of a UTF-8 sequence by the number of bytes that follow. */
const LEADING = [0, 0xc0, 0xe0, 0xf0]
const NIBBLES = Uint8Array.from({ length: 128 }, (_, code) => Math.max(0, DIGITS.indexOf(String.fromCharCode(code))))

/** Lowercase hex with 0x. A text that was joined digit by digit would take 30 times its length in memory, so it is made at once. */
export function toHex(bytes: Uint8Array): Hex {
  if (bytes.length <= HEX_PIECE) return `0x${digitsOf(bytes)}`
  const pieces: string[] = []
  for (let at = 0; at < bytes.length; at += HEX_PIECE) pieces.push(digitsOf(bytes.subarray(at, at + HEX_PIECE)))
  return `0x${pieces.join('')}`
}

function digitsOf(bytes: Uint8Array): string {
  const codes = new Array<number>(2 * bytes.length)
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    codes[2 * i] = CODES[byte >> 4]!
    codes[2 * i + 1] = CODES[byte & 15]!
  }
  return String.fromCharCode.apply(null, codes)
}

/** Bytes of a hex string; the caller has checked that it is hex (see `isHex`). */
export function fromHex(hex: Hex): Uint8Array {
  const bytes = new Uint8Array((hex.length - 2) >> 1)
  writeHex(bytes, 0, hex)
  return bytes
}

/** Writes the bytes of a checked hex string into `target` from `at` on. */
export function writeHex(target: Uint8Array, at: number, hex: Hex): void {
  const end = at + ((hex.length - 2) >> 1)
  for (let i = at, from = 2; i < end; i++, from += 2) {
    target[i] = (NIBBLES[hex.charCodeAt(from)]! << 4) | NIBBLES[hex.charCodeAt(from + 1)]!
  }
}

/** True for lowercase hex of whole bytes, of exactly `size` bytes when given. */
export function isHex(value: unknown, size?: number): value is Hex {
  return (
    typeof value === 'string' &&
    (size === undefined ? value.length % 2 === 0 : value.length === 2 + size * 2) &&
    /^0x[0-9a-f]*$/.test(value)
  )
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** A non-negative integer as a 32-byte big-endian word. */
export function uintWord(value: bigint): Uint8Array {
  const word = new Uint8Array(32)
  let rest = value
  for (let at = 31; rest > 0n; at--) {
    word[at] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return word
}

/** UTF-8 bytes of a string; lone surrogates become U+FFFD as in TextEncoder. */
export function utf8(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x80) return utf8Beyond(text)
    bytes[i] = code
  }
  return bytes
}

/** Byte-wise comparison, for sorting: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const difference = a[i]! - b[i]!
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Text with at least one character beyond ASCII. */
function utf8Beyond(text: string): Uint8Array {
  const bytes = new Uint8Array(3 * text.length)
  let at = 0
  for (const character of text.toWellFormed()) {
    const code = character.codePointAt(0)!
    if (code < 0x80) bytes[at++] = code
    else {
      const extra = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3
      bytes[at++] = LEADING[extra]! | (code >> (6 * extra))
      for (let shift = 6 * (extra - 1); shift >= 0; shift -= 6) bytes[at++] = 0x80 | ((code >> shift) & 63)
    }
  }
  return bytes.slice(0, at)
}
