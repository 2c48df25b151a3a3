/** The files of a segment log: appended to with one fsync per group, read by place, cut where a crash tore them. */
import {
  closeSync,
  fdatasync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  write,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { SmartLayerError } from '@smartlayer/protocol'
import type { Source } from './frames.ts'

/** Bytes of a segment after which the next one begins. */
const SEGMENT_BYTES = 67_108_864
/** Magic, the log's id, the segment's number, and a checksum of these. */
export const HEADER_SIZE = 20
const MAGIC = Buffer.from('SLSEG\0\0\x01', 'latin1')
const NAME = /^(\d{10})\.segment$/
/** Files that are kept open for reading. */
const OPEN_LIMIT = 64
/** A place in the log is a segment's number and an offset in it, as one number. */
const NUMBER_FACTOR = 2 ** 32

/** What of a disk may fail while a log runs. Tests put a full or a failing one here. */
export type Disk = {
  write(file: number, bytes: Uint8Array, at: number): Promise<number>
  sync(file: number): Promise<void>
}

const writeFile = promisify(write)
const syncFile = promisify(fdatasync)
const syncNames = promisify(fsync)
export const realDisk: Disk = {
  write: async (file, bytes, at) => (await writeFile(file, bytes, 0, bytes.length, at)).bytesWritten,
  sync: (file) => syncFile(file),
}

export type SegmentOptions = {
  readonly folder: string
  readonly disk: Disk
  /** False: what is acknowledged may be lost with the power. For benchmarks only. */
  readonly fsync: boolean
  readonly segmentBytes?: number | undefined
}

export function locationOf(segment: number, at: number): number {
  return segment * NUMBER_FACTOR + at
}

export function segmentOf(location: number): number {
  return Math.floor(location / NUMBER_FACTOR)
}

export function offsetOf(location: number): number {
  return location % NUMBER_FACTOR
}

export class Segments {
  /** Drawn when the log was made; in the header of every segment, and mixed into every checksum. */
  readonly id: number
  readonly #options: SegmentOptions
  readonly #sizes = new Map<number, number>()
  readonly #readers = new Map<number, number>()
  readonly #limit: number
  #writer: number | undefined

  /** Finds the segments of a folder; `newId` is taken for a log that has none. Call `cut` before anything is written. */
  constructor(options: SegmentOptions, newId: number) {
    this.#options = options
    this.#limit = options.segmentBytes ?? SEGMENT_BYTES
    for (const name of readdirSync(options.folder).sort()) {
      const number = Number(NAME.exec(name)?.[1] ?? 0)
      if (number > 0) this.#sizes.set(number, statSync(this.#path(number)).size)
    }
    // A file without its whole header was being made when the node crashed: nothing in it was acknowledged.
    const last = this.active
    if (last !== undefined && this.#sizes.get(last)! < HEADER_SIZE) this.remove(last)
    const id = this.numbers.map((number) => this.#idIn(number)).find((found) => found !== undefined)
    // Without the id no frame can be told from a torn one, and all of them would be cut off.
    if (id === undefined && this.#sizes.size > 0)
      throw SmartLayerError.of('store.corrupt', { what: 'Every segment header' })
    this.id = id ?? newId
  }

  get numbers(): readonly number[] {
    return [...this.#sizes.keys()]
  }

  get bytes(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size, 0)
  }

  /** The segment that is written to; undefined in a new log. */
  get active(): number | undefined {
    return this.numbers.at(-1)
  }

  sizeOf(number: number): number {
    return this.#sizes.get(number) ?? 0
  }

  seedOf(number: number): number {
    const name = Buffer.alloc(4)
    name.writeUInt32BE(number)
    return crc32(name, this.id)
  }

  sourceOf(number: number): Source {
    return {
      size: this.sizeOf(number),
      read: (at, length) => this.#read(number, at, length),
    }
  }

  /** The bytes at a place: fewer than asked for, or none, when the disk does not give them. */
  read(location: number, length: number): Buffer {
    try {
      return this.#read(segmentOf(location), offsetOf(location), length)
    } catch {
      return Buffer.alloc(0) // the checksum is missed by whoever asked
    }
  }

  /** Cuts the active segment, so that the next group is written at `end`. */
  cut(end: number): void {
    const number = this.active
    if (number === undefined || this.sizeOf(number) === end) return
    const file = openSync(this.#path(number), 'r+')
    try {
      ftruncateSync(file, end)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    this.#sizes.set(number, end)
  }

  /**
   * Where the next group of `size` bytes goes, in a new segment when the active one is full. Throws `store.full` when there is
   * no room for it, `store.failed` when the disk fails.
   */
  async place(size: number): Promise<{ readonly location: number; readonly seed: number }> {
    const active = this.active
    const end = active === undefined ? 0 : this.sizeOf(active)
    const isFull = active === undefined || (end > HEADER_SIZE && end + size > this.#limit)
    if (isFull) await this.#begin((active ?? 0) + 1)
    this.#writer ??= openSync(this.#path(this.active!), 'r+')
    return { location: locationOf(this.active!, this.sizeOf(this.active!)), seed: this.seedOf(this.active!) }
  }

  /**
   * Writes a group at the place that `place` named, durably. Throws `store.full` after cutting off what was written of it, and
   * `store.failed` when nothing is known of what is on the disk.
   */
  async append(group: Buffer): Promise<void> {
    const number = this.active!
    const start = this.sizeOf(number)
    try {
      for (let done = 0; done < group.length; ) {
        done += await this.#options.disk.write(this.#writer!, group.subarray(done), start + done)
      }
    } catch (error) {
      if (!isFull(error)) throw SmartLayerError.because(error, 'store.failed', { operation: 'write to a segment' })
      await this.#cutBack(start)
      throw SmartLayerError.because(error, 'store.full', { operation: 'append to the log' })
    }
    await this.#sync()
    this.#sizes.set(number, start + group.length)
  }

  remove(number: number): void {
    const reader = this.#readers.get(number)
    if (reader !== undefined) closeSync(reader)
    this.#readers.delete(number)
    rmSync(this.#path(number), { force: true })
    this.#sizes.delete(number)
  }

  close(): void {
    for (const file of this.#readers.values()) closeSync(file)
    this.#readers.clear()
    if (this.#writer !== undefined) closeSync(this.#writer)
    this.#writer = undefined
  }

  /** A new file with its header, and the folder that names it, on disk before anything is appended. */
  async #begin(number: number): Promise<void> {
    const path = this.#path(number)
    const header = Buffer.concat([MAGIC, Buffer.alloc(HEADER_SIZE - MAGIC.length)])
    header.writeUInt32BE(this.id, 8)
    header.writeUInt32BE(number, 12)
    header.writeUInt32BE(crc32(header.subarray(0, 16)), 16)
    let file: number | undefined
    try {
      file = openSync(path, 'wx+')
      if ((await this.#options.disk.write(file, header, 0)) < HEADER_SIZE) throw noRoom()
      await this.#options.disk.sync(file)
      await syncFolder(this.#options.folder)
    } catch (error) {
      if (file !== undefined) closeSync(file)
      rmSync(path, { force: true })
      const code = isFull(error) ? 'store.full' : 'store.failed'
      throw SmartLayerError.because(error, code, { operation: 'begin a segment' })
    }
    if (this.#writer !== undefined) closeSync(this.#writer)
    this.#writer = file
    this.#sizes.set(number, HEADER_SIZE)
  }

  async #sync(): Promise<void> {
    if (!this.#options.fsync) return
    try {
      await this.#options.disk.sync(this.#writer!)
    } catch (error) {
      throw SmartLayerError.because(error, 'store.failed', { operation: 'fsync a segment' })
    }
  }

  /** What was refused must not come back after a crash. */
  async #cutBack(end: number): Promise<void> {
    try {
      ftruncateSync(this.#writer!, end)
    } catch (error) {
      throw SmartLayerError.because(error, 'store.failed', { operation: 'cut a segment' })
    }
    await this.#sync()
  }

  #read(number: number, at: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    let done = 0
    while (done < length) {
      const count = readSync(this.#reader(number), bytes, done, length - done, at + done)
      if (count === 0) break
      done += count
    }
    return bytes.subarray(0, done)
  }

  #reader(number: number): number {
    const known = this.#readers.get(number)
    if (known !== undefined) return known
    if (this.#readers.size >= OPEN_LIMIT) {
      const [oldest, file] = this.#readers.entries().next().value!
      closeSync(file)
      this.#readers.delete(oldest)
    }
    const file = openSync(this.#path(number), 'r')
    this.#readers.set(number, file)
    return file
  }

  #idIn(number: number): number | undefined {
    const header = this.#read(number, 0, HEADER_SIZE)
    const isOurs = header.length === HEADER_SIZE && header.subarray(0, MAGIC.length).equals(MAGIC)
    const isWhole = isOurs && crc32(header.subarray(0, 16)) === header.readUInt32BE(16)
    return isWhole && header.readUInt32BE(12) === number ? header.readUInt32BE(8) : undefined
  }

  #path(number: number): string {
    return join(this.#options.folder, `${String(number).padStart(10, '0')}.segment`)
  }
}

/** Makes durable which files a folder names. */
async function syncFolder(folder: string): Promise<void> {
  const file = openSync(folder, 'r')
  try {
    await syncNames(file)
  } finally {
    closeSync(file)
  }
}

function noRoom(): Error {
  return Object.assign(new Error('the header was written in part'), { code: 'ENOSPC' })
}

function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOSPC' || code === 'EDQUOT'
}
