/** Virtual time: events in order of time, and one macrotask turn between two of them so that promises settle. */
import type { Cancel } from '@smartlayer/node'

type Event = { readonly at: number; readonly order: number; readonly run: () => void; cancelled: boolean }

export class EventQueue {
  /** Milliseconds since the world began. */
  now = 0
  /** Events that ran. */
  count = 0
  readonly #heap: Event[] = []
  #order = 0

  after(delayMs: number, run: () => void): Cancel {
    const event: Event = { at: this.now + Math.max(0, delayMs), order: this.#order++, run, cancelled: false }
    this.#push(event)
    return () => {
      event.cancelled = true
    }
  }

  /** Runs everything up to `until` (virtual ms), or until `done` says so. */
  async run(until: number, done: () => boolean = () => false): Promise<void> {
    while (this.#heap[0] && this.#heap[0].at <= until && !done()) {
      const event = this.#pop()
      if (event.cancelled) continue
      this.now = event.at
      this.count++
      event.run()
      await settled()
    }
    if (!done()) this.now = Math.max(this.now, until)
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(heap[at]!, heap[parent]!)) break
      ;[heap[at], heap[parent]] = [heap[parent]!, heap[at]!]
      at = parent
    }
  }

  #pop(): Event {
    const heap = this.#heap
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length > 0) {
      heap[0] = last
      this.#sink()
    }
    return first
  }

  #sink(): void {
    const heap = this.#heap
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2]
      let least = at
      if (left < heap.length && before(heap[left]!, heap[least]!)) least = left
      if (right < heap.length && before(heap[right]!, heap[least]!)) least = right
      if (least === at) return
      ;[heap[at], heap[least]] = [heap[least]!, heap[at]!]
      at = least
    }
  }
}

function before(a: Event, b: Event): boolean {
  return a.at === b.at ? a.order < b.order : a.at < b.at
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
