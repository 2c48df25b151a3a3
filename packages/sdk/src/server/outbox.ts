/** An issuer's outbox: what it signs is on disk before it is sent, so that no crash makes a gap or a double. */
import {
  closeSync,
  existsSync,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  write,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import {
  type Address,
  address,
  type Bytes32,
  bytes32,
  type Crypto,
  integer,
  isSmartLayerError,
  nobleCrypto,
  record,
  SmartLayerError,
  type StreamItem,
  streamItemShape,
} from '@smartlayer/protocol'
import { lockFile } from './file-lock.ts'
import {
  applyRecord,
  newState,
  type OutboxRecord,
  type OutboxState,
  outboxRecordShape,
  recordsOf,
  recordsOfItem,
} from './outbox-state.ts'

/** A file grows by this much before it is written anew with what still counts. */
const GROWTH_BYTES = 8 * 1024 * 1024
const FILE_LIMIT_BYTES = 512 * 1024 * 1024
const NEW_LINE = 10

const headerShape = record({ version: integer(1, 1), stream: bytes32, issuer: address })
const writeFully = promisify(write)
const sync = promisify(fdatasync)

export type OutboxOptions = {
  readonly path: string
  readonly stream: Bytes32
  /** The stream's own address, whoever signs for it. */
  readonly issuer: Address
  readonly crypto?: Crypto
  /** Puts a damaged file aside and begins without it. Only for who opens a new epoch, or knows that nothing was left unsent. */
  readonly replaceDamaged?: boolean
}

/**
 * A file of one record a line, each with its checksum, that one process uses at a time. A last line without its end was never
 * sent and is dropped; any other damage is refused.
 */
export class Outbox {
  readonly path: string
  readonly #keccak: Crypto['keccak']
  readonly #unlock: () => void
  readonly #state: OutboxState
  readonly #header: Pick<OutboxState, 'stream' | 'issuer'>
  #known = false
  #emptied = false
  #file: number | undefined
  #size = 0
  #compactAt = 0
  #broken = false
  #writing: Promise<unknown> = Promise.resolve()

  private constructor({ path, stream, issuer, crypto = nobleCrypto }: OutboxOptions, unlock: () => void) {
    this.path = path
    this.#keccak = crypto.keccak
    this.#unlock = unlock
    this.#header = { stream, issuer }
    this.#state = newState(this.#header)
  }

  /**
   * Opens the outbox in this file. Throws `file.locked` while another process uses it, `stream.state_damaged` when it cannot be
   * trusted, and `config.invalid` when it belongs to another stream.
   */
  static open(options: OutboxOptions): Outbox {
    const unlock = lockFile(options.path)
    try {
      try {
        return new Outbox(options, unlock).#load()
      } catch (error) {
        if (!options.replaceDamaged || !isSmartLayerError(error) || error.code !== 'stream.state_damaged') throw error
        renameSync(options.path, `${options.path}.damaged-${Date.now()}`)
        return new Outbox(options, unlock)
      }
    } catch (error) {
      unlock()
      throw error
    }
  }

  /** What was signed and what has its receipt; undefined when there was no file. */
  get state(): OutboxState | undefined {
    return this.#known ? this.#state : undefined
  }

  /** An earlier version left word that nothing is pending, and nothing else. */
  get isEmptied(): boolean {
    return this.#emptied
  }

  /**
   * Adds a record. With `durable` it is on disk when this resolves; without, a crash may lose it, which only means that something
   * is sent twice. Throws `store.full` or `store.failed`; then nothing was added. One call at a time.
   */
  append(written: OutboxRecord, options: { durable: boolean }): Promise<OutboxState> {
    const appended = this.#append(written, options)
    this.#writing = appended.catch(() => undefined) // whoever asked is told
    return appended
  }

  async #append(written: OutboxRecord, { durable }: { durable: boolean }): Promise<OutboxState> {
    if (this.#broken) throw SmartLayerError.of('store.failed', { operation: `write ${this.path}` })
    if (this.#file === undefined) {
      this.#apply(written)
      this.#rewrite()
      return this.#state
    }
    const before = this.#size
    try {
      const line = lineOf(outboxRecordShape.toJson(written))
      for (let at = 0; at < line.length; ) {
        at += (await writeFully(this.#file, line, at, line.length - at, before + at)).bytesWritten
      }
      if (durable) await sync(this.#file)
      this.#size = before + line.length
    } catch (cause) {
      this.#shorten(before)
      throw failure(cause, this.path)
    }
    this.#apply(written)
    if (this.#size >= this.#compactAt) this.#rewrite()
    return this.#state
  }

  /** Gives the file back. Nothing is added: what is pending is found again by the next one who opens it. */
  async close(): Promise<void> {
    this.#broken = true
    await this.#writing
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
    this.#unlock()
  }

  #apply(written: OutboxRecord): void {
    applyRecord(this.#state, written, this.#keccak)
    this.#known = true
  }

  #load(): this {
    if (!existsSync(this.path)) return this
    const { size } = statSync(this.path)
    if (size > FILE_LIMIT_BYTES) this.#damaged(1, `it is larger than ${FILE_LIMIT_BYTES} bytes`)
    const bytes = readFileSync(this.path)
    if (bytes.length === 0 || bytes[0] === 0x7b) return this.#migrate(bytes)
    let line = 0
    let start = 0
    for (let end = bytes.indexOf(NEW_LINE); end >= 0; end = bytes.indexOf(NEW_LINE, start)) {
      this.#read(bytes.subarray(start, end), ++line)
      start = end + 1
    }
    if (line === 0) this.#damaged(1, 'its first line has no end')
    this.#file = openSync(this.path, 'r+')
    this.#size = start
    if (start < bytes.length) ftruncateSync(this.#file, start)
    this.#compactAt = start + GROWTH_BYTES
    return this
  }

  #read(bytes: Uint8Array, line: number): void {
    try {
      const json = jsonOf(bytes)
      if (line > 1) return this.#apply(outboxRecordShape.parse(json, 'record'))
      const { stream, issuer } = headerShape.parse(json, 'header')
      if (stream === this.#header.stream && issuer === this.#header.issuer) return
    } catch (error) {
      this.#damaged(line, error instanceof Error ? error.message : 'it cannot be read')
    }
    throw SmartLayerError.of('config.invalid', {
      at: this.path,
      expected: `the outbox of stream ${this.#header.stream}`,
    })
  }

  /** Earlier versions kept one entry at most, as JSON, and an empty file once it had its receipt. */
  #migrate(bytes: Uint8Array): this {
    if (bytes.length === 0) {
      this.#emptied = true
      return this
    }
    try {
      const item: StreamItem = streamItemShape.parse(JSON.parse(new TextDecoder().decode(bytes)), 'outbox')
      for (const written of recordsOfItem(item)) this.#apply(written)
    } catch (error) {
      this.#damaged(1, error instanceof Error ? error.message.slice(0, 200) : 'it cannot be read')
    }
    this.#rewrite()
    return this
  }

  /** Writes what still counts to a new file that replaces this one whole. */
  #rewrite(): void {
    const folder = dirname(this.path)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const next = `${this.path}.new`
    const { stream, issuer } = this.#header
    const lines = [
      lineOf(headerShape.toJson({ version: 1, stream, issuer })),
      ...recordsOf(this.#state).map((written) => lineOf(outboxRecordShape.toJson(written))),
    ]
    try {
      const file = openSync(next, 'w', 0o600)
      let size = 0
      for (const line of lines) size += writeWhole(file, line)
      fsyncSync(file)
      renameSync(next, this.path)
      syncFolder(folder)
      if (this.#file !== undefined) closeSync(this.#file)
      this.#file = file
      this.#size = size
      this.#compactAt = size + GROWTH_BYTES
    } catch (cause) {
      this.#broken = true
      throw failure(cause, this.path)
    }
  }

  /** A line that was not written whole must not be taken for one later. */
  #shorten(size: number): void {
    try {
      ftruncateSync(this.#file!, size)
      fsyncSync(this.#file!)
    } catch {
      this.#broken = true
    }
  }

  #damaged(line: number, detail: string): never {
    throw SmartLayerError.of('stream.state_damaged', { path: this.path, line, detail })
  }
}

/** `CHECKSUM JSON`, with its end. */
function lineOf(json: unknown): Buffer {
  const text = JSON.stringify(json)
  return Buffer.from(`${crc32(text).toString(16).padStart(8, '0')} ${text}\n`)
}

function jsonOf(bytes: Uint8Array): unknown {
  const text = new TextDecoder().decode(bytes)
  const json = text.slice(9)
  if (text.slice(0, 9) === `${crc32(json).toString(16).padStart(8, '0')} `) return JSON.parse(json)
  throw new Error('its checksum is wrong')
}

function writeWhole(file: number, bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
  return bytes.length
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  fsyncSync(handle)
  closeSync(handle)
}

function failure(cause: unknown, path: string): SmartLayerError {
  const code = (cause as NodeJS.ErrnoException).code
  if (isSmartLayerError(cause)) return cause
  return SmartLayerError.because(cause, code === 'ENOSPC' ? 'store.full' : 'store.failed', {
    operation: `write ${path}`,
  })
}
