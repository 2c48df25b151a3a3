/** The streams that this anchor is home of: where each stands, what is on its way to the disk, and what is known of it. */
import {
  type Address,
  accept,
  accepted,
  address,
  admit,
  type Bytes32,
  type Candidate,
  type CertifiedCheckpoint,
  type CertifiedReceipt,
  certifiedCheckpointShape,
  certifiedReceiptShape,
  certify,
  EMPTY_SUBSET,
  EPOCH_SUBSET,
  emptyStream,
  type ForkProof,
  forkProofShape,
  freeze,
  type Hasher,
  listOf,
  type OpenEntry,
  optional,
  parseEpoch,
  parseRetention,
  type Receipt,
  type Refusal,
  type Retention,
  readData,
  record,
  type StreamItem,
  type StreamState,
  type SubsetState,
  subsetOf,
  text,
  uint,
  type Verdict,
} from '@smartlayer/protocol'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Ports } from '../ports/ports.ts'
import type { Write } from '../ports/store.ts'
import type { LogEntry, LogPlace } from '../ports/stream-log.ts'
import { decodedOf, encodedOf } from './packing.ts'

/** Streams kept in memory; the others are read again when something happens to them. */
const HELD_LIMIT = 10_000
/** Entries of one stream kept in memory until they have their receipt; beyond it they are read from the log. */
const RECENT_LIMIT = 2_048

/** Tails of one stream that an anchor remembers to have given up. */
const GIVEN_UP_LIMIT = 64

const rowShape = record({
  issuer: optional(address),
  retention: text(16),
  certificate: optional(certifiedReceiptShape),
  checkpoint: optional(certifiedCheckpointShape),
})

const givenUpShape = listOf(record({ epoch: uint(64), after: uint(64), sequence: uint(64) }), GIVEN_UP_LIMIT)

/** What a home anchor knows of one stream. `durable` is the last place on its disk. */
export type HeldStream = {
  state: StreamState
  durable: bigint
  issuer: Address | undefined
  retention: Retention
  certificate: CertifiedReceipt | undefined
  checkpoint: CertifiedCheckpoint | undefined
  /** Entries that have no receipt yet, as far as they are in memory. */
  readonly recent: Map<bigint, OpenEntry>
  /** Heads of subsets that moved since the last durable entry. */
  readonly subsets: Map<Bytes32, SubsetState>
  /** Ends when everything appended so far is on disk, or was refused. */
  tail: Promise<void>
  /** Certificate or checkpoint moved and is not on disk yet. */
  dirty: boolean
  /** The tail is being given up for what the other home anchors have; nothing is taken meanwhile. */
  truncating: boolean
  /** Tails that were given up: this anchor signed for their places, so it signs nothing else there. */
  givenUp: readonly GivenUp[]
}

/** Places after `after` up to `sequence`, of this epoch and earlier ones. */
type GivenUp = { readonly epoch: bigint; readonly after: bigint; readonly sequence: bigint }

export type Taken = {
  /** Entries that were new; they are durable once `done` resolved. */
  readonly entries: readonly OpenEntry[]
  /** The last of the offered entries that this anchor holds now, or held before. */
  readonly last: OpenEntry | undefined
  /** Why the one after that was not taken. */
  readonly refusal: { readonly entry: OpenEntry; readonly decision: Refusal } | undefined
  readonly done: Promise<void>
}

type ServicePorts = Pick<Ports, 'store' | 'log'>

export class HomeStreams {
  readonly #ports: ServicePorts
  readonly #epochSubset: Bytes32
  readonly #held = new Map<Bytes32, HeldStream>()

  constructor(ports: ServicePorts, keccak: Hasher) {
    this.#ports = ports
    this.#epochSubset = subsetOf(EPOCH_SUBSET, keccak)
  }

  get held(): ReadonlyMap<Bytes32, HeldStream> {
    return this.#held
  }

  /** A stream of which nothing is known stands at its beginning; asking for it keeps nothing. */
  state(stream: Bytes32): StreamState {
    return this.#held.get(stream)?.state ?? this.#load(stream).state
  }

  subset(stream: Bytes32, subset: Bytes32): SubsetState {
    const moved = this.#held.get(stream)?.subsets.get(subset)
    if (moved) return moved
    const place = this.#ports.log.subsetHead(stream, subset)
    return place ? { sequence: place.subSequence, head: place.uid } : EMPTY_SUBSET
  }

