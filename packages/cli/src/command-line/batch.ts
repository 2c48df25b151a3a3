/** Publishes the facts of a file so that a run that was cut off goes on exactly where it stood. */
import { randomBytes } from 'node:crypto'
import {
  type Bytes32,
  bytes32,
  integer,
  isSmartLayerError,
  record,
  type Shape,
  SmartLayerError,
  text,
} from '@smartlayer/protocol'
import type { BatchFact, BatchProgress, Issuer, Mark } from '@smartlayer/sdk/server'
import { readJson, writeDurably } from '../local-network/keys.ts'
import { type FactFile, type FactLine, factsOf } from './fact-file.ts'
import { printable } from './output.ts'

/** Bad lines that are named; the others are counted. */
const NAMED_LIMIT = 20
/** With --skip-bad, facts that only anchors refused: each costs the stream an epoch. */
const REFUSED_LIMIT = 100
const WRITE_EVERY_MS = 1_000

export type BadLine = { readonly line: number; readonly problem: string }

/** What was found in a file before anything of it was signed. */
export type Validated = { readonly facts: number; readonly bad: number; readonly named: readonly BadLine[] }

/** How far a batch has come, in a file beside its own; it may lag behind the outbox, never the other way round. */
export type Progress = { readonly run: string; readonly stream: Bytes32; readonly mark: Mark | undefined }

const progressShape: Shape<{ run: string; stream: Bytes32; line: number; digest: string }> = record({
  run: text(64),
  stream: bytes32,
  line: integer(0, Number.MAX_SAFE_INTEGER),
  digest: text(64),
})

export type BatchReport = {
  readonly published: number
  readonly first: bigint | undefined
  readonly last: bigint | undefined
  readonly receipts: number
  /** Lines that only anchors refused. */
  readonly refused: readonly BadLine[]
  /** Facts before the line at which this run began. */
  readonly before: number
}

export type BatchOptions = {
  readonly file: FactFile
  readonly progressPath: string
  readonly skipBad: boolean
  readonly signal: AbortSignal
  /** `before` facts were published by earlier runs. */
  readonly onProgress: (progress: {
    readonly before: number
    readonly published: number
    readonly sequence: bigint
  }) => void
}

/** Reads the whole file once. Throws `file.bad_line` for the first bad line, unless those are to be left out. */
export async function validate(
  file: FactFile,
  issuer: Issuer,
  { skipBad, onBad }: { skipBad: boolean; onBad: (bad: BadLine) => void },
): Promise<Validated> {
  let [facts, bad] = [0, 0]
  const named: BadLine[] = []
  for await (const line of factsOf(file)) {
    const problem = problemOf(line, issuer)
    if (problem === undefined) facts++
    else {
      bad++
      const found = { line: line.first, problem }
      if (named.length < NAMED_LIMIT) onBad(found)
      if (named.length < NAMED_LIMIT) named.push(found)
      if ('isLost' in line && line.isLost) throw badLine(file.path, named[0]!, bad - 1)
    }
  }
  if (bad > 0 && !skipBad) throw badLine(file.path, named[0]!, bad - 1)
  return { facts, bad, named }
}

/** Begins a batch, or finds one that was cut off. Throws `config.invalid` for the progress of another stream. */
export function openProgress(path: string, stream: Bytes32): Progress {
  const known = readProgress(path)
  if (!known) {
    const begun = { run: randomBytes(8).toString('hex'), stream, mark: undefined }
    writeProgress(path, begun)
    return begun
  }
  if (known.stream === stream) return known
  throw SmartLayerError.of('config.invalid', {
    at: path,
    expected: `progress in stream ${stream}, not ${known.stream}`,
  })
}

/**
 * Publishes what is not published yet, in order. Throws `file.changed` when the lines before differ from what was published,
 * and what a fact was refused for as `file.bad_line`.
 */
