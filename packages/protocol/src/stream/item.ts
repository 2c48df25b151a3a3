/** An entry of a stream as it travels and rests: attestation, body, and the delegation of the key that signed it. */
import { type Attest, type Attestation, attestationShape, type SignedAttest } from '../attestation/envelope.ts'
import { SmartLayerError } from '../errors/smart-layer-error.ts'
import { fromHex, type Hex, toHex, utf8 } from '../primitives/bytes.ts'
import { optional, record, type Shape, text } from '../primitives/shape.ts'

/** Largest body of an input or an answer, in UTF-16 units (docs/spec/attestation.md). */
export const BODY_LIMIT = 65_536
/** Largest entry in its binary form, in bytes: a body of three bytes a character, twice, and two attestations. */
export const ITEM_LIMIT = 400_000
const VERSION = 1
const FLAG = { revocable: 1, batch: 2, delegated: 4 } as const
const PROOF_LIMIT = 16
const DATA_LIMIT = 1_024

const body = text(BODY_LIMIT)

/** `delegation` is the stream's `epoch` entry that names the key, when another key than the issuer's own signed. */
export const streamItemShape = record({
  attestation: attestationShape,
  body,
  delegation: optional(record({ attestation: attestationShape, body })),
}) as Shape<StreamItem>
export type Delegation = { readonly attestation: Attestation; readonly body: string }
export type StreamItem = Delegation & { readonly delegation?: Delegation | undefined }

/** The binary form of an entry: logs keep it, ranges carry it. Signatures never cover it. */
export function encodeItem(item: StreamItem): Uint8Array {
  const writer = new Writer()
  writer.byte(VERSION)
  writeItem(writer, item)
  return writer.done()
}

/** How bytes become text; platforms have faster ways than ours. */
export type Decoders = {
  /** UTF-8 bytes as text, or undefined when they are not well-formed. */
  readonly text: (bytes: Uint8Array) => string | undefined
  readonly hex: (bytes: Uint8Array) => Hex
}

/** Reads one entry. Throws `message.malformed` for anything but exactly one whole entry within the limits. */
export function decodeItem(bytes: Uint8Array, decoders: Decoders = { text: textOf, hex: toHex }): StreamItem {
  const reader = new Reader(bytes, decoders)
  if (reader.byte() !== VERSION) malformed('version')
  const item = readItem(reader)
  if (!reader.atEnd) malformed('end')
  return item
}

function writeItem(writer: Writer, { attestation, body: content, delegation }: StreamItem): void {
  const { message, attester, batch } = attestation
  writer.byte(flagsOf(message) | (batch ? FLAG.batch : 0) | (delegation ? FLAG.delegated : 0))
  writeMessage(writer, message)
  writer.hex(attester)
  if (batch) {
    writer.byte(batch.proof.length)
    for (const node of batch.proof) writer.hex(node)
    writer.byte(flagsOf(batch.root.message))
    writeMessage(writer, batch.root.message)
    writer.hex(batch.root.signature)
  } else writer.hex(attestation.signature)
  const encoded = utf8(content)
  writer.uint(encoded.length, 4)
  writer.bytes(encoded)
  if (delegation) writeItem(writer, delegation)
}

function readItem(reader: Reader, nested = false): StreamItem {
  const flags = reader.byte()
  if (flags > 7 || (nested && (flags & FLAG.delegated) !== 0)) malformed('flags')
  const message = readMessage(reader, flags)
  const attester = reader.hex(20)
  const attestation: Attestation =
    flags & FLAG.batch
      ? { message, attester, batch: readBatch(reader) }
      : { message, attester, signature: reader.hex(65) }
  const content = reader.text(reader.uint(4))
  if (!(flags & FLAG.delegated)) return { attestation, body: content }
  const { attestation: by, body: named } = readItem(reader, true)
  return { attestation, body: content, delegation: { attestation: by, body: named } }
}

function readBatch(reader: Reader): { readonly proof: readonly Hex[]; readonly root: SignedAttest } {
  const count = reader.byte()
  if (count > PROOF_LIMIT) malformed('proof')
  const proof = Array.from({ length: count }, () => reader.hex(32))
  const flags = reader.byte()
  if (flags > FLAG.revocable) malformed('flags')
  return { proof, root: { message: readMessage(reader, flags), signature: reader.hex(65) } }
}