  get(stream: Bytes32): HeldStream {
    const known = this.#held.get(stream)
    if (known) return known
    const held = this.#load(stream)
    this.#held.set(stream, held)
    if (this.#held.size > HELD_LIMIT) this.#evict()
    return held
  }

  /** What stands at a place, in memory or in the log. */
  placeAt(stream: Bytes32, sequence: bigint): { readonly uid: Bytes32; readonly epoch: bigint } | undefined {
    const recent = this.#held.get(stream)?.recent.get(sequence)
    if (recent) return { uid: recent.uid, epoch: recent.data.epoch }
    if (sequence < 1n) return undefined
    const [place] = this.#ports.log.places(stream, { after: sequence - 1n, limit: 1 })
    return place?.sequence === sequence ? place : undefined
  }

  /** An entry that is under way here was opened before: a repetition costs no signature check. */
  known(item: StreamItem): Verdict<OpenEntry> | undefined {
    const data = readData(item)
    const entry = data && this.#held.get(data.stream)?.recent.get(data.sequence)
    return entry && sameEntry(entry.item, item) ? accept(entry) : undefined
  }

  itemAt(stream: Bytes32, sequence: bigint): StreamItem | undefined {
    const recent = this.#held.get(stream)?.recent.get(sequence)
    if (recent) return recent.item
    const entry = this.#ports.log.at(stream, sequence)
    return entry && decodedOf(entry.bytes)
  }

  /** Decides on a run of entries of one stream and appends what fits. Stops at the first that does not. */
  take(stream: Bytes32, entries: readonly OpenEntry[], { proven = false }: { proven?: boolean } = {}): Taken {
    const held = this.get(stream)
    const fresh: OpenEntry[] = []
    let last: OpenEntry | undefined
    let refusal: Taken['refusal']
    for (const entry of entries) {
      const decision = this.#decide(held, proven ? { ...entry, proven } : entry)
      if (accepted(decision)) {
        const { state } = decision.value
        held.state = entry.kind === 'epoch' && this.fork(stream)?.epoch === state.epoch ? freeze(state) : state
        held.subsets.set(entry.data.subset, decision.value.subset)
        if (held.recent.size < RECENT_LIMIT) held.recent.set(entry.data.sequence, entry)
        fresh.push(entry)
      } else if (decision.code !== 'stream.already_known') {
        refusal = { entry, decision }
        break
      }
      held.issuer ??= entry.issuer
      last = entry
    }
    if (fresh.length > 0) this.#append(stream, held, fresh)
    return { entries: fresh, last, refusal, done: held.tail }
  }

  /** 2f + 1 receipts for a place that this anchor holds. Returns the places that have a receipt since now. */
  certify(stream: Bytes32, certificate: CertifiedReceipt): { readonly from: bigint; readonly to: bigint } {
    const held = this.get(stream)
    const before = held.state.certified
    held.state = certify(held.state, certificate.receipt.sequence)
    held.certificate = certificate
    held.dirty = true
    return { from: before + 1n, to: held.state.certified }
  }

  /** Entries with a receipt need not stay in memory. */
  release(stream: Bytes32, upTo: bigint): void {
    const { recent } = this.get(stream)
    for (const sequence of recent.keys()) {
      if (sequence > upTo) break
      recent.delete(sequence)
    }
  }

  /** Gives up what this anchor holds without a receipt, because the others certified something else. */
  async giveUpTail(stream: Bytes32): Promise<void> {
    const held = this.get(stream)
    if (held.truncating) return
    held.truncating = true
    await held.tail.catch(() => undefined)
    try {
      await this.#rememberGivenUp(stream, held)
      await this.#ports.log.truncate(stream, held.state.certified)
    } finally {
      this.#held.delete(stream)
      this.#restore(stream, held)
    }
  }

  /** The log of a stream was changed beside what is known here: it is read anew. */
  reload(stream: Bytes32): void {
    const before = this.get(stream)
    this.#held.delete(stream)
    this.#restore(stream, before)
  }

  /** False for places where this anchor signed, or may have signed, what it then gave up. */
  maySign({ stream, epoch, sequence }: Pick<Receipt, 'stream' | 'epoch' | 'sequence'>): boolean {
    const covers = (tail: GivenUp) => epoch <= tail.epoch && sequence > tail.after && sequence <= tail.sequence
    return !this.get(stream).givenUp.some(covers)
  }

  async freeze(stream: Bytes32, proof: ForkProof, epoch: bigint): Promise<void> {
    const held = this.get(stream)
    if (held.state.epoch === epoch) held.state = freeze(held.state)
    const value = encodeJson({ epoch: String(epoch), proof: forkProofShape.toJson(proof) })
    await this.#ports.store.commit([{ key: forkKey(stream), value }])
  }

  fork(stream: Bytes32): { readonly epoch: bigint; readonly proof: ForkProof } | undefined {
    const value = this.#ports.store.get(forkKey(stream))
    if (!value) return undefined
    const { epoch, proof } = decodeJson(value) as { epoch: string; proof: unknown }
    return { epoch: BigInt(epoch), proof: forkProofShape.parse(proof, 'fork') }
  }

  /** What must be on disk so that a restart knows the certificate and the checkpoint again. */
  rowWrite(stream: Bytes32): Write {
    const { issuer, retention, certificate, checkpoint } = this.get(stream)
    const kept = retention.keep === 'days' ? `${retention.days} days` : retention.keep
    return {
      key: `stream/${stream}`,
      value: encodeJson(rowShape.toJson({ issuer, retention: kept, certificate, checkpoint })),
    }
  }

  #decide(held: HeldStream, entry: Candidate) {
    if (held.truncating) {
      const { sequence } = held.state
      return {
        verdict: 'ignore',
        code: 'stream.sequence_gap',
        facts: { next: sequence, got: entry.data.sequence },
      } as const
    }
    const { stream } = held.state
    const stored = entry.data.sequence <= held.state.sequence ? this.placeAt(stream, entry.data.sequence) : undefined
    return admit(held.state, this.subset(stream, entry.data.subset), { entry, stored })
  }

