/** Frames of the overlay: a 4-byte length and that many bytes of JSON; length zero is a ping. */

/** Largest frame. */
export const FRAME_LIMIT = 1_048_576
const HEADER = 4

export const PING = Buffer.alloc(HEADER)

export function frameOf(message: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(message))
  const frame = Buffer.allocUnsafe(HEADER + body.length)
  frame.writeUInt32BE(body.length)
  body.copy(frame, HEADER)
  return frame
}

/** Cuts a byte stream into frames. `push` returns false when the peer breaks the limit: it is then cut off. */
export class FrameReader {
  readonly #onFrame: (body: Buffer) => void
  #chunks: Buffer[] = []
  #size = 0

  constructor(onFrame: (body: Buffer) => void) {
    this.#onFrame = onFrame
  }

  push(chunk: Buffer): boolean {
    this.#chunks.push(chunk)
    this.#size += chunk.length
    while (this.#size >= HEADER) {
      const length = this.#peekLength()
      if (length > FRAME_LIMIT) return false
      if (this.#size < HEADER + length) return true
      const bytes = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
      this.#onFrame(bytes.subarray(HEADER, HEADER + length))
      const rest = bytes.subarray(HEADER + length)
      this.#chunks = rest.length > 0 ? [rest] : []
      this.#size = rest.length
    }
    return true
  }

  #peekLength(): number {
    if (this.#chunks[0]!.length < HEADER) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0]!.readUInt32BE()
  }
}
