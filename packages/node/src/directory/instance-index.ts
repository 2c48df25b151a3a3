/** Which instances this anchor keeps records of, of which token each is, and which sleep: known from the first moment after a start. */
import {
  type Bytes32,
  bool,
  type Hasher,
  parseTokenRef,
  record,
  SmartLayerError,
  TOKEN_TEXT_LIMIT,
  text,
  tokenOf,
} from '@smartlayer/protocol'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Store } from '../ports/store.ts'

const PREFIX = 'active/'
export const INSTANCE_LIMIT = 100_000

type Indexed = { readonly text: string; readonly token: Bytes32; readonly asleep: boolean }

const rowShape = record({ token: text(TOKEN_TEXT_LIMIT), asleep: bool })

export class InstanceIndex {
  readonly #store: Store
  readonly #keccak: Hasher
  readonly #instances = new Map<Bytes32, Indexed>()

  constructor({ store }: { store: Store }, keccak: Hasher) {
    this.#store = store
    this.#keccak = keccak
    for (const [key, value] of store.range({ from: PREFIX, to: `${PREFIX}~`, limit: INSTANCE_LIMIT })) {
      const row = rowShape.parse(decodeJson(value), 'instance')
      this.#note(key.slice(PREFIX.length) as Bytes32, row.token, row.asleep)
    }
  }

  /** Tokens of the instances that are awake. */
  get awake(): readonly string[] {
    return [...this.#instances.values()].filter(({ asleep }) => !asleep).map(({ text }) => text)
  }

  get sleepers(): readonly Bytes32[] {
    return [...this.#instances].filter(([, { asleep }]) => asleep).map(([instance]) => instance)
  }

  isAsleep(instance: Bytes32): boolean {
    return this.#instances.get(instance)?.asleep ?? false
  }

  async setAsleep(instance: Bytes32, asleep: boolean): Promise<void> {
    const known = this.#instances.get(instance)
    if (!known || known.asleep === asleep) return
    await this.#write(instance, known.text, asleep)
    this.#note(instance, known.text, asleep)
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
    await this.#write(instance, text, false)
    this.#note(instance, text, false)
  }

  #write(instance: Bytes32, token: string, asleep: boolean): Promise<void> {
    return this.#store.commit([{ key: PREFIX + instance, value: encodeJson(rowShape.toJson({ token, asleep })) }])
  }

  #note(instance: Bytes32, text: string, asleep: boolean): void {
    this.#instances.set(instance, { text, token: tokenOf(parseTokenRef(text), this.#keccak), asleep })
  }
}
