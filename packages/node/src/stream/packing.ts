/** Many entries as one text: their binary forms one after another with a length before each, in base64. */
import {
  type Decoders,
  decodeItem,
  encodeItem,
  ITEM_LIMIT,
  SmartLayerError,
  STREAM_RANGE_LIMIT,
  type StreamItem,
} from '@smartlayer/protocol'

const HEADER = 4

export function pack(entries: readonly Uint8Array[]): string {
  const parts = entries.flatMap((bytes) => {
    const header = Buffer.allocUnsafe(HEADER)
    header.writeUInt32BE(bytes.length)
    return [header, bytes]
  })
  return Buffer.concat(parts).toString('base64')
}

export function packItems(items: readonly StreamItem[]): string {
  return pack(items.map(encodedOf))
}

/** The binary form of an entry, made once however often it is stored and sent. */
export function encodedOf(item: StreamItem): Uint8Array {
  const known = encoded.get(item)
  if (known) return known
  const bytes = encodeItem(item)
  encoded.set(item, bytes)
  return bytes
}

const encoded = new WeakMap<StreamItem, Uint8Array>()

/** The entry of a binary form. Throws as `decodeItem`. */
export function decodedOf(bytes: Uint8Array): StreamItem {
  return decodeItem(bytes, DECODERS)
}

/** Throws `message.malformed` or `message.too_large` for anything else than whole entries within the limits. */
export function unpack(text: string): readonly StreamItem[] {
  const bytes = Buffer.from(text, 'base64')
  const items: StreamItem[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + HEADER > bytes.length || items.length >= STREAM_RANGE_LIMIT) malformed()
    const size = bytes.readUInt32BE(at)
    const end = at + HEADER + size
    if (size > ITEM_LIMIT || end > bytes.length) malformed()
    items.push(decodedOf(bytes.subarray(at + HEADER, end)))
    at = end
  }
  return items
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const DECODERS: Decoders = {
  text(bytes) {
    try {
      return strict.decode(bytes)
    } catch {
      return undefined // not UTF-8
    }
  },
  hex: (bytes) => `0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`,
}

function malformed(): never {
  throw SmartLayerError.of('message.malformed', { at: 'packed', expected: 'entries with their lengths, in base64' })
}
