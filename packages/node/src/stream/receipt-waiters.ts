/** Who waits until an entry has its receipt: journals, for a moment each. */
import type { Bytes32 } from '@smartlayer/protocol'
import type { Clock } from '../ports/clock.ts'

const WAITING_LIMIT = 4_096

type Waiter = { readonly run: () => void; readonly until: number }

export class ReceiptWaiters {
  readonly #clock: Clock
  readonly #keepMs: number
  readonly #waiting = new Map<string, readonly Waiter[]>()
  #size = 0

  /** Waiters are forgotten after `keepMs`. */
  constructor(clock: Clock, keepMs: number) {
    this.#clock = clock
    this.#keepMs = keepMs
  }

  get size(): number {
    return this.#size
  }

  /** Calls `run` once the place has its receipt. Where too many wait it is not called: who waits asks again. */
  add(stream: Bytes32, sequence: bigint, run: () => void): void {
    if (this.#size >= WAITING_LIMIT) return
    const key = keyOf(stream, sequence)
    const until = this.#clock.monotonic() + this.#keepMs
    this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), { run, until }])
    this.#size++
  }

  /** The places from `from` up to `to` have their receipt. */
  run(stream: Bytes32, from: bigint, to: bigint): void {
    for (let sequence = from; sequence <= to && this.#size > 0; sequence++) {
      const key = keyOf(stream, sequence)
      const waiting = this.#waiting.get(key) ?? []
      this.#waiting.delete(key)
      this.#size -= waiting.length
      for (const { run } of waiting) run()
    }
  }

  forgetOld(): void {
    const now = this.#clock.monotonic()
    for (const [key, waiting] of this.#waiting) {
      const left = waiting.filter(({ until }) => until > now)
      if (left.length === 0) this.#waiting.delete(key)
      else if (left.length < waiting.length) this.#waiting.set(key, left)
      this.#size -= waiting.length - left.length
    }
  }
}

function keyOf(stream: Bytes32, sequence: bigint): string {
  return `${stream}/${sequence}`
}
