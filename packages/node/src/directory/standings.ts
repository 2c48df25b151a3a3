/** In which home epoch this anchor stands for each shard: on disk before anything is said that rests on it. */
import {
  type Bytes32,
  FIRST_EPOCH,
  type HomeStanding,
  NO_STANDING,
  record,
  signingEpoch,
  uint,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Store, Write } from '../ports/store.ts'

const PREFIX = 'standing/'
const SHARD_LIMIT = 1 << 22
const standingShape = record({ sealed: uint(64), opened: uint(64) })

export class Standings {
  readonly #store: Store
  readonly #context: Pick<NodeContext, 'homes'>
  readonly #standings = new Map<number, HomeStanding>()

  constructor({ store }: { store: Store }, context: Pick<NodeContext, 'homes'>) {
    this.#store = store
    this.#context = context
    for (const [key, value] of store.range({ from: PREFIX, to: `${PREFIX}~`, limit: SHARD_LIMIT })) {
      this.#standings.set(Number(key.slice(PREFIX.length)), standingShape.parse(decodeJson(value), 'standing'))
    }
  }

  /** The first home set of a network has nothing to take over: it stands as soon as it is drawn. */
  of(shard: number): HomeStanding {
    const known = this.#standings.get(shard)
    if (known) return known
    const first = this.#context.homes().history(shard).at(-1)!.epoch
    return first === FIRST_EPOCH ? { sealed: first, opened: first } : NO_STANDING
  }

  /** The home epoch in which this anchor may sign for a subject. */
  epochFor(subject: Bytes32): bigint | undefined {
    return signingEpoch(this.of(this.#context.homes().shardOf(subject)))
  }

  /** All or none; in force once they are on disk. */
  async enter(standings: ReadonlyMap<number, HomeStanding>): Promise<void> {
    await this.#store.commit([...standings].map(([shard, standing]) => writeOf(shard, standing)))
    for (const [shard, standing] of standings) this.#standings.set(shard, standing)
  }
}

function writeOf(shard: number, standing: HomeStanding): Write {
  return { key: PREFIX + String(shard).padStart(8, '0'), value: encodeJson(standingShape.toJson(standing)) }
}
