/** What a new home anchor must have of a stream before it signs anything there: all that 2f + 1 anchors of the set before hold. */
import {
  type Address,
  address,
  type Bytes32,
  bytes32,
  type CertifiedReceipt,
  listOf,
  record,
  uint,
} from '@smartlayer/protocol'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Ports } from '../ports/ports.ts'
import type { Write } from '../ports/store.ts'
import type { HomeStreams } from './home-streams.ts'
import type { Repairer } from './repairer.ts'

const PREFIX = 'stream-taking/'
const STREAM_LIMIT = 100_000
const CLAIM_LIMIT = 31

/** An anchor of the set before says, after it sealed, that it holds the stream up to here. */
export type StreamClaim = {
  readonly anchor: Address
  readonly sequence: bigint
  readonly uid: Bytes32
  readonly receipt?: CertifiedReceipt | undefined
}
/** What a stream must hold here: `needed` of the claims. */
export type StreamTaking = { readonly needed: number; readonly claims: readonly StreamClaim[] }

const takingShape = record({
  needed: uint(16),
  claims: listOf(record({ anchor: address, sequence: uint(64), uid: bytes32 }), CLAIM_LIMIT),
})

type Options = { readonly streams: HomeStreams; readonly repairer: Repairer }

export class StreamTakeOver {
  readonly #ports: Pick<Ports, 'store' | 'telemetry'>
  readonly #options: Options
  readonly #taking = new Map<Bytes32, StreamTaking>()

  constructor(ports: Pick<Ports, 'store' | 'telemetry'>, options: Options) {
    this.#ports = ports
    this.#options = options
    for (const [key, value] of ports.store.range({ from: PREFIX, to: `${PREFIX}~`, limit: STREAM_LIMIT })) {
      const { needed, claims } = takingShape.parse(decodeJson(value), 'stream taking')
      this.#taking.set(key.slice(PREFIX.length) as Bytes32, { needed: Number(needed), claims })
    }
  }

  /** Streams that are not whole yet. */
  get size(): number {
    return this.#taking.size
  }

  /** Remembers what the anchors claim, durably: until enough of it holds here, nothing is signed in the stream. */
  async expect(expected: ReadonlyMap<Bytes32, StreamTaking>): Promise<void> {
    const writes = [...expected].map(([stream, { needed, claims }]): Write => {
      return {
        key: PREFIX + stream,
        value: encodeJson(takingShape.toJson({ needed: BigInt(needed), claims: claims.map(bare) })),
      }
    })
    await this.#ports.store.commit(writes)
    for (const [stream, taking] of expected) this.#taking.set(stream, taking)
    this.ask()
  }

  /** True when this anchor holds what the set before it may have signed for. A claim that nobody can deliver does not count. */
  isWhole(stream: Bytes32): boolean {
    const taking = this.#taking.get(stream)
    if (!taking) return true
    const held = taking.claims.filter((claim) => this.#holds(stream, claim))
    if (held.length < taking.needed) return false
    this.#taking.delete(stream)
    this.#ports.store
      .commit([{ key: PREFIX + stream, value: undefined }])
      .catch((error) => this.#ports.telemetry.log('warn', 'stream.not_written', { stream, error }))
    return true
  }

  /** Asks for what is missing of whoever claims to have it. */
  ask(): void {
    for (const [stream, { claims }] of this.#taking) {
      if (this.isWhole(stream)) continue
      for (const claim of claims) {
        if (!this.#holds(stream, claim)) this.#options.repairer.open(stream, claim.sequence, claim.anchor)
      }
    }
  }

  #holds(stream: Bytes32, { sequence, uid }: StreamClaim): boolean {
    const { streams } = this.#options
    if (sequence === 0n || streams.fork(stream)) return true // a fork freezes it after what has its receipt
    return sequence <= streams.get(stream).durable && (streams.placeAt(stream, sequence)?.uid ?? uid) === uid
  }
}

function bare({ anchor, sequence, uid }: StreamClaim): StreamClaim {
  return { anchor, sequence, uid }
}