export async function publishFile(issuer: Issuer, progress: Progress, options: BatchOptions): Promise<BatchReport> {
  const { file, signal, skipBad, progressPath } = options
  await issuer.settle()
  const batch = new Batch(progress, issuer, options)
  try {
    for (;;) {
      try {
        const { receipts } = await issuer.attestMany(batch.facts(), { signal, onProgress: (made) => batch.note(made) })
        batch.receipts += receipts
        return batch.report()
      } catch (error) {
        const refused = batch.failed()
        if (refused === undefined || !isSmartLayerError(error) || error.kind !== 'invalid') throw error
        if (error.code === 'file.bad_line') throw error
        const found = { line: refused, problem: error.message.replace(/\.$/, '') }
        if (!skipBad || batch.refused.length >= REFUSED_LIMIT) throw badLine(file.path, found, 0, error)
        batch.refused.push(found)
      }
    }
  } finally {
    writeProgress(progressPath, batch.progress)
  }
}

/** One run over the file: where it stands, and what it left out. */
class Batch {
  /** Lines that anchors refused. */
  readonly refused: BadLine[] = []
  receipts = 0
  progress: Progress
  readonly #issuer: Issuer
  readonly #options: BatchOptions
  #published = 0
  #before = 0
  #first: bigint | undefined
  #last: bigint | undefined
  #writtenAt = 0
  /** First lines of facts that were handed over and have no receipt. */
  #open: number[] = []

  constructor(progress: Progress, issuer: Issuer, options: BatchOptions) {
    this.#issuer = issuer
    this.#options = options
    const signed = issuer.markOf(progress.run)
    const isFurther = signed && signed.line > (progress.mark?.line ?? 0)
    this.progress = isFurther ? { ...progress, mark: signed } : progress
    writeProgress(options.progressPath, this.progress)
  }

  /** The facts after the mark, those that are bad left out. */
  async *facts(): AsyncGenerator<BatchFact, void, undefined> {
    const { file } = this.#options
    const { run, mark } = this.progress
    let isReached = mark === undefined
    this.#before = 0
    this.#open = []
    for await (const line of factsOf(file)) {
      if (mark && line.last <= mark.line) {
        if (line.last === mark.line) isReached = line.digest() === mark.digest
        if ('fact' in line) this.#before++
        continue
      }
      if (!isReached) break
      if (this.refused.some((known) => known.line === line.first)) continue
      const problem = problemOf(line, this.#issuer)
      if (problem !== undefined) {
        if (!this.#options.skipBad) throw badLine(file.path, { line: line.first, problem }, 0)
      } else if ('fact' in line) {
        this.#open.push(line.first)
        yield { ...line.fact, mark: { run, line: line.last, digest: line.digest() } }
      }
    }
    if (!isReached) throw SmartLayerError.of('file.changed', { path: file.path, line: mark?.line ?? 0 })
  }

  note({ sequence, mark }: BatchProgress): void {
    this.#published++
    this.#first ??= sequence
    this.#last = sequence
    this.#open.shift()
    if (mark) this.progress = { ...this.progress, mark }
    const now = performance.now()
    if (now - this.#writtenAt > WRITE_EVERY_MS) {
      this.#writtenAt = now
      writeProgress(this.#options.progressPath, this.progress)
    }
    this.#options.onProgress({ before: this.#before, published: this.#published, sequence })
  }

  /** The line of the fact at which a run ended, when it was one of its facts. */
  failed(): number | undefined {
    return this.#open[0]
  }

  report(): BatchReport {
    return {
      published: this.#published,
      first: this.#first,
      last: this.#last,
      receipts: this.receipts,
      refused: this.refused,
      before: this.#before,
    }
  }
}

function problemOf(line: FactLine, issuer: Issuer): string | undefined {
  if ('problem' in line) return line.problem
  try {
    issuer.check(line.fact)
    return undefined
  } catch (error) {
    if (!isSmartLayerError(error)) throw error
    return error.message.replace(/\.$/, '')
  }
}

function badLine(path: string, { line, problem }: BadLine, more: number, cause?: unknown): SmartLayerError {
  return SmartLayerError.because(cause, 'file.bad_line', { path, line, problem: printable(problem), more })
}

function readProgress(path: string): Progress | undefined {
  const json = readJson<unknown>(path)
  if (json === undefined) return undefined
  const { run, stream, line, digest } = progressShape.parse(json, path)
  return { run, stream, mark: line > 0 ? { run, line, digest } : undefined }
}

function writeProgress(path: string, { run, stream, mark }: Progress): void {
  const json = progressShape.toJson({ run, stream, line: mark?.line ?? 0, digest: mark?.digest ?? '' })
  writeDurably(path, `${JSON.stringify(json, null, 2)}\n`)
}
