/** How streams rest on disk at home anchors: heads, entries by place, and the index of subsets. */
import {
  type Bytes32,
  bytes32,
  EMPTY_SUBSET,
  emptyStream,
  optional,
  record,
  type StreamItem,
  type StreamState,
  type SubsetState,
  streamItemShape,
  uint,
} from '@smartlayer/protocol'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Store, Write } from '../ports/store.ts'

const stateShape = record({
  stream: bytes32,
  epoch: uint(64),
  sequence: uint(64),
  head: bytes32,
  frozenAfter: optional(uint(64)),
})
const subsetShape = record({ sequence: uint(64), head: bytes32 })
const storedItemShape = record({ item: streamItemShape, uid: bytes32 })
const placeShape = record({ sequence: uint(64) })
const STREAM_LIMIT = 10_000

export type StoredItem = { readonly item: StreamItem; readonly uid: Bytes32 }

export class StreamStore {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  states(): readonly StreamState[] {
    const rows = this.#store.range({ from: 'stream-head/', to: 'stream-head/~', limit: STREAM_LIMIT })
    return rows.map(([, value]) => stateShape.parse(decodeJson(value), 'stream'))
  }

  state(stream: Bytes32): StreamState {
    const value = this.#store.get(`stream-head/${stream}`)
    return value ? stateShape.parse(decodeJson(value), 'stream') : emptyStream(stream)
  }

  subset(stream: Bytes32, subset: Bytes32): SubsetState {
    const value = this.#store.get(`subset-head/${stream}/${subset}`)
    return value ? subsetShape.parse(decodeJson(value), 'subset') : EMPTY_SUBSET
  }

  /** The entry at a place of the stream. */
  at(stream: Bytes32, sequence: bigint): StoredItem | undefined {
    const value = this.#store.get(itemKey(stream, sequence))
    return value && (storedItemShape.parse(decodeJson(value), 'item') as StoredItem)
  }

  /** Entries of the stream after a sequence, in order. */
  after(stream: Bytes32, sequence: bigint, limit: number): readonly StoredItem[] {
    const rows = this.#store.range({ from: itemKey(stream, sequence + 1n), to: `stream/${stream}/~`, limit })
    return rows.map(([, value]) => storedItemShape.parse(decodeJson(value), 'item') as StoredItem)
  }

  /** Entries of one subset after a sub-sequence, in order. */
  subsetAfter(
    stream: Bytes32,
    { subset, after, limit }: { subset: Bytes32; after: bigint; limit: number },
  ): readonly StoredItem[] {
    const prefix = `subset/${stream}/${subset}/`
    const rows = this.#store.range({ from: prefix + padded(after + 1n), to: `${prefix}~`, limit })
    return rows.flatMap(([, value]) => this.at(stream, placeShape.parse(decodeJson(value), 'place').sequence) ?? [])
  }

  stateWrite(state: StreamState): Write {
    return { key: `stream-head/${state.stream}`, value: encodeJson(stateShape.toJson(state)) }
  }

  /** Everything that one admitted entry changes. */
  writes(
    stored: StoredItem,
    place: { sequence: bigint; subset: Bytes32; subSequence: bigint },
    next: { state: StreamState; subset: SubsetState },
  ): readonly Write[] {
    const { stream } = next.state
    return [
      this.stateWrite(next.state),
      { key: `subset-head/${stream}/${place.subset}`, value: encodeJson(subsetShape.toJson(next.subset)) },
      { key: itemKey(stream, place.sequence), value: encodeJson(storedItemShape.toJson(stored)) },
      {
        key: `subset/${stream}/${place.subset}/${padded(place.subSequence)}`,
        value: encodeJson(placeShape.toJson({ sequence: place.sequence })),
      },
    ]
  }

  /** A fork proof: the second entry that the issuer signed for a place. */
  forkWrite(stream: Bytes32, sequence: bigint, rival: StoredItem): Write {
    return { key: `fork/${stream}/${padded(sequence)}`, value: encodeJson(storedItemShape.toJson(rival)) }
  }
}

function itemKey(stream: Bytes32, sequence: bigint): string {
  return `stream/${stream}/${padded(sequence)}`
}

function padded(value: bigint): string {
  return String(value).padStart(20, '0')
}
