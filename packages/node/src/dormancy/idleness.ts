/** When an instance is put to sleep: nothing came, nobody asked and nothing is open for a while. Kept by its executor. */

import type { InstanceState } from '@smartlayer/protocol'
import { isOpen } from '@smartlayer/protocol'
import type { Clock } from '../ports/clock.ts'

export class Idleness {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #idleMs: number
  #usedAt: number
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(clock: Pick<Clock, 'monotonic'>, idleMs: number) {
    this.#clock = clock
    this.#idleMs = idleMs
    this.#usedAt = clock.monotonic()
  }

  /** Something happened, here or, as they say, at another replica. */
  used(): void {
    this.#usedAt = this.#clock.monotonic()
  }

  /** True when the executor should hear that this replica is in use; not more often than it must. */
  isToBeTold(): boolean {
    const now = this.#clock.monotonic()
    if (now - this.#toldAt < this.#idleMs / 4) return false
    this.#toldAt = now
    return true
  }

  /** Effects that are under way, or wait for somebody to settle them, keep an instance awake. */
  isOver(state: InstanceState): boolean {
    return this.#clock.monotonic() - this.#usedAt >= this.#idleMs && !state.effects.some(isOpen)
  }
}
