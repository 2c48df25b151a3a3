/** One writer per aggregate: tasks of one key run one after another, in order, within a bound. */
import { SmartLayerError } from '@smartlayer/protocol'

export class Serial {
  readonly #waiting = new Map<string, (() => Promise<void>)[]>()
  readonly #limit: number
  readonly #onError: (error: unknown) => void

  /** `limit` tasks may wait per key; errors of tasks go to `onError` and do not stop the key. */
  constructor(limit: number, onError: (error: unknown) => void) {
    this.#limit = limit
    this.#onError = onError
  }

  /** Queues a task. Throws `queue.full` when too many wait for this key. */
  run(key: string, task: () => Promise<void> | void): void {
    const waiting = this.#waiting.get(key)
    const guarded = async () => {
      try {
        await task()
      } catch (error) {
        this.#onError(error)
      }
    }
    if (!waiting) {
      this.#waiting.set(key, [])
      void this.#drain(key, guarded)
    } else if (waiting.length >= this.#limit) {
      throw SmartLayerError.of('queue.full', { queue: key, limit: this.#limit })
    } else {
      waiting.push(guarded)
    }
  }

  async #drain(key: string, first: () => Promise<void>): Promise<void> {
    for (let next: (() => Promise<void>) | undefined = first; next; next = this.#waiting.get(key)?.shift()) await next()
    this.#waiting.delete(key)
  }
}
