/** A home anchor's part in streams: it takes entries in, answers for them, and lets those with a receipt out. */
import {
  type Address,
  type Attest,
  accepted,
  type Bytes32,
  type CertifiedCheckpoint,
  type CertifiedReceipt,
  type ForkProof,
  LINK_LIMIT,
  type OpenEntry,
  type PublishRequest,
  type Receipt,
  type Refusal,
  SmartLayerError,
  STREAM_RANGE_LIMIT,
  type StreamItem,
  type StreamState,
  type StreamStatus,
  type SubsetState,
  ZERO_32,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Standings } from '../directory/standings.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import { Alarms } from './alarms.ts'
import { Certification } from './certification.ts'
import { Certifier } from './certifier.ts'
import { Checkpointer } from './checkpointer.ts'
import { type Early, EarlyEntries } from './early-entries.ts'
import { EntryDoor } from './entry-door.ts'
import { Heads } from './heads.ts'
import { HomeStreams, type Taken } from './home-streams.ts'
import { Homes } from './homes.ts'
import { HOT_S, Keeper } from './keeper.ts'
import { decodedOf, unpack } from './packing.ts'
import { checkRun, Publisher } from './publisher.ts'
import { ReceiptWaiters } from './receipt-waiters.ts'
import { Repairer } from './repairer.ts'
import { RevocationBook } from './revocation-book.ts'
import { Snapshots } from './snapshots.ts'
import { Spreader } from './spreader.ts'
import type { ReadEntry, ReadRequest, StreamReader } from './stream-reader.ts'
import { StreamTakeOver, type StreamTaking } from './take-over.ts'

export const STREAM_PAGE_LIMIT = 64
const PAGE_BYTES = 256 * 1_024
/** Streams that moved lately: their heads are told to other home anchors, their tails are looked after. */
const MOVED_LIMIT = 10_000
const MOVED_MS = 10_000
const BEAT_MS = 1_000
const WATCHER_LIMIT = 4_096
/** Streams whose certificate and checkpoint are written down at a time. */
const FLUSH_LIMIT = 1_024
/** Entries that wait for those before them, which others have, are kept so long. */
const EARLY_BEHIND_MS = 5_000

type Parts = { readonly post: PostOffice; readonly standings: Standings }
type ServicePorts = Pick<Ports, 'store' | 'log' | 'identity' | 'telemetry' | 'clock' | 'random'>

export class StreamService implements StreamReader {
  readonly revocations: RevocationBook
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #homes: Homes
  readonly #door: EntryDoor
  readonly #streams: HomeStreams
  readonly #publisher: Publisher
  readonly #certification: Certification
  readonly #spreader: Spreader
  readonly #heads: Heads
  readonly #alarms: Alarms
  readonly #repairer: Repairer
  readonly #takeOver: StreamTakeOver
  readonly #checkpointer: Checkpointer
  readonly #keeper: Keeper
  readonly #early = new EarlyEntries()
  readonly #waiters: ReceiptWaiters
  /** When a stream last moved here. */
  readonly #moved = new Map<Bytes32, number>()
  readonly #watchers = new Map<Bytes32, Set<() => void>>()
  #onCertified: (data: OpenEntry['data']) => void = () => {}
  #ticks = 0
  #timer: Cancel = () => {}

