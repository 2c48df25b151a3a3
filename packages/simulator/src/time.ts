/** One event queue on virtual time, and the trace of everything that happened on it. */
import { hashText } from './random.ts'

const LAST_EVENTS = 50
type Event = { readonly at: number; readonly order: number; readonly run: () => void; cancelled: boolean }

/** A rolling hash of all that happened, and the last events in words. */
export class Trace {
  readonly last: string[] = []
  readonly #listen: ((line: string) => void) | undefined
  count = 0
  #a = 0x811c9dc5
  #b = 0x2545f491

  constructor(listen?: (line: string) => void) {
    this.#listen = listen
  }

  /** `text` says what happened; `body` only moves the hash. */
  note(now: number, text: string, body = ''): void {
    this.count++
    const line = `${now.toFixed(1).padStart(9)} ${text}`
    this.#a = hashText(body, hashText(line, this.#a))
    this.#b = hashText(line, Math.imul(this.#b, 31) ^ body.length)
    this.#listen?.(line)
    this.last.push(line)
    if (this.last.length > 2 * LAST_EVENTS) this.last.splice(0, LAST_EVENTS)
  }

  get hash(): string {
    return (this.#a >>> 0).toString(16).padStart(8, '0') + (this.#b >>> 0).toString(16).padStart(8, '0')
  }

  get lastEvents(): readonly string[] {
    return this.last.slice(-LAST_EVENTS)
  }
}

/** Runs events in order of time, then of their making; one macrotask turn drains all promises between two events. */
export class VirtualTime {
  readonly #heap: Event[] = []
  #order = 0
  now = 0
  events = 0

  at(delayMs: number, run: () => void): () => void {
    const event: Event = { at: this.now + Math.max(0, delayMs), order: this.#order++, run, cancelled: false }
    this.#push(event)
    return () => {
      event.cancelled = true
    }
  }

  /** Runs all events up to `untilMs`, or until `stop` says so. */
  async run(untilMs: number, stop: () => boolean): Promise<void> {
    await turn()
    for (let next = this.#heap[0]; next && next.at <= untilMs && !stop(); next = this.#heap[0]) {
      this.#pop()
      if (next.cancelled) continue
      this.now = next.at
      this.events++
      next.run()
      await turn()
    }
    if (!stop()) this.now = untilMs
  }

  #push(event: Event): void {
    const heap = this.#heap
    let i = heap.push(event) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
  }
}

function before(a: Event, b: Event): boolean {
  return a.at !== b.at ? a.at < b.at : a.order < b.order
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
