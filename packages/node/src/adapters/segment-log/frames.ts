/** Frames of segment files: length, checksum, and a record; and how a file is read again after a crash or a bad disk. */
import { crc32 } from 'node:zlib'
import type { Bytes32 } from '@smartlayer/protocol'
import type { LogPlace } from '../../ports/stream-log.ts'
import { ENTRY_BYTES_LIMIT } from './append-queue.ts'

/**
 * What a log is made of. `origin` is where the record was written first, and 0 there itself. Only what still lives is copied,
 * so a truncation never takes a copy that stands behind its own origin.
 */
export type LogRecord = { readonly origin: number } & (
  | { readonly kind: 'entry'; readonly place: LogPlace; readonly bytes: Uint8Array }
  /** What is left of an entry whose bytes were pruned. */
  | { readonly kind: 'place'; readonly place: LogPlace }
  /** Entries of the stream after this place that were written before this record are given up. */
  | { readonly kind: 'truncate'; readonly stream: Bytes32; readonly after: bigint }
  /** Up to `floor` only the last entry of each subset stays, up to `bare` only its place. */
  | { readonly kind: 'prune'; readonly stream: Bytes32; readonly floor: bigint; readonly bare: bigint }
)

/** A record as it stands in a file. `group` counts fsyncs; `isLast` ends what was appended at once. */
export type Frame = {
  readonly record: LogRecord
  readonly group: number
  readonly isLast: boolean
  readonly size: number
}
/** A frame with where it begins in its file. */
export type Found = Frame & { readonly at: number }

/** Bytes of a file, read piece by piece. */
export type Source = { readonly size: number; read(at: number, length: number): Buffer }

const KINDS = ['entry', 'place', 'truncate', 'prune'] as const
const HEADER = 8
const AT = {
  kind: 8,
  flags: 9,
  group: 10,
  origin: 16,
  stream: 24,
  a: 56,
  b: 64,
  c: 72,
  subset: 80,
  uid: 112,
  bytes: 144,
}
const MARKER_SIZE = AT.c
/** Bytes of a frame beside an entry's own; the whole frame of a place. */
export const PLACE_SIZE = AT.bytes
export const FRAME_LIMIT = PLACE_SIZE + ENTRY_BYTES_LIMIT
const WINDOW = 1_048_576

export function sizeOf(record: LogRecord): number {
  if (record.kind === 'entry') return PLACE_SIZE + record.bytes.length
  return record.kind === 'place' ? PLACE_SIZE : MARKER_SIZE
}

/** Writes one frame and returns where it ends. The seed is the segment's own, so that no entry can hold a frame in its bytes. */
export function writeFrame(
  target: Buffer,
  at: number,
  { record, group, isLast, seed }: { record: LogRecord; group: number; isLast: boolean; seed: number },
): number {
  const end = at + sizeOf(record)
  target[at + AT.kind] = KINDS.indexOf(record.kind)
  target[at + AT.flags] = isLast ? 1 : 0
  target.writeUIntBE(group, at + AT.group, 6)
  writeUint(target, at + AT.origin, record.origin)
  if (record.kind === 'entry' || record.kind === 'place') {
    const { stream, sequence, epoch, subSequence, subset, uid } = record.place
    writeIds(target, at, stream, [sequence, epoch, subSequence])
    target.write(subset.slice(2), at + AT.subset, 'hex')
    target.write(uid.slice(2), at + AT.uid, 'hex')
    if (record.kind === 'entry') target.set(record.bytes, at + AT.bytes)
  } else if (record.kind === 'truncate') writeIds(target, at, record.stream, [record.after, 0n])
  else writeIds(target, at, record.stream, [record.floor, record.bare])
  target.writeUInt32BE(end - at - HEADER, at)
  target.writeUInt32BE(crc32(target.subarray(at + HEADER, end), seed), at + 4)
  return end
}

/** The frame that begins at a place; undefined when no whole and unchanged frame does. */
export function readFrame(bytes: Buffer, at: number, seed: number): Frame | undefined {
  const size = frameSize(bytes, at)
  if (size === undefined || at + size > bytes.length) return undefined
  if (crc32(bytes.subarray(at + HEADER, at + size), seed) !== bytes.readUInt32BE(at + 4)) return undefined
  return {
    record: readRecord(bytes, at, size),
    group: bytes.readUIntBE(at + AT.group, 6),
    isLast: bytes[at + AT.flags] === 1,
    size,
  }
}

/**
 * All frames of a file from a place on, behind those of `group`, and where the file ends for good. A frame that was changed is passed over when what
 * follows shows that it had been durable; in the file that was written last, everything else is a torn write: the file
 * then ends behind the last append that is whole.
 */
