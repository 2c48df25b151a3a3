/** The lines of a file of any size: read as they are asked for, each within a limit, with the digest of all up to it. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { SmartLayerError } from '@smartlayer/protocol'

/** Longest line in bytes: the largest body, every character of it escaped, and a subset. */
export const LINE_LIMIT = 512 * 1024
const DIGEST_DIGITS = 32
const NEW_LINE = 10
const CARRIAGE_RETURN = 13
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])

/** A line without its end, or why it cannot be read. `digest` is that of the file up to its end, until the next line. */
export type Line = {
  readonly number: number
  readonly digest: () => string
} & ({ readonly text: string } | { readonly problem: string })

/** Throws `file.unreadable`. */
export async function* linesOf(path: string): AsyncGenerator<Line, void, undefined> {
  const hash = createHash('sha256')
  const digest = () => hash.copy().digest('hex').slice(0, DIGEST_DIGITS)
  let number = 0
  let held: Buffer[] = []
  let size = 0
  const hold = (part: Buffer) => {
    hash.update(part)
    size += part.length
    if (size <= LINE_LIMIT) held.push(part)
  }
  const take = (): Line => {
    number++
    const bytes = Buffer.concat(held)
    const read = size > LINE_LIMIT ? { problem: `it is longer than ${LINE_LIMIT} bytes` } : readLine(bytes, number)
    held = []
    size = 0
    return { number, digest, ...read }
  }
  for await (const chunk of chunksOf(path)) {
    let start = 0
    for (let end = chunk.indexOf(NEW_LINE); end >= 0; end = chunk.indexOf(NEW_LINE, start)) {
      hold(chunk.subarray(start, end + 1))
      yield take()
      start = end + 1
    }
    if (start < chunk.length) hold(chunk.subarray(start))
  }
  if (size > 0) yield take()
}

async function* chunksOf(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) yield chunk as Buffer
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : String(error)
    throw SmartLayerError.because(error, 'file.unreadable', { path, reason })
  }
}

function readLine(bytes: Buffer, number: number): { text: string } | { problem: string } {
  const hasMark = number === 1 && bytes.subarray(0, 3).equals(BYTE_ORDER_MARK)
  let end = bytes.length
  if (bytes[end - 1] === NEW_LINE) end--
  if (bytes[end - 1] === CARRIAGE_RETURN) end--
  const own = bytes.subarray(hasMark ? 3 : 0, end)
  if (own.includes(0)) return { problem: 'it contains a NUL byte; save the file as plain text' }
  try {
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(own) }
  } catch {
    return { problem: 'it is not UTF-8; save the file as UTF-8' }
  }
}