function flagsOf({ revocable }: Attest): number {
  return revocable ? FLAG.revocable : 0
}

function writeMessage(writer: Writer, message: Attest): void {
  writer.uint(Number(message.version), 2)
  writer.hex(message.schema)
  writer.hex(message.recipient)
  writer.bigint(message.time)
  writer.bigint(message.expirationTime)
  writer.hex(message.refUID)
  writer.uint((message.data.length - 2) / 2, 2)
  writer.hex(message.data)
  writer.hex(message.salt)
}

function readMessage(reader: Reader, flags: number): Attest {
  const version = BigInt(reader.uint(2))
  const schema = reader.hex(32)
  const recipient = reader.hex(20)
  const time = reader.bigint()
  const expirationTime = reader.bigint()
  const refUID = reader.hex(32)
  const size = reader.uint(2)
  if (size > DATA_LIMIT) malformed('data')
  const data = reader.hex(size)
  const revocable = (flags & FLAG.revocable) !== 0
  return { version, schema, recipient, time, expirationTime, revocable, refUID, data, salt: reader.hex(32) }
}

class Writer {
  #bytes = new Uint8Array(2_048)
  #at = 0

  byte(value: number): void {
    this.#room(1)
    this.#bytes[this.#at++] = value
  }

  uint(value: number, size: number): void {
    this.#room(size)
    for (let i = size - 1; i >= 0; i--) this.#bytes[this.#at++] = Math.floor(value / 256 ** i) & 255
  }

  bigint(value: bigint): void {
    this.uint(Number(value >> 32n), 4)
    this.uint(Number(value & 0xffffffffn), 4)
  }

  hex(value: Hex): void {
    this.bytes(fromHex(value))
  }

  bytes(value: Uint8Array): void {
    this.#room(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  done(): Uint8Array {
    return this.#bytes.slice(0, this.#at)
  }

  #room(size: number): void {
    if (this.#at + size <= this.#bytes.length) return
    const grown = new Uint8Array(2 * (this.#at + size))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}

class Reader {
  readonly #bytes: Uint8Array
  readonly #decoders: Decoders
  #at = 0

  constructor(bytes: Uint8Array, decoders: Decoders) {
    if (bytes.length > ITEM_LIMIT)
      throw SmartLayerError.of('message.too_large', { limit: ITEM_LIMIT, what: 'an entry' })
    this.#bytes = bytes
    this.#decoders = decoders
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  byte(): number {
    return this.uint(1)
  }

  uint(size: number): number {
    const end = this.#end(size)
    let value = 0
    for (; this.#at < end; this.#at++) value = value * 256 + this.#bytes[this.#at]!
    return value
  }

  bigint(): bigint {
    const high = this.uint(4)
    return (BigInt(high) << 32n) | BigInt(this.uint(4))
  }

  hex(size: number): Hex {
    return this.#decoders.hex(this.#take(size))
  }

  /** UTF-8 text; what is not UTF-8, or too long, is refused. */
  text(size: number): string {
    const value = this.#decoders.text(this.#take(size))
    if (value === undefined || value.length > BODY_LIMIT) return malformed('body')
    return value
  }

  #take(size: number): Uint8Array {
    const end = this.#end(size)
    const part = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return part
  }

  #end(size: number): number {
    const end = this.#at + size
    return end > this.#bytes.length ? malformed('length') : end
  }
}

/** The text of UTF-8 bytes; undefined when they are not the shortest form of well-formed text. */
function textOf(bytes: Uint8Array): string | undefined {
  let value = ''
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at]!
    const extra = first < 0x80 ? 0 : first < 0xc2 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : -1
    if (extra < 0 || at + extra >= bytes.length) return undefined
    let code = extra === 0 ? first : first & (0x3f >> extra)
    for (let i = 1; i <= extra; i++) {
      const next = bytes[at + i]!
      if ((next & 0xc0) !== 0x80) return undefined
      code = (code << 6) | (next & 0x3f)
    }
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000) || isOverlong(code, extra)) return undefined
    value += String.fromCodePoint(code)
    at += extra + 1
  }
  return value
}

function isOverlong(code: number, extra: number): boolean {
  return (extra === 2 && code < 0x800) || (extra === 3 && code < 0x10000)
}

function malformed(at: string): never {
  throw SmartLayerError.of('message.malformed', { at: `entry.${at}`, expected: 'the binary form of a stream entry' })
}
