/** What every process of the soak writes down: each call and each answer, one line each, before anything follows from it. */
import { createHash } from 'node:crypto'
import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** An entry as some answer showed it. `digest` is that of all its bytes: body, attestation, signature and proof. */
export type Seen = {
  /** Place in what was read: the stream, or one subset of it. */
  readonly at: number
  readonly sequence: number
  readonly uid: string
  readonly digest: string
}

/** An entry as an anchor holds it, with what links it to others. */
export type Held = Seen & {
  readonly epoch: number
  readonly previous: string
  readonly subset: string
  readonly subSequence: number
  readonly subPrevious: string
  readonly body: string
}

/** `body` is a digest; every body is published once. `line` is the place in a batch that never ends. */
export type Publish = {
  readonly stream: string
  readonly subset: string
  readonly body: string
  readonly line?: number | undefined
}

export type Acknowledged = {
  readonly sequence: number
  /** A batch tells places alone. */
  readonly uid?: string | undefined
  readonly digest?: string | undefined
  /** Home anchors whose signature over the receipt was checked. */
  readonly signers?: number | undefined
}

/** `held` is a page that is read when all is over, to see what an anchor has. */
export type Read = {
  readonly how: 'events' | 'sockets' | 'live' | 'page' | 'held'
  readonly stream: string
  readonly subset?: string | undefined
  /** Readers that go on from their own cursor have a name; it is one sequence, through all their calls. */
  readonly reader?: string | undefined
  /** Left out where the SDK chooses. */
  readonly anchor?: string | undefined
  readonly after: number
}

export type Head = {
  readonly anchor: string
  readonly stream: string
  readonly sequence: number
  readonly certified: number
  readonly uid: string
}

/** How far a service node has come in a subset that an instance on it follows. */
export type Followed = {
  readonly node: string
  readonly stream: string
  readonly subset: string
  readonly after: number
}

/** `info` ends a call of which nobody knows whether it had an effect, or only tells something. */
export type What =
  | ({ readonly kind: 'invoke'; readonly f: 'publish' } & Publish)
  | ({ readonly kind: 'ok'; readonly f: 'publish' } & Acknowledged)
  | { readonly kind: 'fail' | 'info'; readonly f: 'publish'; readonly code: string }
  | ({ readonly kind: 'invoke'; readonly f: 'read' } & Read)
  | { readonly kind: 'ok'; readonly f: 'read'; readonly entries: readonly (Seen | Held)[] }
  | { readonly kind: 'fail' | 'info'; readonly f: 'read'; readonly code: string }
  | ({ readonly kind: 'info'; readonly f: 'head' } & Head)
  | ({ readonly kind: 'info'; readonly f: 'followed' } & Followed)
  | { readonly kind: 'invoke'; readonly f: 'fault'; readonly name: string; readonly detail: string }
  | { readonly kind: 'ok' | 'fail'; readonly f: 'fault'; readonly name: string; readonly detail: string }
  /** An answer that nothing excuses: it contradicts its own signature, its place, or what the API promises. */
  | { readonly kind: 'info'; readonly f: 'wrong'; readonly detail: string }
  | { readonly kind: 'info'; readonly f: 'life'; readonly state: 'began' | 'settled' | 'ended' }

export type Line = {
  readonly process: string
  /** Counts how often the process was started. */
  readonly life: number
  readonly op: number
  /** Milliseconds since 1970, and on the one clock that all processes of a machine share and nobody sets. */
  readonly wall: number
  readonly mono: number
} & What

const NEW_LINE = 10

/** The history of one process, gone on with after it was killed. */
export class Recorder {
  readonly #file: number
  readonly #head: Pick<Line, 'process' | 'life'>
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
  write(op: number, what: What): void {
    const mono = Number(process.hrtime.bigint() / 1_000n) / 1_000
    const line: Line = { ...this.#head, op, wall: Date.now(), mono, ...what }
    writeSync(this.#file, `${JSON.stringify(line)}\n`)
  }

  close(): void {
    this.write(0, { kind: 'info', f: 'life', state: 'ended' })
    closeSync(this.#file)
  }
}

/** The lines of one process so far. */
export function historyOf(folder: string, process: string): readonly Line[] {
  return parseHistory(readFileSync(pathOf(folder, process), 'utf8'))
}

/** The lines of all processes, each process in its own order. */
export function readHistory(folder: string): readonly Line[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.jsonl'))
  return names.sort().flatMap((name) => parseHistory(readFileSync(join(folder, name), 'utf8')))
}

/** A last line without its end was torn by a kill and counts as not written. */
export function parseHistory(text: string): readonly Line[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)
}

/** Short digests keep a history of millions of answers small; an accident of 128 bits does not happen. */
export function shortDigest(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex').slice(0, 32)
}

function pathOf(folder: string, process: string): string {
  return join(folder, `${process}.jsonl`)
}
