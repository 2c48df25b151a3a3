/** What was committed when, as far as one anchor looked: how old a position is that somebody answers from. */
import type { Bytes32 } from '@smartlayer/protocol'

const INSTANCE_LIMIT = 1_024
const MARK_LIMIT = 32

type Mark = { readonly n: bigint; readonly at: number }

export class Positions {
  readonly #marks = new Map<Bytes32, Mark[]>()

  /** Notes that this place is committed now. */
  note(instance: Bytes32, n: bigint, now: number): void {
    const marks = this.#marks.get(instance) ?? []
    this.#marks.delete(instance) // what was looked at last is forgotten last
    this.#marks.set(instance, marks)
    if ((marks.at(-1)?.n ?? -1n) < n) marks.push({ n, at: now })
    if (marks.length > MARK_LIMIT) marks.shift()
    const [oldest] = this.#marks.keys()
    if (this.#marks.size > INSTANCE_LIMIT && oldest !== undefined) this.#marks.delete(oldest)
  }

  /** For how long at least something later than `n` has been committed; 0 for who is up to date. */
  stalenessMs(instance: Bytes32, n: bigint, now: number): number {
    const later = this.#marks.get(instance)?.find((mark) => mark.n > n)
    return later ? now - later.at : 0
  }
}
