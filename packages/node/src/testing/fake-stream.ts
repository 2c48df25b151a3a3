/** One stream in memory, with real entries and receipts, behind the interface that pages and subscriptions read from. */
import {
  type Address,
  attest,
  type Bytes32,
  type CertifiedCheckpoint,
  type CertifiedReceipt,
  canonicalJson,
  type Domain,
  digestOf,
  domainOf,
  EMPTY_SUBSET,
  easDomain,
  emptyStream,
  type ForkProof,
  type Hex,
  INPUT_KINDS,
  type InputData,
  inputContext,
  laneOf,
  networkIdOf,
  nobleCrypto,
  nobleSigner,
  Receipt,
  readData,
  type Signer,
  SLInput,
  SmartLayerError,
  StreamCheckpoint,
  type StreamItem,
  type StreamState,
  type SubsetState,
  streamOf,
  subsetOf,
  textHash,
  tokenTypeOf,
  uidOf,
  ZERO_32,
} from '@smartlayer/protocol'
import type { ReadEntry, ReadRequest, StreamReader } from '../stream/stream-reader.ts'

const { keccak } = nobleCrypto
export const CHAIN_ID = 31_337n
export const REGISTRY: Address = `0x${'a0'.repeat(20)}`
export const EAS: Address = `0x${'42'.repeat(20)}`
export const CONTRACT: Address = `0x${'c0'.repeat(20)}`
export const LANE = 'flight-status'
export const NETWORK_ID = networkIdOf(CHAIN_ID, REGISTRY, keccak)
const TOKEN_TYPE = tokenTypeOf({ chainId: CHAIN_ID, contract: CONTRACT }, keccak)
const LANE_ID = laneOf(LANE, keccak)
const DOMAIN: Domain = domainOf(
  { name: 'SmartLayer', version: '1', chainId: CHAIN_ID, verifyingContract: REGISTRY },
  keccak,
)
const EAS_DOMAIN = easDomain({ chainId: CHAIN_ID, eas: EAS }, keccak)
const START_S = 1_700_000_000n

export function keyOf(n: number): Hex {
  return `0x${n.toString(16).padStart(64, '0')}`
}

/** Signatures that are never checked, for tests that need many entries fast. */
export function unsigned(address: Address): Signer {
  return { address, sign: () => `0x${'11'.repeat(64)}1b` }
}

export class FakeStream implements StreamReader {
  readonly issuer: Signer
  readonly stream: Bytes32
  /** Home anchors, whose signatures make receipts and checkpoints. */
  readonly anchors: readonly Signer[]
  readonly items: StreamItem[] = []
  readonly promises = new Map<string, { readonly subset?: Bytes32 | undefined; readonly after: bigint }>()
  readonly watchers = new Set<() => void>()
  reads = 0
  #state: StreamState
  #floor = 0n
  #fork: ForkProof | undefined
  readonly #subsets = new Map<Bytes32, { head: SubsetState; places: number[] }>()

  constructor(issuer: Signer = nobleSigner(keyOf(99)), anchors: readonly Signer[] = [1, 2, 3, 4].map(anchorOf)) {
    this.issuer = issuer
    this.anchors = anchors
    this.stream = streamOf(issuer.address, TOKEN_TYPE, LANE_ID, keccak)
    this.#state = emptyStream(this.stream)
  }

  /** Takes the next entry of the issuer; nobody hears of it before it is certified. */
  append(subsetKey: string, body: unknown, changes: Partial<InputData> = {}): StreamItem {
    const item = this.sign(subsetKey, body, changes)
    const subset = subsetOf(subsetKey, keccak)
    const uid = uidOf(item.attestation.message, keccak)
    const known = this.#subsets.get(subset) ?? { head: EMPTY_SUBSET, places: [] }
    this.items.push(item)
    known.places.push(this.items.length - 1)
    this.#subsets.set(subset, { ...known, head: { sequence: known.head.sequence + 1n, head: uid } })
    this.#state = { ...this.#state, sequence: BigInt(this.items.length), head: uid }
    return item
  }

