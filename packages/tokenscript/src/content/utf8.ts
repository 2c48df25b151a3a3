/** UTF-8 decoding without the platform: strict, so that bytes and text stand for one another. */

/**
 * Text of UTF-8 bytes, or undefined when they are not well-formed (overlong forms, surrogates and values above
 * U+10FFFF included). A byte order mark is kept as U+FEFF.
 */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  const parts: string[] = []
  let units: number[] = []
  for (let i = 0; i < bytes.length; ) {
    const first = bytes[i]!
    const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
    if (length === 0 || i + length > bytes.length) return undefined
    let code = length === 1 ? first : first & (0x7f >> length)
    for (let k = 1; k < length; k++) {
      const byte = bytes[i + k]!
      if ((byte & 0xc0) !== 0x80) return undefined
      code = (code << 6) | (byte & 63)
    }
    if ((length === 3 && code < 0x800) || (length === 4 && code < 0x10000)) return undefined
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return undefined
    if (code < 0x10000) units.push(code)
    else units.push(0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff))
    i += length
    if (units.length >= 8192) {
      parts.push(String.fromCharCode(...units))
      units = []
    }
  }
  return parts.join('') + String.fromCharCode(...units)
}
