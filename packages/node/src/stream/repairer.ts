/** What this anchor lacks of its streams: known gaps are asked for until they are filled, and damaged entries are mended. */
import {
  type Address,
  accepted,
  askedAgain,
  type Bytes32,
  type CertifiedReceipt,
  checkRange,
  type Gap,
  isWide,
  type OpenEntry,
  openGap,
  type Receipt,
  readData,
  STREAM_RANGE_BYTES,
  STREAM_RANGE_LIMIT,
  type StreamItem,
  uidOf,
  urgentGap,
  type WireMessage,
} from '@smartlayer/protocol'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { Alarms } from './alarms.ts'
import type { Checkpointer } from './checkpointer.ts'
import { drawOf } from './draw.ts'
import type { EntryDoor } from './entry-door.ts'
import { type HomeStreams, logEntryOf, type Taken } from './home-streams.ts'
import type { Homes } from './homes.ts'
import { unpack } from './packing.ts'

const GAP_LIMIT = 10_000
/** A gap that was asked for so often in vain is forgotten: if it is one, heads tell of it again. */
const ASKS_LIMIT = 12
/** Damaged entries that are asked for at a time. */
const MENDS_AT_A_TIME = 16

type ServicePorts = Pick<Ports, 'log' | 'identity' | 'telemetry' | 'clock' | 'random'>
type Range = Extract<WireMessage, { type: 'stream-range' }>
/** `told` is how far another anchor says that it reaches, 0 when none does; `certificate` is for a place that is not here yet. */
type KnownGap = {
  readonly gap: Gap
  readonly known: bigint
  readonly told: bigint
  readonly from: Address | undefined
  readonly certificate: CertifiedReceipt | undefined
}
type Run = {
  readonly stream: Bytes32
  readonly entries: readonly OpenEntry[]
  readonly proven: boolean
  readonly certificate: CertifiedReceipt | undefined
}

export type RepairEvents = {
  /** Entries came and were decided on; those that are new are on their way to the disk. */
  taken(stream: Bytes32, taken: Taken): void
  /** They are on disk. */
  durable(from: Address, last: OpenEntry): void
  certified(certificate: CertifiedReceipt): void
  /** What is here without a receipt is not what the others certified. */
  contradicted(stream: Bytes32, upTo: bigint, certificate: CertifiedReceipt | undefined): void
}

type Options = {
  readonly post: PostOffice
  readonly door: EntryDoor
  readonly streams: HomeStreams
  readonly homes: Homes
  readonly alarms: Alarms
  readonly checkpointer: Checkpointer
  readonly events: RepairEvents
}

export class Repairer {
  readonly #ports: ServicePorts
  readonly #options: Options
  readonly #gaps = new Map<Bytes32, KnownGap>()

