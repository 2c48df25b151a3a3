/** A home anchor's part in streams: it validates, stores, signs receipts, certifies with the others, spreads and repairs. */
import {
  type Address,
  type Attest,
  accepted,
  askedAgain,
  type Bytes32,
  type CertifiedCheckpoint,
  type CertifiedReceipt,
  checkCheckpoint,
  checkRange,
  checkReceipt,
  decodeItem,
  type ForkProof,
  type Gap,
  type Home,
  homeOf,
  INTEREST_LIMIT,
  type Interest,
  isWide,
  LINK_LIMIT,
  type OpenEntry,
  openGap,
  type PublishRequest,
  type Receipt,
  type Refusal,
  readData,
  SmartLayerError,
  STREAM_RANGE_BYTES,
  STREAM_RANGE_LIMIT,
  type StreamItem,
  type StreamState,
  type StreamStatus,
  type SubsetState,
  streamNamed,
  uidOf,
  urgentGap,
  type Verdict,
  type WireMessage,
  ZERO_32,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { LogPlace } from '../ports/stream-log.ts'
import type { PostOffice } from '../wire/post-office.ts'
import { Certifier } from './certifier.ts'
import { Checkpointer } from './checkpointer.ts'
import { drawOf } from './draw.ts'
import { type Early, EarlyEntries } from './early-entries.ts'
import { EntryDoor } from './entry-door.ts'
import { HomeStreams, logEntryOf } from './home-streams.ts'
import { HOT_S, Keeper } from './keeper.ts'
import { encodedOf, unpack } from './packing.ts'
import { checkRun, Publisher } from './publisher.ts'
import { RevocationBook } from './revocation-book.ts'
import { Snapshots } from './snapshots.ts'
import { type Head, Spreader } from './spreader.ts'
import type { ReadEntry, ReadRequest, StreamReader } from './stream-reader.ts'

export const STREAM_PAGE_LIMIT = 64
const PAGE_BYTES = 256 * 1_024
/** Streams that moved lately: their heads are told to other home anchors, their tails are looked after. */
const MOVED_LIMIT = 10_000
const MOVED_MS = 10_000
const BEAT_MS = 1_000
/** Other streams whose heads are told with each beat, one after another. */
const SAMPLE = 16
const FORKS_PER_BEAT = 4
/** How often an anchor asks another one for all its heads, in beats; and at its start. */
const LIST_BEATS = 30
const WATCHER_LIMIT = 4_096
const WAITING_LIMIT = 4_096
const GAP_LIMIT = 10_000
/** A gap that was asked for so often in vain is forgotten: if it is one, heads tell of it again. */
const ASKS_LIMIT = 12
/** Entries that wait for those before them, which others have, are kept so long. */
const EARLY_BEHIND_MS = 5_000
/** Damaged entries that are asked for at a time. */
const MENDS_AT_A_TIME = 16
/** Entries without a receipt that are stepped over to find the head of a subset. */
const SUBSET_TAIL_LIMIT = 64

type ServicePorts = Pick<Ports, 'store' | 'log' | 'identity' | 'telemetry' | 'clock' | 'random'>
type Range = Extract<WireMessage, { type: 'stream-range' }>
/** `certificate` is for a place that is not here yet. */
type KnownGap = { gap: Gap; known: bigint; from: Address | undefined; certificate: CertifiedReceipt | undefined }

export class StreamService implements StreamReader {
  readonly revocations: RevocationBook
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #door: EntryDoor
  readonly #streams: HomeStreams
  readonly #certifier: Certifier
  readonly #publisher: Publisher
  readonly #spreader: Spreader
  readonly #checkpointer: Checkpointer
  readonly #keeper: Keeper
  readonly #snapshots: Snapshots
  /** When a stream last moved here. */
  readonly #moved = new Map<Bytes32, number>()
  readonly #early = new EarlyEntries()
  readonly #gaps = new Map<Bytes32, KnownGap>()
  readonly #watchers = new Map<Bytes32, Set<() => void>>()
  readonly #waiting = new Map<string, { readonly run: () => void; readonly until: number }[]>()
  #waitingCount = 0
  #sampleAfter: Bytes32 | undefined
  #listing: Address | undefined
  #beats = 0
  #timer: Cancel = () => {}

  constructor(ports: ServicePorts, context: NodeContext, post: PostOffice) {
    this.#ports = ports
    this.#context = context
    this.#post = post
    const { keccak } = ports.identity.crypto
    this.revocations = new RevocationBook(ports.store, keccak)
    this.#door = new EntryDoor(
      ports,
      context,
      this.revocations,
      (stream, sequence) => sequence > this.#streams.state(stream).certified,
    )
    this.#streams = new HomeStreams(ports, keccak)
    this.#certifier = new Certifier(ports, context)
    this.#keeper = new Keeper(ports, { streams: this.#streams, hotS: context.parameters.hotS ?? HOT_S })
    this.#checkpointer = new Checkpointer(ports, context, {
      post,
      streams: this.#streams,
      certified: ({ checkpoint }) => this.#keeper.mark(checkpoint),
    })
    this.#publisher = new Publisher(ports, context, {
      post,
      door: this.#door,
      events: {
        takeOwn: (entries) => this.#revokeFirst(entries, () => this.#take(this.#self, entries)),
        signed: ({ data: { stream, epoch, sequence }, uid }) =>
          this.#certifier.signed({ stream, epoch, sequence, uid }),
        linksBetween: (entry, to) => this.#linksBetween(entry, to),
        certificateOf: (entry) => this.#certificateOf(entry),
      },
    })
    this.#spreader = new Spreader(ports, {
      post,
      log: ports.log,
      events: {
        servedUpTo: (stream, to) => this.#servedUpTo(stream, to),
        head: (interest) => this.#headOf(interest),
        proof: (stream, sequence) => this.#checkpointer.proof(stream, sequence),
        checkpoint: (stream) => this.checkpoint(stream),
        promised: (peer, { stream, subset, after }) => this.#keeper.promise(stream, peer, { subset, after }),
      },
    })
    this.#snapshots = new Snapshots(ports, {
      post,
      door: this.#door,
      checkpointer: this.#checkpointer,
      mayServe: (stream, to) => this.#home(stream).anchors.includes(to),
      installed: (stream) => {
        this.#streams.reload(stream)
        this.#noteMoved(stream)
        this.#ask()
      },
    })
    this.#listen()
  }

  /** Looks after what was under way when the node ended, and from then on after everything that moves. */
  start(): void {
    for (const stream of this.#ports.log.streams({ after: undefined, limit: MOVED_LIMIT })) {
      const { state } = this.#streams.get(stream)
      if (state.certified < state.sequence) this.#noteMoved(stream)
    }
    this.#tick()
  }

  stop(): void {
    this.#timer()
  }

  /**
   * Takes entries from an issuer to all home anchors of their stream. Throws as `Publisher.publish`, and `attestation.domain` when
   * the issuer says that it signed for another chain or EAS contract.
   */
  async publish(items: readonly StreamItem[], domain?: PublishRequest['domain']): Promise<CertifiedReceipt> {
    const { chainId, verifyingContract } = this.#context.easDomain
    if (domain && (domain.chainId !== chainId || domain.verifyingContract !== verifyingContract)) {
      const detail = `chain ${domain.chainId}, contract ${domain.verifyingContract}`
      throw SmartLayerError.of('attestation.domain', { detail })
    }
    return this.#publisher.publish(items)
  }

  state(stream: Bytes32): StreamState {
    return this.#streams.state(stream)
  }

  subset(stream: Bytes32, subset: Bytes32): SubsetState {
    return this.#streams.subset(stream, subset)
  }

  floor(stream: Bytes32): bigint {
    return this.#ports.log.floor(stream)
  }

  entries(stream: Bytes32, { subset, after, limit }: ReadRequest): readonly ReadEntry[] {
    const isWhole = subset === undefined || subset === stream
    const read = { after, limit: Math.min(limit, STREAM_PAGE_LIMIT), bytes: PAGE_BYTES }
    const found = isWhole ? this.#ports.log.read(stream, read) : this.#ports.log.readSubset(stream, subset, read)
    const { certified } = this.#streams.state(stream)
    const entries: ReadEntry[] = []
    for (const entry of found) {
      const cursor = isWhole ? entry.sequence : entry.subSequence
      if (cursor !== after + BigInt(entries.length) + 1n) {
        if (entries.length > 0) break
        throw SmartLayerError.of('stream.pruned', { floor: cursor - 1n, asked: after })
      }
      if (entry.sequence > certified) break
      entries.push({ cursor, item: decodeItem(entry.bytes) })
    }
    return entries
  }

  receipt(stream: Bytes32): CertifiedReceipt | undefined {
    const { certificate } = this.#streams.get(stream)
    return certificate && this.#certifier.proven(certificate)
  }

  checkpoint(stream: Bytes32): CertifiedCheckpoint | undefined {
    return this.#streams.get(stream).checkpoint
  }

  fork(stream: Bytes32): ForkProof | undefined {
    return this.#streams.fork(stream)?.proof
  }

  watch(stream: Bytes32, wake: () => void): () => void {
    const watchers = this.#watchers.get(stream) ?? new Set()
    if (watchers.size >= WATCHER_LIMIT) throw SmartLayerError.of('stream.subscribers', { limit: WATCHER_LIMIT })
    this.#watchers.set(stream, watchers.add(wake))
    return () => {
      watchers.delete(wake)
      if (watchers.size === 0 && this.#watchers.get(stream) === watchers) this.#watchers.delete(stream)
    }
  }

  promise(stream: Bytes32, reader: string, cursor: { subset?: Bytes32 | undefined; after: bigint }): void {
    this.#keeper.promise(stream, reader, cursor)
  }

  /** Prunes a stream now, as far as its class and the promised cursors allow. */
  prune(stream: Bytes32): Promise<bigint> {
    return this.#keeper.prune(stream)
  }

  /**
   * Whether an entry has its receipt, as far as this anchor can know: nothing else may enter a journal. `other` is certain: another
   * entry stands at its place. With `waiting`, `run` is called once it has, and forgotten after a while.
   */
  hasReceipt(entry: { stream: Bytes32; sequence: bigint; uid: Bytes32 }, run: () => void): 'yes' | 'waiting' | 'other' {
    const { stream, sequence, uid } = entry
    if (!this.#isHome(stream)) return 'yes'
    const { certified } = this.#streams.state(stream)
    if (sequence <= certified) {
      const place = this.#streams.placeAt(stream, sequence)
      return place && place.uid !== uid ? 'other' : 'yes'
    }
    if (this.#waitingCount < WAITING_LIMIT) {
      const key = `${stream}/${sequence}`
      const until = this.#ports.clock.monotonic() + 4 * this.#context.parameters.retryMs
      this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), { run, until }])
      this.#waitingCount++
    }
    return 'waiting'
  }

  /** What waits here, by kind: all of it ends by itself. */
  get waiting(): Readonly<Record<'publications' | 'journals' | 'early' | 'gaps', number>> {
    const [publications, early] = [this.#publisher.size, this.#early.size]
    return { publications, journals: this.#waitingCount, early, gaps: this.#gaps.size }
  }

  /** Streams that this anchor holds, those that moved last first. */
  status(limit: number): readonly StreamStatus[] {
    const moved = [...this.#moved.keys()].reverse()
    const others = this.#ports.log.streams({ after: undefined, limit })
    return [...new Set([...moved, ...others])].slice(0, limit).map((stream) => this.#statusOf(stream))
  }

  /** Counts a refusal of a home anchor for one of our pending entries. */
  refused(from: Address, uid: Bytes32, refusal: { code: string; facts: Record<string, unknown> }): void {
    this.#publisher.refused(from, uid, refusal)
  }

  #listen(): void {
    const post = this.#post
    post.on('publish', (from, { packed }) => this.#receive(from, unpack(packed)))
    post.on('receipt', (from, { receipt, signature }) => this.#count(from, receipt, signature))
    post.on('certified', (_, { certified }) => this.#learn(certified))
    post.on('stream-range', (from, range) => this.#receiveRange(from, range))
    post.on('stream-pruned', (from, pruned) => {
      if (pruned.certified) this.#checkpointer.learn(pruned.certified)
      const { state } = this.#streams.get(pruned.stream)
      if (this.#isHome(pruned.stream) && state.sequence === 0n) this.#snapshots.ask(from, pruned.stream)
    })
    post.on('stream-heads', (from, { heads }) => this.#hear(from, heads))
    post.on('stream-list-request', (from, { after }) => this.#list(from, after))
    post.on('fork', (from, { first, second }) => this.#receiveFork(from, first, second))
    post.on('revocation', (_, { item }) => this.#receiveRevocation(item))
  }

  // --- taking entries ---

  /** Entries that an anchor brings from an issuer. The script of a type that is new here is loaded first. */
  #receive(from: Address, items: readonly StreamItem[]): void {
    const contract = items[0]?.attestation.message.recipient
    if (!contract) return
    if (this.#context.tokens.byContract(contract)) return this.#open(from, items)
    this.#door
      .prepare(contract)
      .then(() => this.#open(from, items))
      .catch((error) => this.#ports.telemetry.log('warn', 'stream.not_taken', { contract, error }))
  }

  #open(from: Address, items: readonly StreamItem[]): void {
    const entries: OpenEntry[] = []
    for (const item of items) {
      const opened = this.#known(item) ?? this.#door.open(item)
      if (!accepted(opened)) {
        this.#refuse(from, opened, ZERO_32)
        break
      }
      entries.push(opened.value)
    }
    if (entries.length === 0) return
    try {
      checkRun(entries)
    } catch (error) {
      const { code, facts } = error as SmartLayerError
      return this.#refuse(from, { code, facts }, entries[0]!.uid)
    }
    this.#revokeFirst(entries, () => this.#take(from, entries))
  }

  /** An entry that is under way here was opened before: a repetition costs no signature check. */
  #known(item: StreamItem): Verdict<OpenEntry> | undefined {
    const data = readData(item)
    const entry = data && this.#streams.held.get(data.stream)?.recent.get(data.sequence)
    return entry && sameEntry(entry.item, item) ? { verdict: 'accept', value: entry } : undefined
  }

  /** Decides, appends, and once it is on disk signs for the last entry of this message. */
  #take(from: Address, entries: readonly OpenEntry[]): void {
    const { stream } = entries[0]!.data
    if (!this.#isHome(stream)) return
    const taken = this.#streams.take(stream, entries)
    const held = this.#streams.get(stream)
    const type = this.#door.typeOf(entries[0]!.item)
    if (type && taken.entries.length > 0)
      held.retention = this.#keeper.retentionOf(ownInputs(type.rules.inputs, entries[0]!))
    if (taken.refusal) this.#explain(from, taken.refusal, entries.slice(entries.indexOf(taken.refusal.entry)))
    const { last } = taken
    if (!last) return
    this.#noteMoved(stream)
    taken.done.then(
      () => this.#acknowledge(from, last),
      (error: unknown) => this.#notWritten(from, last, error),
    )
    if (taken.entries.length > 0) this.#takeEarly(stream)
  }

  /** The entry is on disk: our receipt goes to all home anchors, and to whoever brought the entry. */
  #acknowledge(from: Address, { data, uid }: OpenEntry): void {
    const { stream, epoch, sequence } = data
    const isHere = this.#streams.placeAt(stream, sequence)?.uid === uid
    if (!isHere || !this.#streams.maySign(data)) return // given up meanwhile, or something else before
    const receipt: Receipt = { stream, epoch, sequence, uid, homeEpoch: this.#context.membership().epoch }
    const signature = this.#certifier.sign(receipt)
    const readers = new Set([...this.#home(stream).anchors, from])
    readers.delete(this.#self)
    this.#post.sendAll([...readers], { type: 'receipt', receipt, signature })
    this.#count(this.#self, receipt, signature)
  }

  #notWritten(from: Address, { uid, data }: OpenEntry, error: unknown): void {
    this.#ports.telemetry.log('warn', 'stream.not_written', { stream: data.stream, error })
    const code = error instanceof SmartLayerError ? error.code : 'store.failed'
    this.#refuse(from, { code, facts: { operation: 'append to the stream log' } }, uid)
  }

  #explain(
    from: Address,
    { entry, decision }: { entry: OpenEntry; decision: Refusal },
    rest: readonly OpenEntry[],
  ): void {
    const { stream } = entry.data
    if (decision.code === 'stream.fork') this.#proveFork(entry)
    const isEarly =
      decision.code === 'stream.sequence_gap' && entry.data.sequence > this.#streams.state(stream).sequence + 1n
    if (!isEarly) return this.#refuse(from, decision, entry.uid)
    this.#openGap(stream, entry.data.sequence - 1n, undefined)
    const late = this.#early.keep(from, rest, this.#ports.clock.monotonic())
    for (const each of late) this.#refuse(each.from, decision, each.entries[0]!.uid)
  }

  /** Entries that came before their turn are taken now, if it is their turn. */
  #takeEarly(stream: Bytes32): void {
    const next = this.#early.next(stream, this.#streams.state(stream).sequence + 1n)
    if (next) this.#take(next.from, next.entries)
  }

  /** What came too early and is not followed up was no accident of the network: it is refused. */
  #refuseEarly(): void {
    const now = this.#ports.clock.monotonic()
    // Others have what it follows: it waits until that is here as well.
    const isBehind = ({ entries, at }: Early) => {
      const { stream, sequence } = entries[0]!.data
      return now - at < EARLY_BEHIND_MS && (this.#gaps.get(stream)?.known ?? 0n) >= sequence
    }
    for (const { from, entries } of this.#early.expired(now - this.#context.parameters.retryMs, isBehind)) {
      const { uid, data } = entries[0]!
      const next = this.#streams.state(data.stream).sequence + 1n
      this.#refuse(from, { code: 'stream.sequence_gap', facts: { next, got: data.sequence } }, uid)
    }
  }

  /** An entry of a peer was refused. It goes back to the publisher, who settles when no quorum is possible any more. */
  #refuse(to: Address, refusal: { code: string; facts: object }, uid: Bytes32): void {
    const facts = JSON.stringify(refusal.facts, (_, value) => (typeof value === 'bigint' ? String(value) : value))
    if (to === this.#self) return this.refused(to, uid, { code: refusal.code, facts: JSON.parse(facts) })
    this.#post.send(to, {
      type: 'refused',
      instance: uid,
      about: 'publish',
      code: refusal.code,
      facts: facts.slice(0, 1024),
    })
  }

  // --- certifying ---

  #count(from: Address, receipt: Receipt, signature: `0x${string}`): void {
    const { stream, sequence } = receipt
    const held = this.#streams.held.get(stream)
    if (held && sequence <= held.state.certified && this.#isHome(stream) && !this.#publisher.awaits(receipt.uid)) {
      // Who repeats what all others have finished is told so.
      if (from !== this.#self && held.certificate) this.#tellRepeating(from, receipt)
      return
    }
    const outcome = this.#certifier.count(from, receipt, signature)
    if (outcome.outcome === 'two-faced') {
      this.#ports.telemetry.log('warn', 'receipt.two_faced', { anchor: from, stream, sequence, other: outcome.other })
    }
    // Whoever brought it there may have ended before it came here.
    const isFurther = outcome.outcome === 'counted' && sequence > (held?.state.sequence ?? 0n)
    if (isFurther && this.#isHome(stream)) this.#openGap(stream, sequence, from)
    if (outcome.outcome === 'certified') {
      this.#certified({ receipt: outcome.receipt, signatures: outcome.signatures, links: [] })
    }
  }

  readonly #told = new Map<string, { readonly sequence: bigint; readonly at: number }>()

  /** One late receipt is no sign of anything; the same one again is: that anchor does not know how far the others are. */
  #tellRepeating(to: Address, { stream, sequence }: Receipt): void {
    const key = `${to}/${stream}`
    const now = this.#ports.clock.monotonic()
    const before = this.#told.get(key)
    if (this.#told.size > MOVED_LIMIT) this.#told.clear()
    if (before?.sequence === sequence && now - before.at < this.#context.parameters.retryMs / 2) return
    this.#told.set(key, { sequence, at: now })
    if (before?.sequence !== sequence || now - before.at > MOVED_MS) return
    const certified = this.receipt(stream)
    if (certified) return this.#post.send(to, { type: 'certified', certified })
    // What convinced us does not convince others: they get our own word for it again.
    const own = this.#ownReceipt(stream, this.#streams.state(stream).certified)
    if (own) this.#post.send(to, { type: 'receipt', ...own })
  }

  /** Our signature for what we hold at a place, when there is nothing else that we signed for it. */
  #ownReceipt(stream: Bytes32, sequence: bigint): { receipt: Receipt; signature: `0x${string}` } | undefined {
    const place = this.#streams.placeAt(stream, sequence)
    if (!place || !this.#streams.maySign({ stream, epoch: place.epoch, sequence })) return undefined
    const homeEpoch = this.#context.membership().epoch
    const receipt: Receipt = { stream, epoch: place.epoch, sequence, uid: place.uid, homeEpoch }
    return { receipt, signature: this.#certifier.sign(receipt) }
  }

  /** Another anchor shows that 2f + 1 signed up to a place. */
  #learn(certified: CertifiedReceipt): void {
    const { receipt } = certified
    if (certified.links.length > 0 || !this.#isHome(receipt.stream)) return
    if (receipt.sequence <= this.#streams.state(receipt.stream).certified) return
    const entry = { stream: receipt.stream, sequence: receipt.sequence, uid: receipt.uid }
    const door = { domain: this.#context.domain, crypto: this.#ports.identity.crypto }
    if (accepted(checkReceipt(certified, entry, { home: this.#home(receipt.stream), ...door })))
      this.#certified(certified)
  }

  /** 2f + 1 home anchors hold everything up to this place: now it may leave, be journaled, and be answered for. */
  #certified(certificate: CertifiedReceipt): void {
    const { stream, sequence, uid } = certificate.receipt
    const held = this.#isHome(stream) ? this.#streams.get(stream) : undefined
    if (!held || sequence <= held.state.certified) return this.#answer(certificate)
    const place = this.#streams.placeAt(stream, sequence)
    if (place && place.uid !== uid) return void this.#giveUp(stream, sequence, certificate)
    if (!place || sequence > held.durable)
      return this.#openGap(stream, sequence, undefined, { urgent: !place, certificate })
    const { from, to } = this.#streams.certify(stream, certificate)
    this.#noteMoved(stream)
    this.#release(stream, from, to)
    this.#answer(certificate)
  }

  /** Issuers that wait here get the signatures, when they hold; until then more of them are counted. */
  #answer(certificate: CertifiedReceipt): void {
    const { stream, sequence, uid } = certificate.receipt
    if (this.#publisher.awaitsAny(stream)) {
      const proven = this.#certifier.proven(certificate)
      if (proven) this.#publisher.certified(proven)
    }
    if (!this.#publisher.awaits(uid)) this.#certifier.settle(stream, sequence)
  }

  /** Entries that have their receipt now. */
  #release(stream: Bytes32, from: bigint, to: bigint): void {
    const entries: OpenEntry[] = []
    for (let sequence = from; sequence <= to && entries.length < STREAM_RANGE_LIMIT; sequence++) {
      const entry = this.#streams.get(stream).recent.get(sequence)
      if (entry) entries.push(entry)
    }
    this.#spreader.spread(entries)
    for (const entry of entries) if (entry.revocation) this.#tellRevocation(entry)
    this.#streams.release(stream, to)
    this.#wake(stream)
    for (let sequence = from; sequence <= to && this.#waiting.size > 0; sequence++) this.#run(`${stream}/${sequence}`)
    this.#ports.telemetry.log('info', 'stream.certified', { stream, sequence: to })
  }

  /** What this anchor holds is not what the others certified: its own tail never had a receipt and is dropped. */
  async #giveUp(stream: Bytes32, upTo: bigint, certificate: CertifiedReceipt | undefined): Promise<void> {
    this.#ports.telemetry.log('warn', 'stream.tail_given_up', {
      stream,
      from: this.#streams.state(stream).certified + 1n,
    })
    try {
      await this.#streams.giveUpTail(stream)
    } catch (error) {
      return this.#ports.telemetry.log('error', 'stream.failed', { stream, error })
    }
    this.#openGap(stream, upTo, undefined, { urgent: true, certificate })
  }

  // --- repairing ---

  #openGap(
    stream: Bytes32,
    known: bigint,
    from: Address | undefined,
    { urgent = false, certificate }: { urgent?: boolean; certificate?: CertifiedReceipt | undefined } = {},
  ): void {
    const now = this.#ports.clock.monotonic()
    const before = this.#gaps.get(stream)
    if (!before && this.#gaps.size >= GAP_LIMIT) return
    const gap = before?.gap ?? (urgent ? urgentGap(now) : openGap(now, drawOf(this.#ports.random)))
    this.#gaps.set(stream, {
      gap,
      known: before && before.known > known ? before.known : known,
      from: from ?? before?.from,
      certificate: newer(certificate, before?.certificate),
    })
    if (urgent) this.#ask()
  }

  /** Asks for every gap that is due. */
  #ask(): void {
    const now = this.#ports.clock.monotonic()
    const draw = drawOf(this.#ports.random)
    for (const [stream, { gap, known, from, certificate }] of this.#gaps) {
      const { state, durable } = this.#streams.get(stream)
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
      const others = this.#others(stream)
      const random = others[Math.floor(draw() * others.length)]
      const asked = new Set([from ?? random, isWide(gap) ? random : undefined])
      asked.delete(undefined)
      // Asked in vain, the tail that has no receipt may be what does not fit; or the answer was lost, so in turns.
      const after = certificate && gap.attempts % 2 === 1 ? state.certified : state.sequence
      const request = { stream, subset: stream, after, limit: STREAM_RANGE_LIMIT, bytes: STREAM_RANGE_BYTES }
      this.#post.sendAll([...asked] as Address[], { type: 'stream-request', ...request })
      this.#gaps.set(stream, { gap: askedAgain(gap, now, draw), known, from: undefined, certificate })
    }
  }

  #receiveRange(from: Address, range: Range): void {
    if (range.subset !== range.stream || !this.#home(range.stream).anchors.includes(from)) return
    const items = unpack(range.packed)
    const [first] = items
    if (!first) return
    if (this.#door.typeOf(first)) return this.#takeRange(from, range, items)
    this.#door
      .prepare(first.attestation.message.recipient)
      .then(() => this.#takeRange(from, range, items))
      .catch((error) => this.#ports.telemetry.log('warn', 'stream.not_taken', { stream: range.stream, error }))
  }

  #takeRange(from: Address, { stream, proof }: Range, items: readonly StreamItem[]): void {
    const type = this.#door.typeOf(items[0]!)
    if (!type || !this.#isHome(stream) || this.#hasCome(stream, items.at(-1)!)) return
    const checkpointed = proof && this.#provenRange(stream, proof, items)
    const opened = checkpointed ?? this.#openRange(items)
    const certificate = this.#gaps.get(stream)?.certificate
    const proven = checkpointed ?? (certificate && leadingTo(certificate.receipt, opened))
    const entries = proven ?? opened
    if (entries.length === 0) return
    const rival = proven?.find(({ data, uid }) => (this.#streams.placeAt(stream, data.sequence)?.uid ?? uid) !== uid)
    if (rival) {
      this.#proveFork(rival)
      return void this.#giveUp(stream, entries.at(-1)!.data.sequence, certificate)
    }
    this.#mend(stream, entries)
    this.#revokeFirst(entries, () =>
      this.#takeRun(from, { stream, entries, proven: proven !== undefined, certificate }),
    )
  }

  /** The last entry of a range is here already, and all before it with it: who was slow answers twice. */
  #hasCome(stream: Bytes32, last: StreamItem): boolean {
    const sequence = readData(last)?.sequence ?? 0n
    if (sequence > this.#streams.state(stream).sequence || this.#ports.log.damaged().length > 0) return false
    const { keccak } = this.#ports.identity.crypto
    return this.#streams.placeAt(stream, sequence)?.uid === uidOf(last.attestation.message, keccak)
  }

  /** What the disk changed is asked for again, of anybody who holds the same. */
  #askForDamaged(): void {
    const damaged = this.#ports.log.damaged()
    if (damaged.length === 0) return
    const draw = drawOf(this.#ports.random)
    const first = Math.floor(draw() * damaged.length)
    for (const { stream, sequence } of [...damaged.slice(first), ...damaged.slice(0, first)].slice(
      0,
      MENDS_AT_A_TIME,
    )) {
      const others = this.#others(stream)
      const other = others[Math.floor(draw() * others.length)]
      const request = { stream, subset: stream, after: sequence - 1n, limit: 1, bytes: STREAM_RANGE_BYTES }
      if (other) this.#post.send(other, { type: 'stream-request', ...request })
    }
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
    try {
      const place = this.#streams.placeAt(stream, sequence)
      return place?.uid ?? this.#streams.itemAt(stream, sequence + 1n)?.attestation.message.refUID
    } catch {
      return undefined // that one is damaged as well, and mended first
    }
  }

  #takeRun(
    from: Address,
    {
      stream,
      entries,
      proven,
      certificate,
    }: { stream: Bytes32; entries: readonly OpenEntry[]; proven: boolean; certificate: CertifiedReceipt | undefined },
  ): void {
    const taken = this.#streams.take(stream, entries, { proven })
    if (taken.refusal?.decision.code === 'stream.fork') this.#proveFork(taken.refusal.entry)
    const { last } = taken
    if (!last) return
    this.#noteMoved(stream)
    if (taken.entries.length > 0) this.#takeEarly(stream)
    taken.done.then(
      () => {
        // Only what is new leads to the next request: a repeated answer that did would be asked for without end.
        const gap = taken.entries.length > 0 ? this.#gaps.get(stream) : undefined
        if (gap) this.#gaps.set(stream, { ...gap, gap: urgentGap(0), from })
        this.#acknowledge(from, last)
        if (certificate) this.#certified(certificate)
        if (gap) this.#ask()
      },
      (error: unknown) => this.#ports.telemetry.log('warn', 'stream.not_written', { stream, error }),
    )
  }

  #provenRange(
    stream: Bytes32,
    proof: NonNullable<Range['proof']>,
    items: readonly StreamItem[],
  ): readonly OpenEntry[] | undefined {
    const { certified, siblings, peaks } = proof
    const { crypto } = this.#ports.identity
    const known = this.checkpoint(stream)
    const isKnown = known !== undefined && known.checkpoint.root === certified.checkpoint.root
    const checked = isKnown
      ? ({ verdict: 'accept', value: certified.checkpoint } as const)
      : checkCheckpoint(certified, { home: this.#home(stream), domain: this.#context.domain, crypto })
    const type = this.#door.typeOf(items[0]!)
    if (!accepted(checked) || !type) return undefined
    const range = { items, checkpoint: certified.checkpoint, proof: { siblings, peaks } }
    const entries = checkRange({ stream, subset: stream }, range, this.#door.context(type))
    if (!accepted(entries)) {
      this.#ports.telemetry.log('warn', 'stream.range_refused', { stream, code: entries.code, ...entries.facts })
      return undefined
    }
    // A proof stands for what was said, not for the signatures beside it: what others get from us must hold by itself.
    if (this.#openRange(items).length < items.length) {
      this.#ports.telemetry.log('warn', 'stream.range_refused', { stream, code: 'attestation.signature' })
      return undefined
    }
    this.#checkpointer.learn(certified)
    return entries.value
  }

  /** Without a proof each entry stands for itself; the run ends before the first that does not hold. */
  #openRange(items: readonly StreamItem[]): readonly OpenEntry[] {
    const entries: OpenEntry[] = []
    for (const item of items) {
      const opened = this.#known(item) ?? this.#door.reopen(item)
      if (!accepted(opened)) break
      entries.push(opened.value)
    }
    return entries
  }

  // --- forks and revocations ---

  #proveFork(rival: OpenEntry): void {
    const { stream, sequence } = rival.data
    const own = this.#streams.itemAt(stream, sequence)
    if (own) this.#receiveFork(this.#self, own, rival.item)
  }

  /** Two entries for one place, both signed: the stream freezes, and everybody who follows it hears of it, once. */
  #receiveFork(from: Address, first: StreamItem, second: StreamItem): void {
    const stream = streamNamed(first)
    if (!this.#isHome(stream)) return
    const known = this.#streams.fork(stream)
    if (known && known.epoch >= (readData(first)?.epoch ?? 0n)) return
    const checked = this.#door.fork(first, second)
    if (!accepted(checked)) return
    const { epoch, sequence } = checked.value.first.data
    this.#ports.telemetry.log('warn', 'stream.forked', { stream, epoch, sequence })
    const readers = new Set([...this.#others(stream), ...this.#spreader.followersOf(stream)])
    readers.delete(from)
    this.#streams
      .freeze(stream, { first, second }, epoch)
      .then(() => {
        this.#post.sendAll([...readers], { type: 'fork', first, second })
        this.#wake(stream)
      })
      .catch((error) => this.#ports.telemetry.log('error', 'stream.failed', { stream, error }))
  }

  #revoke(entry: OpenEntry): void {
    const { stream } = entry.data
    this.revocations
      .add(entry)
      .then((isNew) => {
        if (isNew) this.#tellRevocation(entry)
      })
      .catch((error) => this.#ports.telemetry.log('error', 'stream.failed', { stream, error }))
  }

  #tellRevocation({ item, revocation, data: { stream } }: OpenEntry): void {
    this.#ports.telemetry.log('info', 'stream.revoked', { stream, uid: revocation?.revokes })
    const readers = new Set([...this.#others(stream), ...this.#spreader.followersOf(stream)])
    this.#post.sendAll([...readers], { type: 'revocation', item })
  }

  /** A revocation is kept before it stands in the stream: no crash leaves it there without effect. */
  #revokeFirst(entries: readonly OpenEntry[], take: () => void): void {
    const revoking = entries.filter(({ revocation }) => revocation !== undefined)
    if (revoking.length === 0) return take()
    Promise.all(revoking.map((entry) => this.revocations.add(entry)))
      .then(take)
      .catch((error) =>
        this.#ports.telemetry.log('warn', 'stream.not_taken', { stream: entries[0]!.data.stream, error }),
      )
  }

  /** An issuer's revocation counts as soon as it is seen: that it stands in the stream only makes it last. */
  #receiveRevocation(item: StreamItem): void {
    const opened = this.#door.reopen(item)
    if (accepted(opened) && opened.value.revocation) this.#revoke(opened.value)
  }

  // --- heads ---

  #tick(): void {
    const { retryMs } = this.#context.parameters
    const perBeat = Math.max(1, Math.round(BEAT_MS / retryMs))
    this.#ask()
    this.#askForDamaged()
    this.#spreader.announce()
    this.#refuseEarly()
    this.#hurryTails()
    this.#forgetWaiting()
    if (this.#beats++ % perBeat === 0) this.#beat(Math.floor(this.#beats / perBeat))
    this.#timer = this.#ports.clock.after(retryMs, () => this.#tick())
  }

  #beat(beat: number): void {
    this.#flush()
    this.#spreader.beat()
    this.#checkpointer.beat(this.#moved.keys())
    this.#keeper.beat()
    this.#tellHeads()
    if (beat % LIST_BEATS === 0) this.#askForList()
    const now = this.#ports.clock.monotonic()
    for (const [stream, at] of this.#moved) {
      if (now - at <= MOVED_MS || this.#checkpointer.isBehind(stream)) continue
      this.#moved.delete(stream)
      this.#streams.rest(stream)
    }
  }

  /** Entries that wait for their receipt too long: our signature is said again, which the others answer. */
  #hurryTails(): void {
    const now = this.#ports.clock.monotonic()
    for (const [stream, at] of this.#moved) {
      const held = this.#streams.held.get(stream)
      if (!held || held.durable <= held.state.certified || now - at < this.#context.parameters.retryMs) continue
      const own = this.#ownReceipt(stream, held.durable)
      if (!own) continue
      this.#post.sendAll(this.#others(stream), { type: 'receipt', ...own })
      this.#count(this.#self, own.receipt, own.signature)
      this.#moved.set(stream, now)
    }
  }

  /** Heads go to two other anchors: those that moved, and some of the rest, so that in time all are compared. */
  #tellHeads(): void {
    const sample = this.#ports.log.streams({ after: this.#sampleAfter, limit: SAMPLE })
    this.#sampleAfter = sample.length < SAMPLE ? undefined : sample.at(-1)
    const streams = new Set([...this.#moved.keys(), ...sample])
    const heads = [...streams]
      .slice(0, INTEREST_LIMIT)
      .flatMap((stream) => this.#headOf({ stream, subset: stream }) ?? [])
    if (heads.length === 0) return
    const anchors = this.#anchors
    const draw = drawOf(this.#ports.random)
    const first = Math.floor(draw() * anchors.length)
    const told = new Set([anchors[first], anchors[(first + 1) % anchors.length]])
    for (const anchor of told)
      if (anchor) this.#post.send(anchor, { type: 'stream-heads', heads, following: undefined })
    if (anchors[first]) this.#tellForks(anchors[first], sample)
  }

  /** A proof that was lost on its way, or missed by who was away, comes again. */
  #tellForks(to: Address, streams: readonly Bytes32[]): void {
    const forks = streams.flatMap((stream) => this.#streams.fork(stream) ?? []).slice(0, FORKS_PER_BEAT)
    for (const { proof } of forks) this.#post.send(to, { type: 'fork', ...proof })
  }

  /** Another anchor says how far streams reach: what is further there is asked for, what is further here is shown. */
  #hear(from: Address, heads: readonly Head[]): void {
    if (!this.#anchors.includes(from)) return
    for (const { stream, subset, sequence } of heads) {
      if (subset !== stream || !this.#isHome(stream)) continue
      const { state, certificate } = this.#streams.get(stream)
      if (sequence > state.sequence) this.#openGap(stream, sequence, from)
      else if (sequence > state.certified) this.#askCertificate(from, stream)
      else if (sequence < state.certified && certificate) {
        const certified = this.#certifier.proven(certificate)
        if (certified) this.#post.send(from, { type: 'certified', certified })
      }
    }
    if (from === this.#listing && heads.length >= INTEREST_LIMIT) {
      this.#post.send(from, { type: 'stream-list-request', after: heads.at(-1)!.stream })
    }
  }

  /** More has its receipt there than is known here: they are shown where we stand, and their answer is the certificate. */
  #askCertificate(from: Address, stream: Bytes32): void {
    const nothing = { stream, subset: stream, epoch: 1n, sequence: 0n, uid: ZERO_32 }
    const head = this.#headOf({ stream, subset: stream }) ?? nothing
    this.#post.send(from, { type: 'stream-heads', heads: [head], following: undefined })
  }

  #askForList(): void {
    const anchors = this.#anchors
    this.#listing = anchors[Math.floor(drawOf(this.#ports.random)() * anchors.length)]
    if (this.#listing) this.#post.send(this.#listing, { type: 'stream-list-request', after: ZERO_32 })
  }

  #list(to: Address, after: Bytes32): void {
    if (!this.#anchors.includes(to)) return
    const page = this.#ports.log.streams({ after: after === ZERO_32 ? undefined : after, limit: INTEREST_LIMIT })
    const heads = page.flatMap((stream) => this.#headOf({ stream, subset: stream }) ?? [])
    if (heads.length > 0) this.#post.send(to, { type: 'stream-heads', heads, following: undefined }, 'backfill')
  }

  /** The last place with a receipt, in the stream or in a subset. */
  #headOf({ stream, subset }: Interest): Head | undefined {
    const { certified } = this.#streams.state(stream)
    if (certified === 0n) return undefined
    if (subset === stream) {
      const place = this.#streams.placeAt(stream, certified)
      return place && { stream, subset, epoch: place.epoch, sequence: certified, uid: place.uid }
    }
    const place = this.#certifiedIn(stream, subset, certified)
    return place && { stream, subset, epoch: place.epoch, sequence: place.subSequence, uid: place.uid }
  }

  /** The last entry of a subset that has its receipt: behind it there may be a tail that never gets one. */
  #certifiedIn(stream: Bytes32, subset: Bytes32, certified: bigint): LogPlace | undefined {
    let place = this.#ports.log.subsetHead(stream, subset)
    for (let steps = 0; place && place.sequence > certified; steps++) {
      const before = place.subSequence - 1n
      if (before < 1n || steps >= SUBSET_TAIL_LIMIT) return undefined
      const [entry]: readonly LogPlace[] = this.#ports.log.readSubset(stream, subset, {
        after: before - 1n,
        limit: 1,
        bytes: 1,
      })
      place = entry?.subSequence === before ? entry : undefined
    }
    return place
  }

  // --- small things ---

  #servedUpTo(stream: Bytes32, to: Address): bigint {
    const { certified } = this.#streams.state(stream)
    if (!this.#home(stream).anchors.includes(to)) return certified
    return this.#streams.held.get(stream)?.durable ?? this.#ports.log.head(stream)?.sequence ?? 0n
  }

  /** The newest certificate, when it stands for this entry too. */
  #certificateOf({ data: { stream, sequence }, uid }: OpenEntry): CertifiedReceipt | undefined {
    const certificate = this.#isHome(stream) ? this.receipt(stream) : undefined
    if (!certificate || certificate.receipt.sequence < sequence) return undefined
    return this.#streams.placeAt(stream, sequence)?.uid === uid ? certificate : undefined
  }

  #linksBetween({ data, uid }: OpenEntry, to: Receipt): readonly Attest[] | undefined {
    const { stream, sequence } = data
    if (to.sequence - sequence > BigInt(LINK_LIMIT)) return undefined
    if (this.#isHome(stream) && this.#streams.placeAt(stream, sequence)?.uid !== uid) return undefined
    const links: Attest[] = []
    for (let place = sequence + 1n; place <= to.sequence; place++) {
      const item = this.#streams.itemAt(stream, place)
      if (!item) return undefined
      links.push(item.attestation.message)
    }
    return links
  }

  #statusOf(stream: Bytes32): StreamStatus {
    const { state, issuer, checkpoint, durable } = this.#streams.get(stream)
    const { epoch, sequence, head, certified, frozenAfter } = state
    const gap = this.#gaps.get(stream)
    const [name, reason] =
      frozenAfter !== undefined
        ? ['frozen', `its issuer signed two entries for one place; nothing is taken after ${frozenAfter}`]
        : gap && gap.known > sequence
          ? ['behind', `entries up to ${gap.known} are known elsewhere and asked for`]
          : certified < durable
            ? ['certifying', `${durable - certified} entries wait for 2f + 1 receipts`]
            : ['live', 'everything here has its receipt']
    return {
      stream,
      issuer,
      epoch,
      sequence,
      head,
      certified,
      checkpoint: checkpoint?.checkpoint.size ?? 0n,
      floor: this.floor(stream),
      frozenAfter,
      followers: this.#spreader.followersOf(stream).length + (this.#watchers.get(stream)?.size ?? 0),
      state: name!,
      reason: reason!,
    }
  }

  /** Certificates and checkpoints reach the disk a moment later than their entries: lost, they are gathered again. */
  #flush(): void {
    const dirty = [...this.#streams.held].filter(([, held]) => held.dirty).slice(0, 256)
    if (dirty.length === 0) return
    const writes = dirty.map(([stream, held]) => {
      held.dirty = false
      return this.#streams.rowWrite(stream)
    })
    this.#ports.store.commit(writes).catch((error) => this.#ports.telemetry.log('error', 'stream.failed', { error }))
  }

  #noteMoved(stream: Bytes32): void {
    this.#moved.delete(stream)
    this.#moved.set(stream, this.#ports.clock.monotonic())
    if (this.#moved.size <= MOVED_LIMIT) return
    const [oldest] = this.#moved.keys()
    this.#moved.delete(oldest!)
  }

  #wake(stream: Bytes32): void {
    for (const wake of this.#watchers.get(stream) ?? []) wake()
  }

  #run(key: string): void {
    const waiting = this.#waiting.get(key)
    if (!waiting) return
    this.#waiting.delete(key)
    this.#waitingCount -= waiting.length
    for (const { run } of waiting) run()
  }

  #forgetWaiting(): void {
    const now = this.#ports.clock.monotonic()
    for (const [key, waiting] of this.#waiting) {
      const left = waiting.filter(({ until }) => until > now)
      if (left.length === 0) this.#waiting.delete(key)
      else if (left.length < waiting.length) this.#waiting.set(key, left)
      this.#waitingCount -= waiting.length - left.length
    }
  }

  #isHome(stream: Bytes32): boolean {
    return this.#home(stream).anchors.includes(this.#self)
  }

  #home(stream: Bytes32): Home {
    return homeOf(stream, this.#context.membership(), this.#ports.identity.crypto.keccak)
  }

  #others(stream: Bytes32): readonly Address[] {
    return this.#home(stream).anchors.filter((anchor) => anchor !== this.#self)
  }

  /** All other anchors. */
  get #anchors(): readonly Address[] {
    return this.#context
      .membership()
      .members.filter(({ role, node }) => role === 'anchor' && node !== this.#self)
      .map(({ node }) => node)
  }

  get #self(): Address {
    return this.#ports.identity.signer.address
  }
}

/** The inputs that are declared for the stream of this entry. */
function ownInputs<T extends { readonly issuer: Address; readonly lane: Bytes32 }>(
  inputs: Readonly<Record<string, T>>,
  { issuer, lane }: OpenEntry,
): Record<string, T> {
  return Object.fromEntries(Object.entries(inputs).filter(([, rule]) => rule.issuer === issuer && rule.lane === lane))
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

/** All that travels is the same: nothing new needs checking. */
function sameEntry(a: StreamItem, b: StreamItem): boolean {
  return Buffer.compare(encodedOf(a), encodedOf(b)) === 0
}
