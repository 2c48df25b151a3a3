/** Results of queries: computed once for equal keys, also when they are asked for at the same time, and kept within a bound. */
import { SmartLayerError } from '@smartlayer/protocol'
import type { Telemetry } from '../ports/telemetry.ts'
import { KeptWithin } from './kept-within.ts'

/** Different results that may be under way at a time. */
const UNDER_WAY_LIMIT = 1_024

export class ResultCache {
  readonly #kept: KeptWithin<string>
  readonly #underWay = new Map<string, Promise<string>>()
  readonly #telemetry: Pick<Telemetry, 'count'>

  constructor(limitBytes: number, telemetry: Pick<Telemetry, 'count'>) {
    this.#kept = new KeptWithin(limitBytes)
    this.#telemetry = telemetry
  }

  get bytes(): number {
    return this.#kept.bytes
  }

  /** Failures are told to all who wait, and not kept. Throws `queue.full`. */
  get(key: string, compute: () => Promise<string>): Promise<string> {
    const kept = this.#kept.get(key)
    if (kept !== undefined) {
      this.#count('cache')
      return Promise.resolve(kept)
    }
    const underWay = this.#underWay.get(key)
    if (underWay) {
      this.#count('shared')
      return underWay
    }
    if (this.#underWay.size >= UNDER_WAY_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'queries', limit: UNDER_WAY_LIMIT })
    this.#count('sandbox')
    const made = this.#compute(key, compute)
    this.#underWay.set(key, made)
    return made
  }

  /** For auditors: computed anew, whatever is known, and not kept. */
  bypass(compute: () => Promise<string>): Promise<string> {
    this.#count('bypass')
    return compute()
  }

  async #compute(key: string, compute: () => Promise<string>): Promise<string> {
    try {
      const result = await compute()
      this.#kept.set(key, result, result.length)
      return result
    } finally {
      this.#underWay.delete(key)
    }
  }

  #count(from: 'cache' | 'shared' | 'sandbox' | 'bypass'): void {
    this.#telemetry.count('smartlayer_query_results_total', { from })
  }
}