  /** The next entry as the issuer signs it, without taking it. */
  sign(subsetKey: string, body: unknown, changes: Partial<InputData> = {}): StreamItem {
    const text = canonicalJson(body)
    const subset = subsetOf(subsetKey, keccak)
    const { sequence, head } = this.#subsets.get(subset)?.head ?? EMPTY_SUBSET
    const place = this.#state.sequence + 1n
    const time = START_S + place
    const data: InputData = {
      token: subset,
      stream: this.stream,
      epoch: this.#state.epoch,
      sequence: place,
      subset,
      subSequence: sequence + 1n,
      subPrevious: head,
      context: inputContext(NETWORK_ID, TOKEN_TYPE, LANE_ID, keccak),
      contentHash: textHash(text, nobleCrypto),
      kind: BigInt(INPUT_KINDS.indexOf('fact')),
      validFrom: time,
      origin: ZERO_32,
      ...changes,
    }
    const about = { recipient: CONTRACT, time, expirationTime: 0n, refUID: this.#state.head, salt: ZERO_32 }
    return {
      attestation: attest(SLInput, data, about, { signer: this.issuer, domain: EAS_DOMAIN, keccak }),
      body: text,
    }
  }

  /** Everything that was taken gets its receipt, and readers hear of it. */
  certify(sequence = this.#state.sequence): void {
    this.#state = { ...this.#state, certified: sequence }
    for (const wake of [...this.watchers]) wake()
  }

  publish(subsetKey: string, body: unknown): void {
    this.append(subsetKey, body)
    this.certify()
  }

  freeze(): void {
    this.#state = { ...this.#state, frozenAfter: this.#state.certified }
    const last = this.items.at(-1)
    if (last) this.#fork = { first: last, second: last } as ForkProof
    for (const wake of [...this.watchers]) wake()
  }

  prune(floor: bigint): void {
    this.#floor = floor
  }

  state(stream: Bytes32): StreamState {
    return stream === this.stream ? this.#state : emptyStream(stream)
  }

  subset(_: Bytes32, subset: Bytes32): SubsetState {
    return this.#subsets.get(subset)?.head ?? EMPTY_SUBSET
  }

  floor(): bigint {
    return this.#floor
  }

  entries(stream: Bytes32, { subset, after, limit }: ReadRequest): readonly ReadEntry[] {
    this.reads++
    if (stream !== this.stream) return []
    const certified = Number(this.#state.certified)
    const places =
      subset === undefined
        ? Array.from({ length: Math.max(0, Math.min(limit, certified - Number(after))) }, (_, i) => Number(after) + i)
        : (this.#subsets.get(subset)?.places ?? []).slice(Number(after), Number(after) + limit)
    const first = places[0]
    if (first !== undefined && first < Number(this.#floor)) {
      throw SmartLayerError.of('stream.pruned', { floor: this.#floorIn(subset), asked: after })
    }
    return places
      .filter((place) => place < certified)
      .map((place, i) => ({ cursor: after + BigInt(i) + 1n, item: this.items[place]! }))
  }

  #floorIn(subset: Bytes32 | undefined): bigint {
    if (subset === undefined) return this.#floor
    const { places } = this.#subsets.get(subset)!
    return BigInt(places.filter((place) => place < Number(this.#floor)).length)
  }

  receipt(stream: Bytes32): CertifiedReceipt | undefined {
    const last = this.items[Number(this.#state.certified) - 1]
    if (stream !== this.stream || !last) return undefined
    const receipt = {
      stream,
      epoch: this.#state.epoch,
      sequence: readData(last)!.sequence,
      uid: uidOf(last.attestation.message, keccak),
      homeEpoch: 1n,
    }
    const digest = digestOf(Receipt, receipt, DOMAIN, keccak)
    return { receipt, signatures: this.anchors.slice(0, 3).map((anchor) => anchor.sign(digest)), links: [] }
  }

  checkpoint(stream: Bytes32): CertifiedCheckpoint | undefined {
    if (stream !== this.stream || this.#floor === 0n) return undefined
    const { epoch } = this.#state
    const checkpoint = { stream, epoch, size: this.#floor, root: ZERO_32, head: ZERO_32, homeEpoch: 1n, time: START_S }
    const digest = digestOf(StreamCheckpoint, checkpoint, DOMAIN, keccak)
    return { checkpoint, signatures: this.anchors.slice(0, 3).map((anchor) => anchor.sign(digest)) }
  }

  fork(stream: Bytes32): ForkProof | undefined {
    return stream === this.stream ? this.#fork : undefined
  }

  watch(_: Bytes32, wake: () => void): () => void {
    this.watchers.add(wake)
    return () => this.watchers.delete(wake)
  }

  promise(_: Bytes32, reader: string, after: { subset?: Bytes32 | undefined; after: bigint }): void {
    this.promises.set(reader, after)
  }
}

function anchorOf(n: number): Signer {
  return nobleSigner(keyOf(n))
}