export function* framesOf(
  source: Source,
  { from, group: before, seed, isLastFile }: { from: number; group: number; seed: number; isLastFile: boolean },
): Generator<Found, number> {
  const window = new Window(source, seed)
  let append: Found[] = []
  let end = from
  let group = before
  for (let at = from; at < source.size; ) {
    const frame = window.frame(at)
    if (!frame) {
      const next = nextFrame(window, at, { source, after: isLastFile ? group + 2 : 0 })
      if (next === undefined) break
      yield* append
      append = []
      at = next
      continue
    }
    append.push({ ...frame, at })
    at += frame.size
    group = frame.group
    if (!frame.isLast) continue
    yield* append
    append = []
    end = at
  }
  if (isLastFile) return end
  yield* append
  return source.size
}

/**
 * The next frame behind one that was changed, if there is a frame of group `after` or later somewhere: the group before that
 * was durable then, and with it everything up to it.
 */
function nextFrame(
  window: Window,
  broken: number,
  { source, after }: { source: Source; after: number },
): number | undefined {
  let first: number | undefined
  for (let at = window.behind(broken); at < source.size; ) {
    const frame = window.frame(at)
    if (!frame) {
      at++
      continue
    }
    first ??= at
    if (frame.group >= after) return first
    at += frame.size
  }
  return undefined
}

class Window {
  readonly #source: Source
  readonly #seed: number
  #bytes: Buffer = Buffer.alloc(0)
  #from = 0

  constructor(source: Source, seed: number) {
    this.#source = source
    this.#seed = seed
  }

  frame(at: number): Frame | undefined {
    const size = this.#has(at, HEADER + 2) ? frameSize(this.#bytes, at - this.#from) : undefined
    return size !== undefined && this.#has(at, size) ? readFrame(this.#bytes, at - this.#from, this.#seed) : undefined
  }

  /** Where to look on behind a broken frame: at its end if its length still leads to a frame, else right behind its start. */
  behind(at: number): number {
    const size = this.#has(at, HEADER + 2) ? frameSize(this.#bytes, at - this.#from) : undefined
    return size !== undefined && this.frame(at + size) ? at + size : at + 1
  }

  #has(at: number, length: number): boolean {
    if (at + length > this.#source.size) return false
    if (at < this.#from || at + length > this.#from + this.#bytes.length) {
      this.#bytes = this.#source.read(at, Math.min(this.#source.size - at, Math.max(WINDOW, length)))
      this.#from = at
    }
    return at + length <= this.#from + this.#bytes.length
  }
}

/** The length that a header names, when it can be one of a frame of its kind. */
function frameSize(bytes: Buffer, at: number): number | undefined {
  if (at + HEADER + 2 > bytes.length) return undefined
  const size = HEADER + bytes.readUInt32BE(at)
  const kind = KINDS[bytes[at + AT.kind]!]
  if (kind === undefined || bytes[at + AT.flags]! > 1) return undefined
  if (kind === 'entry') return size >= PLACE_SIZE && size <= FRAME_LIMIT ? size : undefined
  return size === (kind === 'place' ? PLACE_SIZE : MARKER_SIZE) ? size : undefined
}

function readRecord(bytes: Buffer, at: number, size: number): LogRecord {
  const kind = KINDS[bytes[at + AT.kind]!]!
  const origin = readUint(bytes, at + AT.origin)
  const stream = hexAt(bytes, at + AT.stream)
  const a = bytes.readBigUInt64BE(at + AT.a)
  const b = bytes.readBigUInt64BE(at + AT.b)
  if (kind === 'truncate') return { kind, origin, stream, after: a }
  if (kind === 'prune') return { kind, origin, stream, floor: a, bare: b }
  const place = {
    stream,
    epoch: b,
    sequence: a,
    subset: hexAt(bytes, at + AT.subset),
    subSequence: bytes.readBigUInt64BE(at + AT.c),
    uid: hexAt(bytes, at + AT.uid),
  }
  if (kind === 'place') return { kind, origin, place }
  return { kind, origin, place, bytes: new Uint8Array(bytes.subarray(at + AT.bytes, at + size)) }
}

function writeIds(target: Buffer, at: number, stream: Bytes32, numbers: readonly bigint[]): void {
  target.write(stream.slice(2), at + AT.stream, 'hex')
  for (const [i, value] of numbers.entries()) target.writeBigUInt64BE(value, at + AT.a + i * 8)
}

function hexAt(bytes: Buffer, at: number): Bytes32 {
  return `0x${bytes.toString('hex', at, at + 32)}`
}

function writeUint(target: Buffer, at: number, value: number): void {
  target.writeUInt32BE(Math.floor(value / 2 ** 32), at)
  target.writeUInt32BE(value % 2 ** 32, at + 4)
}

function readUint(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
}
