/** Base64 as RFC 4648 writes it, strictly: one text for each sequence of bytes. */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const VALUES = new Map([...ALPHABET].map((character, value) => [character.charCodeAt(0), value]))

export function toBase64(bytes: Uint8Array): string {
  const parts: string[] = []
  for (let i = 0; i < bytes.length; i += 3) {
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    parts.push(
      ALPHABET[group >> 18]! + ALPHABET[(group >> 12) & 63] + ALPHABET[(group >> 6) & 63] + ALPHABET[group & 63],
    )
  }
  const padding = (3 - (bytes.length % 3)) % 3
  const text = parts.join('')
  return padding === 0 ? text : text.slice(0, -padding) + '='.repeat(padding)
}

/** Bytes of base64 text, in which XML white space is skipped; undefined for anything that `toBase64` would not write. */
export function fromBase64(text: string): Uint8Array | undefined {
  const packed = text.replace(/[ \t\r\n]+/g, '')
  const digits = packed.replace(/={1,2}$/, '')
  if (packed.length % 4 !== 0 || (digits.length !== packed.length && digits.length % 4 === 0)) return undefined
  const bytes = new Uint8Array((digits.length * 6) >> 3)
  let buffer = 0
  let bits = 0
  let at = 0
  for (let i = 0; i < digits.length; i++) {
    const value = VALUES.get(digits.charCodeAt(i))
    if (value === undefined) return undefined
    buffer = ((buffer << 6) | value) & 0xffff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      bytes[at++] = (buffer >> bits) & 0xff
    }
  }
  return (buffer & ((1 << bits) - 1)) === 0 ? bytes : undefined
}
