/** Scripts kept by this anchor, by content: what `/ipfs/<cid>` serves. */
import { SmartLayerError } from '@smartlayer/protocol'
import { cidOf } from '@smartlayer/tokenscript'
import type { Content } from '../ports/content.ts'
import type { Store } from '../ports/store.ts'

/** Largest script file, in bytes. */
export const SCRIPT_LIMIT = 1_000_000
/** Scripts that one anchor keeps. */
const SCRIPT_COUNT_LIMIT = 1_000
const PREFIX = 'script/'

export class ScriptStore implements Content {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async get(cid: string): Promise<Uint8Array | undefined> {
    return this.#store.get(PREFIX + cid)
  }

  /** Keeps a file durably; the same file again is no change. Throws `script.too_large`, `queue.full`. */
  async put(bytes: Uint8Array): Promise<string> {
    if (bytes.length > SCRIPT_LIMIT)
      throw SmartLayerError.of('script.too_large', { bytes: bytes.length, limit: SCRIPT_LIMIT })
    const cid = cidOf(bytes)
    if (this.#store.get(PREFIX + cid)) return cid
    const kept = this.#store.range({ from: PREFIX, to: `${PREFIX}~`, limit: SCRIPT_COUNT_LIMIT }).length
    if (kept >= SCRIPT_COUNT_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'scripts', limit: SCRIPT_COUNT_LIMIT })
    await this.#store.commit([{ key: PREFIX + cid, value: bytes }])
    return cid
  }
}

/** Content of this node, else of others, and kept from then on: what was used here is here after a restart, and for others. */
export function keptContent(own: ScriptStore, others: Content): Content {
  return {
    async get(cid) {
      const known = await own.get(cid)
      if (known) return known
      const bytes = await others.get(cid)
      if (bytes) await own.put(bytes).catch(() => undefined) // not kept, it is asked of others again
      return bytes
    },
  }
}
