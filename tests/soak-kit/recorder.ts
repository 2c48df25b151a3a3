/** Histories of processes: each call and each answer one line, written before anything follows from it. */
import { createHash } from 'node:crypto'
import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export type Life = { readonly kind: 'info'; readonly f: 'life'; readonly state: 'began' | 'settled' | 'ended' }

export type Line<What> = {
  readonly process: string
  /** Counts how often the process was started. */
  readonly life: number
  readonly op: number
  /** Milliseconds since 1970, and on the one clock that all processes of a machine share and nobody sets. */
  readonly wall: number
  readonly mono: number
} & (What | Life)

const NEW_LINE = 10

/** The history of one process, gone on with after it was killed. */
export class Recorder<What extends { readonly kind: string }> {
  readonly #file: number
  readonly #head: { readonly process: string; readonly life: number }
  #ops = 0

  constructor(folder: string, process: string, life: number) {
    const path = pathOf(folder, process)
    this.#file = openSync(path, 'a+')
    this.#head = { process, life }
    const bytes = readFileSync(path)
    // What a kill tore was never told to anybody.
    if (bytes.length > 0 && bytes.at(-1) !== NEW_LINE) ftruncateSync(this.#file, bytes.lastIndexOf(NEW_LINE) + 1)
    this.write(0, { kind: 'info', f: 'life', state: 'began' })
  }

  /** A new call; returns its number. */
  invoke(what: Extract<What, { kind: 'invoke' }>): number {
    const op = ++this.#ops
    this.write(op, what)
    return op
  }

  /** One write, so that a kill leaves a whole line or a torn one at the end. */
  write(op: number, what: What | Life): void {
    const mono = Number(process.hrtime.bigint() / 1_000n) / 1_000
    writeSync(this.#file, `${JSON.stringify({ ...this.#head, op, wall: Date.now(), mono, ...what })}\n`)
  }

  close(): void {
    this.write(0, { kind: 'info', f: 'life', state: 'ended' })
    closeSync(this.#file)
  }
}

/** The lines of one process so far. */
export function historyOf<What>(folder: string, process: string): readonly Line<What>[] {
  return parseHistory(readFileSync(pathOf(folder, process), 'utf8'))
}

/** The lines of all processes, each process in its own order. */
export function readHistory<What>(folder: string): readonly Line<What>[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.jsonl'))
  return names.sort().flatMap((name) => parseHistory<What>(readFileSync(join(folder, name), 'utf8')))
}

/** A last line without its end was torn by a kill and counts as not written. */
export function parseHistory<What>(text: string): readonly Line<What>[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line<What>)
}

/** Short digests keep a history of millions of answers small; an accident of 128 bits does not happen. */
export function shortDigest(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex').slice(0, 32)
}

function pathOf(folder: string, process: string): string {
  return join(folder, `${process}.jsonl`)
}