  constructor(ports: ServicePorts, context: NodeContext, { post, standings }: Parts) {
    this.#ports = ports
    this.#context = context
    this.#post = post
    const { keccak } = ports.identity.crypto
    const homes = new Homes(ports, context)
    this.#homes = homes
    const signs = (stream: Bytes32) =>
      homes.isOwn(stream) && standings.epochFor(stream) === homes.of(stream).epoch && this.#takeOver.isWhole(stream)
    this.revocations = new RevocationBook(ports.store, keccak)
    this.#waiters = new ReceiptWaiters(ports.clock, 4 * context.parameters.retryMs)
    const streams = new HomeStreams(ports, keccak)
    this.#streams = streams
    const isOpenAt = (stream: Bytes32, sequence: bigint) => sequence > streams.state(stream).certified
    const door = new EntryDoor(ports, context, this.revocations, isOpenAt)
    this.#door = door
    const certifier = new Certifier(ports, context)
    this.#keeper = new Keeper(ports, { streams, hotS: context.parameters.hotS ?? HOT_S })
    this.#checkpointer = new Checkpointer(ports, context, {
      post,
      streams,
      signs,
      certified: ({ checkpoint }) => this.#keeper.mark(checkpoint),
    })
    this.#publisher = new Publisher(ports, context, {
      post,
      door,
      events: {
        takeOwn: (entries) => this.#alarms.revokeFirst(entries, () => this.#take(homes.self, entries)),
        signed: ({ data: { stream, epoch, sequence }, uid }) => certifier.signed({ stream, epoch, sequence, uid }),
        linksBetween: (entry, to) => this.#linksBetween(entry, to),
        certificateOf: (entry) => this.#certificateOf(entry),
      },
    })
    this.#spreader = new Spreader(ports, {
      post,
      log: ports.log,
      events: {
        servedUpTo: (stream, to) => this.#servedUpTo(stream, to),
        head: (interest) => this.#heads.of(interest),
        proof: (stream, sequence) => this.#checkpointer.proof(stream, sequence),
        checkpoint: (stream) => this.checkpoint(stream),
        promised: (peer, { stream, subset, after }) => this.#keeper.promise(stream, peer, { subset, after }),
      },
    })
    this.#alarms = new Alarms(ports, {
      post,
      door,
      streams,
      homes,
      revocations: this.revocations,
      followersOf: (stream) => this.#spreader.followersOf(stream),
      frozen: (stream) => this.#wake(stream),
    })
    this.#repairer = new Repairer(ports, {
      post,
      door,
      streams,
      homes,
      alarms: this.#alarms,
      checkpointer: this.#checkpointer,
      events: {
        taken: (stream, taken) => this.#noteTaken(stream, taken),
        durable: (from, last) => this.#certification.acknowledge(from, last),
        certified: (certificate) => this.#certification.certified(certificate),
        contradicted: (stream, upTo, certificate) => void this.#certification.giveUp(stream, upTo, certificate),
      },
    })
    this.#takeOver = new StreamTakeOver(ports, { streams, repairer: this.#repairer })
    this.#certification = new Certification(ports, context, {
      post,
      streams,
      homes,
      certifier,
      publisher: this.#publisher,
      repairer: this.#repairer,
      signs,
      released: (stream, from, to) => this.#release(stream, from, to),
    })
    this.#heads = new Heads(ports, {
      post,
      streams,
      homes,
      alarms: this.#alarms,
      moved: () => this.#moved.keys(),
      receipt: (stream) => this.receipt(stream),
      behind: (stream, known, from) => this.#repairer.open(stream, known, from),
    })
    const snapshots = new Snapshots(ports, {
      post,
      door,
      checkpointer: this.#checkpointer,
      mayServe: (stream, to) => homes.of(stream).anchors.includes(to),
      installed: (stream) => {
        streams.reload(stream)
        this.#noteMoved(stream)
        this.#repairer.ask()
      },
    })
    post.on('publish', (from, { packed }) => this.#receive(from, unpack(packed)))
    post.on('stream-pruned', (from, { stream, certified }) => {
      if (certified) this.#checkpointer.learn(certified)
      if (homes.isOwn(stream) && streams.get(stream).state.sequence === 0n) snapshots.ask(from, stream)
    })
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
      entries.push({ cursor, item: decodedOf(entry.bytes) })
    }
    return entries
  }

  receipt(stream: Bytes32): CertifiedReceipt | undefined {
    return this.#certification.receipt(stream)
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
    if (!this.#homes.isOwn(stream)) return 'yes'
    const { certified } = this.#streams.state(stream)
    if (sequence <= certified) {
      const place = this.#streams.placeAt(stream, sequence)
      return place && place.uid !== uid ? 'other' : 'yes'
    }
    this.#waiters.add(stream, sequence, run)
    return 'waiting'
  }

  /** Calls for every entry that has its receipt since now. */
  onCertified(run: (data: OpenEntry['data']) => void): void {
    this.#onCertified = run
  }

  /** The last place of a subset that has its receipt; 0 for none. */
  certifiedIn(stream: Bytes32, subset: Bytes32): bigint {
    return this.#heads.of({ stream, subset })?.sequence ?? 0n
  }

  /** Streams that this anchor holds anything of, in order of their ids, from just after one of them. */
  after(stream: Bytes32 | undefined, limit: number): readonly Bytes32[] {
    return this.#ports.log.streams({ after: stream, limit })
  }

  /** What this anchor holds of a stream, for the home set that follows: with a receipt or without. */
  holds(stream: Bytes32): { readonly sequence: bigint; readonly uid: Bytes32; readonly receipt?: CertifiedReceipt } {
    const { sequence, head } = this.#streams.state(stream)
    const receipt = this.receipt(stream)
    return { sequence, uid: head, ...(receipt && { receipt }) }
  }

  /** Takes over streams from the home set before: what its anchors hold must be here before anything is signed. */
  async takeOver(takings: ReadonlyMap<Bytes32, StreamTaking>): Promise<void> {
    await this.#takeOver.expect(takings)
    const claims = [...takings.values()].flatMap((taking) => taking.claims)
    for (const { receipt } of claims) if (receipt) this.#certification.learn(receipt)
  }

  /** What waits here, by kind: all of it ends by itself. */
  get waiting(): Readonly<Record<'publications' | 'journals' | 'early' | 'gaps', number>> {
    const [publications, journals] = [this.#publisher.size, this.#waiters.size]
    return { publications, journals, early: this.#early.size, gaps: this.#repairer.size }
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
      const opened = this.#streams.known(item) ?? this.#door.open(item)
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
    this.#alarms.revokeFirst(entries, () => this.#take(from, entries))
  }

  /** Decides, appends, and once it is on disk signs for the last entry of this message. */
  #take(from: Address, entries: readonly OpenEntry[]): void {
    const { stream } = entries[0]!.data
    if (!this.#homes.isOwn(stream)) return
    const taken = this.#streams.take(stream, entries)
    const { last, refusal } = taken
    if (refusal) this.#explain(from, refusal, entries.slice(entries.indexOf(refusal.entry)))
    this.#noteTaken(stream, taken)
    if (!last) return
    taken.done.then(
      () => this.#certification.acknowledge(from, last),
      (error: unknown) => this.#notWritten(from, last, error),
    )
  }

  #noteTaken(stream: Bytes32, { entries, last }: Taken): void {
    if (last) this.#noteMoved(stream)
    const [first] = entries
    if (!first) return
    const type = this.#door.typeOf(first.item)
    if (type) this.#streams.get(stream).retention = this.#keeper.retentionOf(ownInputs(type.rules.inputs, first))
    this.#takeEarly(stream)
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
    if (decision.code === 'stream.fork') this.#alarms.proveFork(entry)
    const isEarly =
      decision.code === 'stream.sequence_gap' && entry.data.sequence > this.#streams.state(stream).sequence + 1n
    if (!isEarly) return this.#refuse(from, decision, entry.uid)
    this.#repairer.open(stream, entry.data.sequence - 1n, undefined)
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
      return now - at < EARLY_BEHIND_MS && this.#repairer.toldOf(stream) >= sequence
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
    if (to === this.#homes.self) return this.refused(to, uid, { code: refusal.code, facts: JSON.parse(facts) })
    this.#post.send(to, {
      type: 'refused',
      instance: uid,
      about: 'publish',
      code: refusal.code,
      facts: facts.slice(0, 1024),
    })
  }

  /** Entries that have their receipt now. */
  #release(stream: Bytes32, from: bigint, to: bigint): void {
    this.#noteMoved(stream)
    const entries: OpenEntry[] = []
    for (let sequence = from; sequence <= to && entries.length < STREAM_RANGE_LIMIT; sequence++) {
      const entry = this.#streams.get(stream).recent.get(sequence)
      if (entry) entries.push(entry)
    }
    this.#spreader.spread(entries)
    for (const { data } of entries) this.#onCertified(data)
    for (const entry of entries) if (entry.revocation) this.#alarms.tellRevocation(entry)
    this.#streams.release(stream, to)
    this.#wake(stream)
    this.#waiters.run(stream, from, to)
    this.#ports.telemetry.log('info', 'stream.certified', { stream, sequence: to })
  }

  // --- time ---

  #tick(): void {
    const { retryMs } = this.#context.parameters
    const perBeat = Math.max(1, Math.round(BEAT_MS / retryMs))
    this.#takeOver.ask()
    this.#repairer.ask()
    this.#repairer.askForDamaged()
    this.#spreader.announce()
    this.#refuseEarly()
    this.#hurryTails()
    this.#waiters.forgetOld()
    if (this.#ticks % perBeat === 0) this.#beat(this.#ticks / perBeat)
    this.#ticks++
    this.#timer = this.#ports.clock.after(retryMs, () => this.#tick())
  }

  #beat(beat: number): void {
    this.#flush()
    this.#spreader.beat()
    this.#checkpointer.beat(this.#moved.keys())
    this.#keeper.beat()
    this.#heads.beat(beat)
    const now = this.#ports.clock.monotonic()
    for (const [stream, at] of this.#moved) {
      if (now - at <= MOVED_MS || this.#checkpointer.isBehind(stream)) continue
      this.#moved.delete(stream)
      this.#streams.rest(stream)
    }
  }

  /** Entries that wait for their receipt too long: our signature is said again. */
  #hurryTails(): void {
    const now = this.#ports.clock.monotonic()
    for (const [stream, at] of this.#moved) {
      const held = this.#streams.held.get(stream)
      if (!held || held.durable <= held.state.certified || now - at < this.#context.parameters.retryMs) continue
      if (this.#certification.repeat(stream, held.durable)) this.#moved.set(stream, now)
    }
  }

  // --- small things ---

  #servedUpTo(stream: Bytes32, to: Address): bigint {
    const { certified } = this.#streams.state(stream)
    if (!this.#homes.of(stream).anchors.includes(to)) return certified
    return this.#streams.held.get(stream)?.durable ?? this.#ports.log.head(stream)?.sequence ?? 0n
  }

  /** The newest certificate, when it stands for this entry too. */
  #certificateOf({ data: { stream, sequence }, uid }: OpenEntry): CertifiedReceipt | undefined {
    const certificate = this.#homes.isOwn(stream) ? this.receipt(stream) : undefined
    if (!certificate || certificate.receipt.sequence < sequence) return undefined
    return this.#streams.placeAt(stream, sequence)?.uid === uid ? certificate : undefined
  }

  #linksBetween({ data, uid }: OpenEntry, to: Receipt): readonly Attest[] | undefined {
    const { stream, sequence } = data
    if (to.sequence - sequence > BigInt(LINK_LIMIT)) return undefined
    if (this.#homes.isOwn(stream) && this.#streams.placeAt(stream, sequence)?.uid !== uid) return undefined
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
    const told = this.#repairer.toldOf(stream)
    const [name, reason] =
      frozenAfter !== undefined
        ? ['frozen', `its issuer signed two entries for one place; nothing is taken after ${frozenAfter}`]
        : told > sequence
          ? ['behind', `entries up to ${told} are known elsewhere and asked for`]
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
    const dirty = [...this.#streams.held].filter(([, held]) => held.dirty).slice(0, FLUSH_LIMIT)
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
}

/** The inputs that are declared for the stream of this entry. */
function ownInputs<T extends { readonly issuer: Address; readonly lane: Bytes32 }>(
  inputs: Readonly<Record<string, T>>,
  { issuer, lane }: OpenEntry,
): Record<string, T> {
  return Object.fromEntries(Object.entries(inputs).filter(([, rule]) => rule.issuer === issuer && rule.lane === lane))
}