  constructor(ports: ServicePorts, options: Options) {
    this.#ports = ports
    this.#options = options
    options.post.on('stream-range', (from, range) => this.#receive(from, range))
  }

  /** Streams with a known gap. */
  get size(): number {
    return this.#gaps.size
  }

  /** How far other anchors say that a stream reaches, where it is not all here; 0 otherwise. */
  toldOf(stream: Bytes32): bigint {
    return this.#gaps.get(stream)?.told ?? 0n
  }

  /** Others have the stream up to `known`. Urgent is a gap of which nothing can be on its way. */
  open(
    stream: Bytes32,
    known: bigint,
    from: Address | undefined,
    { urgent = false, certificate }: { urgent?: boolean; certificate?: CertifiedReceipt | undefined } = {},
  ): void {
    const now = this.#ports.clock.monotonic()
    const before = this.#gaps.get(stream)
    if (!before && this.#gaps.size >= GAP_LIMIT) return
    const told = from || certificate ? known : 0n
    const gap = before?.gap ?? (urgent ? urgentGap(now) : openGap(now, drawOf(this.#ports.random)))
    this.#gaps.set(stream, {
      gap,
      known: before && before.known > known ? before.known : known,
      told: before && before.told > told ? before.told : told,
      from: from ?? before?.from,
      certificate: newer(certificate, before?.certificate),
    })
    if (urgent) this.ask()
  }

  /** Asks for every gap that is due. */
  ask(): void {
    const { streams, homes, post } = this.#options
    const now = this.#ports.clock.monotonic()
    const draw = drawOf(this.#ports.random)
    for (const [stream, { gap, known, told, from, certificate }] of this.#gaps) {
      const { state, durable } = streams.get(stream)
      // Entries may all be here and only their certificate missing: then the others are told where we stand.
      if (state.sequence >= known || durable < state.sequence) {
        if (state.sequence >= known) this.#gaps.delete(stream)
        continue
      }
      if (gap.askAt > now) continue
      if (gap.attempts >= ASKS_LIMIT) {
        this.#gaps.delete(stream)
        continue
      }
      const others = homes.sources(stream)
      const random = others[Math.floor(draw() * others.length)]
      const asked = new Set([from ?? random, isWide(gap) ? random : undefined])
      asked.delete(undefined)
      // Asked in vain, the tail that has no receipt may be what does not fit; or the answer was lost, so in turns.
      const after = certificate && gap.attempts % 2 === 1 ? state.certified : state.sequence
      const request = { stream, subset: stream, after, limit: STREAM_RANGE_LIMIT, bytes: STREAM_RANGE_BYTES }
      post.sendAll([...asked] as Address[], { type: 'stream-request', ...request })
      this.#gaps.set(stream, { gap: askedAgain(gap, now, draw), known, told, from: undefined, certificate })
    }
  }

  /** What the disk changed is asked for again, of anybody who holds the same. */
  askForDamaged(): void {
    const { homes, post } = this.#options
    const damaged = this.#ports.log.damaged()
    if (damaged.length === 0) return
    const draw = drawOf(this.#ports.random)
    const first = Math.floor(draw() * damaged.length)
    const turn = [...damaged.slice(first), ...damaged.slice(0, first)].slice(0, MENDS_AT_A_TIME)
    for (const { stream, sequence } of turn) {
      const others = homes.sources(stream)
      const other = others[Math.floor(draw() * others.length)]
      const request = { stream, subset: stream, after: sequence - 1n, limit: 1, bytes: STREAM_RANGE_BYTES }
      if (other) post.send(other, { type: 'stream-request', ...request })
    }
  }

  #receive(from: Address, range: Range): void {
    const { homes, door } = this.#options
    if (range.subset !== range.stream || !homes.sources(range.stream).includes(from)) return
    const items = unpack(range.packed)
    const [first] = items
    if (!first) return
    if (door.typeOf(first)) return this.#take(from, range, items)
    door
      .prepare(first.attestation.message.recipient)
      .then(() => this.#take(from, range, items))
      .catch((error) => this.#ports.telemetry.log('warn', 'stream.not_taken', { stream: range.stream, error }))
  }

  #take(from: Address, { stream, proof }: Range, items: readonly StreamItem[]): void {
    const { homes, door, streams, alarms, events } = this.#options
    const type = door.typeOf(items[0]!)
    if (!type || !homes.isOwn(stream) || this.#hasCome(stream, items.at(-1)!)) return
    const checkpointed = proof && this.#provenRange(stream, proof, items)
    const opened = checkpointed ?? this.#openRange(items)
    const certificate = this.#gaps.get(stream)?.certificate
    const proven = checkpointed ?? (certificate && leadingTo(certificate.receipt, opened))
    const entries = proven ?? opened
    if (entries.length === 0) return
    const rival = proven?.find(({ data, uid }) => (streams.placeAt(stream, data.sequence)?.uid ?? uid) !== uid)
    if (rival) {
      alarms.proveFork(rival)
      return events.contradicted(stream, entries.at(-1)!.data.sequence, certificate)
    }
    this.#mend(stream, entries)
    alarms.revokeFirst(entries, () =>
      this.#takeRun(from, { stream, entries, proven: proven !== undefined, certificate }),
    )
  }

  /** The last entry of a range is here already, and all before it with it: who was slow answers twice. */
  #hasCome(stream: Bytes32, last: StreamItem): boolean {
    const { streams } = this.#options
    const sequence = readData(last)?.sequence ?? 0n
    if (sequence > streams.state(stream).sequence || this.#ports.log.damaged().length > 0) return false
    const { keccak } = this.#ports.identity.crypto
    return streams.placeAt(stream, sequence)?.uid === uidOf(last.attestation.message, keccak)
  }

  #takeRun(from: Address, { stream, entries, proven, certificate }: Run): void {
    const { streams, alarms, events } = this.#options
    const taken = streams.take(stream, entries, { proven })
    if (taken.refusal?.decision.code === 'stream.fork') alarms.proveFork(taken.refusal.entry)
    const { last } = taken
    if (!last) return
    events.taken(stream, taken)
    taken.done.then(
      () => {
        // Only what is new leads to the next request: a repeated answer that did would be asked for without end.
        const gap = taken.entries.length > 0 ? this.#gaps.get(stream) : undefined
        if (gap) this.#gaps.set(stream, { ...gap, gap: urgentGap(0), from })
        events.durable(from, last)
        if (certificate) events.certified(certificate)
        if (gap) this.ask()
      },
      (error: unknown) => this.#ports.telemetry.log('warn', 'stream.not_written', { stream, error }),
    )
  }

  #provenRange(
    stream: Bytes32,
    proof: NonNullable<Range['proof']>,
    items: readonly StreamItem[],
  ): readonly OpenEntry[] | undefined {
    const { streams, door, checkpointer } = this.#options
    const { certified, siblings, peaks } = proof
    const known = streams.get(stream).checkpoint
    const isKnown = known !== undefined && known.checkpoint.root === certified.checkpoint.root
    const checked = isKnown
      ? ({ verdict: 'accept', value: certified.checkpoint } as const)
      : checkpointer.check(certified)
    const type = door.typeOf(items[0]!)
    if (!accepted(checked) || !type) return undefined
    const range = { items, checkpoint: certified.checkpoint, proof: { siblings, peaks } }
    const entries = checkRange({ stream, subset: stream }, range, door.context(type))
    if (!accepted(entries)) {
      this.#ports.telemetry.log('warn', 'stream.range_refused', { stream, code: entries.code, ...entries.facts })
      return undefined
    }
    // A proof stands for what was said, not for the signatures beside it: what others get from us must hold by itself.
    if (this.#openRange(items).length < items.length) {
      this.#ports.telemetry.log('warn', 'stream.range_refused', { stream, code: 'attestation.signature' })
      return undefined
    }
    checkpointer.learn(certified)
    return entries.value
  }

  /** Without a proof each entry stands for itself; the run ends before the first that does not hold. */
  #openRange(items: readonly StreamItem[]): readonly OpenEntry[] {
    const { streams, door } = this.#options
    const entries: OpenEntry[] = []
    for (const item of items) {
      const opened = streams.known(item) ?? door.reopen(item)
      if (!accepted(opened)) break
      entries.push(opened.value)
    }
    return entries
  }

  #mend(stream: Bytes32, entries: readonly OpenEntry[]): void {
    const places = new Set(this.#ports.log.damaged().map((place) => `${place.stream}/${place.sequence}`))
    const lost = entries.filter(
      ({ data, uid }) => places.has(`${stream}/${data.sequence}`) && this.#uidAt(stream, data.sequence) === uid,
    )
    if (lost.length === 0) return
    this.#ports.telemetry.log('warn', 'stream.mended', { stream, sequence: lost[0]!.data.sequence, count: lost.length })
    this.#ports.log
      .mend(lost.map(logEntryOf))
      .catch((error) => this.#ports.telemetry.log('warn', 'stream.not_written', { stream, error }))
  }

  /** What stands at a place: as the log knows it without its bytes, or as the entry behind it says. */
  #uidAt(stream: Bytes32, sequence: bigint): Bytes32 | undefined {
    const { streams } = this.#options
    try {
      const place = streams.placeAt(stream, sequence)
      return place?.uid ?? streams.itemAt(stream, sequence + 1n)?.attestation.message.refUID
    } catch {
      return undefined // that one is damaged as well, and mended first
    }
  }
}

/** Of two certificates of a stream the one that reaches further. */
function newer(a: CertifiedReceipt | undefined, b: CertifiedReceipt | undefined): CertifiedReceipt | undefined {
  return a && (!b || a.receipt.sequence > b.receipt.sequence) ? a : b
}

/** The entries up to the one that has this receipt, when their chain leads to it: the receipt stands for all of them. */
function leadingTo({ uid }: Receipt, entries: readonly OpenEntry[]): readonly OpenEntry[] | undefined {
  const at = entries.findIndex((entry) => entry.uid === uid)
  const led = entries.slice(0, at + 1)
  return at >= 0 && led.every((entry, i) => i === 0 || entry.previous === led[i - 1]!.uid) ? led : undefined
}
