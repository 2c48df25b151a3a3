/** The streams of a fake network: one log that all its anchors share, kept by the real rules. */
import {
  type Address,
  accepted,
  admit,
  type Bytes32,
  certify,
  type Domain,
  emptyStream,
  freeze,
  type Hex,
  laneOf,
  nobleCrypto,
  type OpenEntry,
  openEntry,
  type Refusal,
  readData,
  reject,
  rootCache,
  type StreamItem,
  type StreamState,
  type SubsetState,
  subsetOf,
  tokenTypeOf,
  uidOf,
} from '@smartlayer/protocol'

const { keccak } = nobleCrypto

export type FakeStream = {
  state: StreamState
  readonly subsets: Map<Bytes32, SubsetState>
  readonly entries: OpenEntry[]
  fork: readonly [StreamItem, StreamItem] | undefined
}

export type FakeStreamsOptions = {
  readonly networkId: Bytes32
  readonly easDomain: Domain
  readonly chainId: bigint
  readonly lanes: readonly string[]
}

export class FakeStreams {
  /** Everything that was taken, of all streams, in the order in which it was. */
  readonly published: StreamItem[] = []
  /** Every UID that was ever shown for a place, taken or not: two of them are a fork. */
  readonly shown = new Map<string, Set<Bytes32>>()
  readonly revocations = new Map<Bytes32, StreamItem>()
  /** Why a body is refused, as the schema of a token would. */
  refuses: (body: string) => Refusal | undefined = () => undefined
  readonly #options: FakeStreamsOptions
  readonly #streams = new Map<Bytes32, FakeStream>()
  readonly #roots = rootCache(1_000)

  constructor(options: FakeStreamsOptions) {
    this.#options = options
  }

  get all(): ReadonlyMap<Bytes32, FakeStream> {
    return this.#streams
  }

  of(stream: Bytes32): FakeStream {
    const known = this.#streams.get(stream) ?? {
      state: emptyStream(stream),
      subsets: new Map(),
      entries: [],
      fork: undefined,
    }
    this.#streams.set(stream, known)
    return known
  }

  subset(stream: Bytes32, subset: Bytes32): SubsetState {
    return this.of(stream).subsets.get(subset) ?? { sequence: 0n, head: `0x${'00'.repeat(32)}` }
  }

  /** The entries of a stream, or of one subset of it, after a place. */
  page(stream: Bytes32, subset: Bytes32 | undefined, { after, limit }: { after: bigint; limit: number }) {
    const { entries } = this.of(stream)
    const own = subset ? entries.filter(({ data }) => data.subset === subset) : entries
    return own.slice(Number(after), Number(after) + limit).map(({ item }) => item)
  }

  /** What every anchor sees before it decides. */
  show(items: readonly StreamItem[]): void {
    for (const item of items) {
      const data = readData(item)
      const key = `${data?.stream}/${data?.epoch}/${data?.sequence}`
      this.shown.set(key, (this.shown.get(key) ?? new Set()).add(uidOf(item.attestation.message, keccak)))
    }
  }

  /** Takes consecutive entries, all or, where one does not fit, those before it. Refused by itself, one keeps all out. */
  take(items: readonly StreamItem[]): Refusal | undefined {
    const opened: OpenEntry[] = []
    for (const item of items) {
      const verdict = this.#open(item)
      if (!accepted(verdict)) return verdict
      const refusal = verdict.value.kind === 'fact' ? this.refuses(item.body) : undefined
      if (refusal) return refusal
      opened.push(verdict.value)
    }
    for (const entry of opened) {
      const refusal = this.#admit(entry)
      if (refusal) return refusal
    }
    return undefined
  }

  #open(item: StreamItem) {
    const { networkId, easDomain, chainId, lanes } = this.#options
    const issuer: Address = (item.delegation ?? item).attestation.attester
    const contract = item.attestation.message.recipient
    return openEntry(item, {
      networkId,
      easDomain,
      crypto: nobleCrypto,
      tokenType: tokenTypeOf({ chainId, contract }, keccak),
      rules: lanes.map((lane) => ({ issuer, lane: laneOf(lane, keccak) })),
      nowS: BigInt(Math.floor(Date.now() / 1000)),
      roots: this.#roots,
    })
  }

  #admit(entry: OpenEntry): Refusal | undefined {
    const { data } = entry
    const stream = this.of(data.stream)
    const there = stream.entries[Number(data.sequence) - 1]
    const stored = there && { uid: there.uid, epoch: there.data.epoch }
    const decision = admit(stream.state, this.subset(data.stream, data.subset), { entry, stored })
    if (accepted(decision)) {
      stream.state = certify(decision.value.state, data.sequence)
      stream.subsets.set(data.subset, decision.value.subset)
      stream.entries.push(entry)
      this.published.push(entry.item)
      if (entry.revocation) this.revocations.set(entry.revocation.revokes, entry.item)
      return undefined
    }
    if (decision.code === 'stream.already_known') return undefined
    if (decision.code === 'stream.fork' && there) {
      stream.state = freeze(stream.state)
      stream.fork = [there.item, entry.item]
    }
    return decision
  }
}

export function schemaMisfit(): Refusal {
  return reject('query.arguments', { at: 'fact.delay', detail: 'not a number' })
}

export function subsetIdOf(key: string): Hex {
  return subsetOf(key, keccak)
}
