/** Frames of the overlay: a byte of class, three bytes of length and that many bytes of JSON; length zero is a ping. */
import { SmartLayerError } from '@smartlayer/protocol'
import { TRAFFIC_CLASSES, type TrafficClass } from '../ports/network.ts'
import { CLASS_LIMITS } from './tls-limits.ts'

export const HEADER = 4
/** A frame that arrives in pieces is given memory as it comes, from this size on, not for what it promised. */
const FIRST_PIECE = 4_096
const NOTHING = Buffer.alloc(0)

export const PING = Buffer.alloc(HEADER)

/** A message as it is sent; `type` is what it calls itself, for the counters. */
export type Frame = { readonly bytes: Buffer; readonly type: string; readonly trafficClass: TrafficClass }

/** Throws `message.too_large`, and what JSON throws for a value that it cannot write. */
export function frameOf(message: unknown, trafficClass: TrafficClass): Frame {
  const body = Buffer.from(JSON.stringify(message))
  const limit = CLASS_LIMITS[trafficClass].frameBytes
  if (body.length > limit) throw SmartLayerError.of('message.too_large', { limit, what: `a ${trafficClass} message` })
  const bytes = Buffer.allocUnsafe(HEADER + body.length)
  bytes.writeUInt32BE(body.length)
  bytes[0] = TRAFFIC_CLASSES.indexOf(trafficClass)
  body.copy(bytes, HEADER)
  return { bytes, type: typeOf(message), trafficClass }
}

/** What a message calls itself. Peers may say anything, and this becomes a label: whatever is no type name is `other`. */
export function typeOf(message: unknown): string {
  const type = typeof message === 'object' && message !== null ? (message as { type?: unknown }).type : undefined
  return typeof type === 'string' && /^[a-z][a-z-]{0,31}$/.test(type) ? type : 'other'
}

export function messageOf({ bytes }: Frame): unknown {
  return JSON.parse(bytes.toString('utf8', HEADER))
}

/**
 * Cuts a byte stream into frames. `push` returns false when the peer breaks a limit or `onFrame` refuses: it is then cut off.
 * Every byte is copied at most a few times, in whatever pieces it arrives, and memory follows what has arrived.
 */
export class FrameReader {
  readonly #onFrame: (body: Buffer) => boolean
  readonly #header = Buffer.alloc(HEADER)
  #headerSize = 0
  #pieces = NOTHING
  #size = 0

  constructor(onFrame: (body: Buffer) => boolean) {
    this.#onFrame = onFrame
  }

  push(chunk: Buffer): boolean {
    let at = 0
    while (at < chunk.length) {
      const taken = chunk.copy(this.#header, this.#headerSize, at, at + HEADER - this.#headerSize)
      this.#headerSize += taken
      at += taken
      if (this.#headerSize < HEADER) return true
      const length = this.#header.readUIntBE(1, HEADER - 1)
      if (length > this.#limit()) return false
      const end = at + length - this.#size
      if (end > chunk.length) {
        this.#keep(chunk.subarray(at), length)
        return true
      }
      if (!this.#onFrame(this.#whole(chunk.subarray(at, end), length))) return false
      at = end
    }
    return true
  }

  /** The limit of the frame's class; none fits a class that does not exist. */
  #limit(): number {
    const trafficClass = TRAFFIC_CLASSES[this.#header[0]!]
    return trafficClass ? CLASS_LIMITS[trafficClass].frameBytes : -1
  }

  #keep(piece: Buffer, length: number): void {
    const size = this.#size + piece.length
    if (size > this.#pieces.length) {
      const grown = Buffer.allocUnsafe(Math.min(length, Math.max(2 * this.#pieces.length, size, FIRST_PIECE)))
      this.#pieces.copy(grown, 0, 0, this.#size)
      this.#pieces = grown
    }
    piece.copy(this.#pieces, this.#size)
    this.#size = size
  }

  /** The body with its last piece, and everything ready for the next frame. */
  #whole(last: Buffer, length: number): Buffer {
    const inOnePiece = this.#size === 0
    if (!inOnePiece) this.#keep(last, length)
    const body = inOnePiece ? last : this.#pieces.subarray(0, length)
    this.#headerSize = 0
    this.#pieces = NOTHING
    this.#size = 0
    return body
  }
}