  #append(stream: Bytes32, held: HeldStream, entries: readonly OpenEntry[]): void {
    const last = entries.at(-1)!.data.sequence
    const appended = this.#ports.log.append(entries.map(logEntryOf)).then(
      () => {
        held.durable = last
        for (const { data, uid } of entries) {
          if (held.subsets.get(data.subset)?.head === uid) held.subsets.delete(data.subset)
        }
      },
      (error: unknown) => {
        // What could not be written was never acknowledged: the stream stands where its log stands.
        if (this.#held.get(stream) === held && !held.truncating) {
          this.#held.delete(stream)
          this.#restore(stream, held)
        }
        throw error
      },
    )
    held.tail = appended
    appended.catch(() => undefined) // whoever waits for it is told
  }

  /** Reads a stream anew, but keeps what may be known in memory alone. */
  #restore(stream: Bytes32, before: HeldStream): void {
    const held = this.get(stream)
    held.issuer ??= before.issuer
    held.retention = before.retention
    held.checkpoint ??= before.checkpoint
    const isFrozen = before.state.frozenAfter !== undefined && before.state.epoch === held.state.epoch
    if (isFrozen) held.state = freeze(held.state)
    if (before.certificate && this.#holds(stream, before.certificate.receipt)) this.certify(stream, before.certificate)
  }

  #load(stream: Bytes32): HeldStream {
    const head = this.#ports.log.head(stream)
    const row = this.#row(stream)
    const certificate = row?.certificate && this.#holds(stream, row.certificate.receipt) ? row.certificate : undefined
    const base = head
      ? { ...emptyStream(stream), epoch: head.epoch, sequence: head.sequence, head: head.uid }
      : emptyStream(stream)
    const state = { ...base, key: head && this.#keyOf(head), certified: certificate?.receipt.sequence ?? 0n }
    const fork = this.fork(stream)
    return {
      state: fork?.epoch === state.epoch ? freeze(state) : state,
      durable: state.sequence,
      issuer: row?.issuer,
      retention: parseRetention(row?.retention ?? '') ?? { keep: 'all' },
      certificate,
      checkpoint: row?.checkpoint,
      recent: new Map(),
      subsets: new Map(),
      tail: Promise.resolve(),
      dirty: false,
      truncating: false,
      givenUp: this.#givenUp(stream),
    }
  }

  async #rememberGivenUp(stream: Bytes32, held: HeldStream): Promise<void> {
    const { epoch, sequence, certified } = held.state
    held.givenUp = [...held.givenUp, { epoch, after: certified, sequence }].slice(-GIVEN_UP_LIMIT)
    await this.#ports.store.commit([{ key: givenUpKey(stream), value: encodeJson(givenUpShape.toJson(held.givenUp)) }])
  }

  #givenUp(stream: Bytes32): readonly GivenUp[] {
    const value = this.#ports.store.get(givenUpKey(stream))
    return value ? givenUpShape.parse(decodeJson(value), 'given up') : []
  }

  #row(stream: Bytes32) {
    const value = this.#ports.store.get(`stream/${stream}`)
    return value && rowShape.parse(decodeJson(value), 'stream')
  }

  #holds(stream: Bytes32, { sequence, uid }: Receipt): boolean {
    return this.placeAt(stream, sequence)?.uid === uid
  }

  /** The key that signs in the epoch of the head, as the entry that opened the epoch names it. */
  #keyOf({ stream, epoch }: LogPlace): Address | undefined {
    const opening = epoch > 1n ? this.#ports.log.subsetHead(stream, this.#epochSubset) : undefined
    const entry = opening && this.#ports.log.at(stream, opening.sequence)
    return entry && parseEpoch(decodedOf(entry.bytes).body)?.key
  }

  /** A stream to which nothing happens leaves memory; what is known of it is on disk. True when it left. */
  rest(stream: Bytes32): boolean {
    const held = this.#held.get(stream)
    if (!held || held.recent.size > 0 || held.subsets.size > 0 || held.truncating || held.dirty) return false
    return this.#held.delete(stream)
  }

  #evict(): void {
    for (const stream of this.#held.keys()) if (this.rest(stream)) return
  }
}

export function logEntryOf({ item, data, uid }: OpenEntry): LogEntry {
  const { stream, epoch, sequence, subset, subSequence } = data
  return { stream, epoch, sequence, subset, subSequence, uid, bytes: encodedOf(item) }
}

/** All that travels is the same: nothing new needs checking. */
function sameEntry(a: StreamItem, b: StreamItem): boolean {
  return Buffer.compare(encodedOf(a), encodedOf(b)) === 0
}

function givenUpKey(stream: Bytes32): string {
  return `given-up/${stream}`
}

function forkKey(stream: Bytes32): string {
  return `fork/${stream}`
}
