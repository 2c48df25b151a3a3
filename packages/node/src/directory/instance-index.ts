/** Which instances this anchor keeps records of, and of which token each is: known from the first moment after a start. */
import { type Bytes32, type Hasher, parseTokenRef, SmartLayerError, tokenOf } from '@smartlayer/protocol'
import type { Store } from '../ports/store.ts'

const PREFIX = 'active/'
export const INSTANCE_LIMIT = 100_000

type Indexed = { readonly text: string; readonly token: Bytes32 }

export class InstanceIndex {
  readonly #store: Store
  readonly #keccak: Hasher
  readonly #instances = new Map<Bytes32, Indexed>()

  constructor({ store }: { store: Store }, keccak: Hasher) {
    this.#store = store
    this.#keccak = keccak
    for (const [key, value] of store.range({ from: PREFIX, to: `${PREFIX}~`, limit: INSTANCE_LIMIT })) {
      this.#note(key.slice(PREFIX.length) as Bytes32, new TextDecoder().decode(value))
    }
  }

  get texts(): readonly string[] {
    return [...this.#instances.values()].map(({ text }) => text)
  }

  tokenOf(instance: Bytes32): Bytes32 | undefined {
    return this.#instances.get(instance)?.token
  }

  /** The CAIP-19 id of an instance's token. */
  textOf(instance: Bytes32): string | undefined {
    return this.#instances.get(instance)?.text
  }

  /** All instances, each with its token. */
  get tokens(): Iterable<readonly [instance: Bytes32, token: Bytes32]> {
    return [...this.#instances].map(([instance, { token }]) => [instance, token] as const)
  }

  /** Keeps an instance, by the CAIP-19 id of its token. Throws `queue.full` and `token.malformed`. */
  async add(instance: Bytes32, text: string): Promise<void> {
    if (this.#instances.has(instance)) return
    if (this.#instances.size >= INSTANCE_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'instances', limit: INSTANCE_LIMIT })
    await this.#store.commit([{ key: PREFIX + instance, value: new TextEncoder().encode(text) }])
    this.#note(instance, text)
  }

  #note(instance: Bytes32, text: string): void {
    this.#instances.set(instance, { text, token: tokenOf(parseTokenRef(text), this.#keccak) })
  }
}
