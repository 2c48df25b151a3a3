/** An instance that this service node holds: its replica, its placement and lease, and the executor while it is elected. */
import {
  type Address,
  accepted,
  type Bytes32,
  type CertifiedJournalCheckpoint,
  type CertifiedPlacement,
  type CertifiedRenewal,
  type CommitProof,
  type Entry,
  type Freshness,
  faultsTolerated,
  formatTokenRef,
  type Hex,
  type HomeSet,
  type Interest,
  type JournalCheckpoint,
  type JournaledEntry,
  type JournalInput,
  judgeRead,
  type KeptCheckpoint,
  knownAsOf,
  mayServe,
  type Place,
  type Placement,
  type Received,
  type Renew,
  type Sent,
  SmartLayerError,
  streamOf,
  subsetOf,
  type WireMessage,
} from '@smartlayer/protocol'
import { signReceived, signSent } from '../composition/correspondence.ts'
import { Courier } from '../composition/courier.ts'
import type { PlacementFinder } from '../composition/placement-finder.ts'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { QuorumDoor } from '../directory/quorum-door.ts'
import { Idleness } from '../dormancy/idleness.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { TurnSigner } from '../wire/turn-signer.ts'
import { CheckpointKeeper } from './checkpoint-keeper.ts'
import type { Secrets } from './effect-performer.ts'
import { Executor, type ReleaseMessage, releasedKey } from './executor.ts'
import type { InputBuffer } from './input-buffer.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import { type Confirmed, Replica, type ReplicaEvents, type SignedExecuted } from './replica.ts'

const RANGE_LIMIT = 64
const WAITER_LIMIT = 1024
/** Reads that may wait for a fresher position, and for how long. */
const READER_LIMIT = 1_024
const READ_WAIT_MS = 1_000
/** Home anchors are not asked more often than this whether there is anything newer, however many reads want to know. */
const SEEK_PAUSE_MS = 20

type Parts = {
  post: PostOffice
  inputs: InputBuffer
  secrets: Secrets
  door: QuorumDoor
  signer: TurnSigner
  /** Where other tokens live. */
  finder: PlacementFinder
}
type Placed = { readonly certified: CertifiedPlacement; readonly hash: Bytes32; expires: bigint }
/** What an answer rests on: a confirmed position, the term it is served in, and when it was last known to be the newest. */
export type Readable = {
  readonly confirmed: Confirmed
  readonly term: bigint
  readonly asOf: bigint
  readonly stale: boolean
}
type Waiter = { n: bigint | undefined; readonly resolve: (confirmed: Confirmed) => void }

export class HostedInstance {
  readonly token: LoadedToken
  readonly replica: Replica
  readonly #ports: Ports
  readonly #context: NodeContext
  readonly #parts: Parts
  readonly #waiters = new Map<Bytes32, Waiter>()
  /** When a home anchor was asked first since it last answered, and up to where it then knew of nothing newer. */
  readonly #asked = new Map<Address, bigint>()
  readonly #said = new Map<Address, { readonly n: bigint; readonly at: bigint }>()
  readonly #readers = new Set<() => void>()
  #sought = Number.NEGATIVE_INFINITY
  #placed: Placed | undefined
  #executor: Executor | undefined
  #checkpoints: CheckpointKeeper | undefined
  #courier: Courier | undefined
  #release: { readonly message: ReleaseMessage; readonly until: bigint } | undefined
  #sleeping: Extract<WireMessage, { type: 'sleep' }> | undefined
  /** It sleeps, and everybody who had to hear of it was told for as long as the lease would have lasted. */
  #mayGo = false
  readonly #idleness: Idleness
  readonly #loadedAt: bigint

  constructor(ports: Ports, context: NodeContext, parts: Parts, token: LoadedToken) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    this.token = token
    this.#idleness = new Idleness(ports.clock, context.parameters.idleMs)
    this.#loadedAt = ports.clock.now()
    const events: ReplicaEvents = {
      executed: (entry, signed) => this.#executed(entry, signed),
      confirmed: (n) => this.#confirmed(n),
      disputed: (n, mine, theirs) => {
        ports.telemetry.log('warn', 'replica.disputed', { instance: token.instance, n, mine, theirs })
      },
      missing: (from) => this.#ask(from),
    }
    this.replica = new Replica(ports, context, token, { door: parts.door, signer: parts.signer, events })
  }

  async start(): Promise<void> {
    await this.replica.start()
    this.#follow()
    this.#ask(1n)
  }

  get placement(): CertifiedPlacement | undefined {
    return this.#placed?.certified
  }

  get expires(): bigint {
    return this.#placed?.expires ?? 0n
  }

  /** The name of the placement in force. */
  get placementHash(): Bytes32 | undefined {
    return this.#placed?.hash
  }

  get isExecutor(): boolean {
    return this.#executor !== undefined
  }

  /** True while an effect of ours may be under way. */
  get isCalling(): boolean {
    return this.#executor?.isCalling ?? false
  }

  /** True while this node is one of the replicas of a placement that runs. */
  get isPlacedHere(): boolean {
    const placed = this.#placed
    if (!placed?.certified.placement.replicas.includes(this.#self)) return false
    return mayServe(placed, this.#ports.clock.now(), BigInt(this.#context.parameters.epsilonMs))
  }

  /** The position under a lease that runs. Throws `query.not_serving` with the reason. */
  serving(): Confirmed {
    const held = this.#held()
    if (!mayServe(held.placed, this.#ports.clock.now(), BigInt(this.#context.parameters.epsilonMs)))
      throw notServing('the lease ended')
    return held.confirmed
  }

  /**
   * What a read may be answered from. What is not there yet is sought and waited for, within a bound. Throws `query.*`, and
   * `queue.full` when too many wait.
   */
  async read(wanted: Freshness): Promise<Readable> {
    this.#noteUse()
    const { clock } = this.#ports
    const until = clock.monotonic() + READ_WAIT_MS
    for (;;) {
      const held = this.#held()
      const position = this.#positionOf(held)
      const judged = judgeRead(wanted, position, position.now, this.#limits)
      if (accepted(judged)) return { ...this.basisOf(held.confirmed), asOf: position.asOf, stale: judged.value.stale }
      const leftMs = until - clock.monotonic()
      if (leftMs <= 0 || !this.#mayCome(judged.code)) throw SmartLayerError.fromData(judged.code, judged.facts)
      if (judged.code === 'query.not_linearizable') this.#executor?.mark()
      else this.#seek()
      await this.#change(leftMs)
    }
  }

  /** What an answer at this position says of itself, under the placement in force. */
  basisOf(confirmed: Confirmed): Readable {
    return { confirmed, term: this.#placed?.certified.placement.term ?? 0n, asOf: confirmed.time, stale: false }
  }

  /** Throws `query.not_linearizable`: asked after a result was computed, so that nobody else led while it was. */
  assertLeads(term: bigint): void {
    const executor = this.#executor
    if (executor?.lease.placement.term === term && executor.lease.mayAct(0)) return
    throw SmartLayerError.of('query.not_linearizable', { reason: 'the lease ended while it was computed' })
  }

  /** A placement of a higher term takes over; anything older is ignored. */
  place(certified: CertifiedPlacement): void {
    const { placement } = certified
    if (this.#placed && placement.term <= this.#placed.certified.placement.term) return
    const checked = this.#parts.door.placement(this.token, certified)
    if (!accepted(checked)) return
    this.#placed = { certified, hash: checked.value, expires: placement.expires }
    this.#executor?.stop()
    this.#executor = undefined
    this.#checkpoints = undefined
    this.#release = undefined
    this.#sleeping = undefined
    this.#mayGo = false
    this.#idleness.used()
    this.#courier = undefined
    this.replica.join(placement.replicas)
    this.#follow()
    this.#wake()
    this.#announce()
    if (this.#isBehindIncarnation) this.#ask(1n)
    if (placement.executor === this.#self && !this.#wasReleased(checked.value)) this.#elect(certified, checked.value)
  }

  /** A renewal moves the end of the lease. */
  extend(certified: CertifiedRenewal): void {
    const placed = this.#placed
    if (!placed || certified.renew.placement !== placed.hash || certified.renew.expires <= placed.expires) return
    const { placement } = placed.certified
    if (!accepted(this.#parts.door.renewal(this.token, certified, placement))) return
    placed.expires = certified.renew.expires
    this.#wake()
  }

  /** A home anchor answered: with nothing committed after what was asked for, the position here was the newest it knew of. */
  heardOf(anchor: Address, { nothingNewer }: { nothingNewer: boolean }): void {
    const at = this.#asked.get(anchor)
    this.#asked.delete(anchor)
    if (at === undefined || !nothingNewer) return
    this.#said.set(anchor, { n: this.replica.head.n, at })
    this.#wake()
  }

  take(entries: readonly JournaledEntry[], proof: CommitProof | undefined): void {
    if (proof) this.replica.take(entries, proof)
    // A page is followed by the next one at once, as long as there is room: who is far behind does not wait for the next beat.
    const last = entries.length > 1 ? entries.at(-1) : undefined
    if (last && this.replica.mayTake(last.entry.n + 1n)) this.#ask(last.entry.n + 1n)
  }

  /** What is before a checkpoint was cut: this replica goes on from there. */
  async install(kept: KeptCheckpoint): Promise<void> {
    if (!(await this.replica.install(kept))) return
    this.#announce()
    this.#follow()
    this.#ask(this.replica.head.n + 1n)
  }

  endorsed(from: Address, checkpoint: JournalCheckpoint, signature: Hex): void {
    this.#checkpoints?.endorsed(from, checkpoint, signature)
  }

  root(from: Address, signed: SignedExecuted): void {
    this.replica.count(from, signed)
  }

  accepted(from: Address, place: Place, signature: Hex): void {
    this.#executor?.accepted(from, place, signature)
  }

  held(from: Address, place: Place, signature: Hex): void {
    this.#executor?.held(from, place, signature)
  }

  renewed(from: Address, renew: Renew, signature: Hex): void {
    const executor = this.#executor
    if (!executor?.lease.count(from, renew, signature)) return
    this.#remind(executor.lease.placement)
    executor.pump()
    this.#wake()
  }

  /** The executor asks for our word that a message stands in our state. */
  signSent(from: Address, asked: Sent): void {
    const signed = signSent(this.#ports, this.#context, this.replica, asked)
    if (signed) this.#parts.post.send(from, signed)
  }

  sentBy(from: Address, sent: Sent, signature: Hex): void {
    this.#courier?.signed(from, sent, signature)
  }

  receipted(from: Address, received: Received, signature: Hex): void {
    this.#courier?.receipted(from, received, signature)
  }

  /** A message of another token: who has it already says so, and the executor journals what is new. */
  deliver(from: Address, message: JournalInput & { kind: 'message' }): void {
    const receipt = signReceived(this.#ports, this.#context, this.replica, message)
    if (receipt) this.#parts.post.send(from, receipt)
    else this.#executor?.take(message)
  }

  refused(from: Address, code: string, facts: string): void {
    this.#executor?.refused(from, code, facts)
  }

  pump(): void {
    this.#executor?.pump()
  }

  /** Hands an action to the executor, here or elsewhere. Throws `queue.full` or `query.not_serving`. */
  submit(input: JournalInput & { kind: 'action' | 'lifecycle' }): void {
    if (this.#executor) {
      if (!this.#executor.submit(input))
        throw SmartLayerError.of('queue.full', { queue: 'actions', limit: WAITER_LIMIT })
      return
    }
    const executor = this.#placed?.certified.placement.executor
    if (!executor) throw SmartLayerError.of('query.not_serving', { reason: 'it has no executor now' })
    if (input.kind === 'lifecycle')
      throw SmartLayerError.of('query.not_serving', { reason: `its executor is ${executor}` })
    const { action, signature, grant, args } = input
    this.#parts.post.send(executor, {
      type: 'action-request',
      instance: this.token.instance,
      action,
      signature,
      grant,
      args,
    })
  }

  /** Resolves once the action with this digest is committed and a majority computed the same state. */
  settled(action: Bytes32): Promise<Confirmed> {
    if (this.#waiters.size >= WAITER_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'actions', limit: WAITER_LIMIT })
    return new Promise((resolve) => this.#waiters.set(action, { n: undefined, resolve }))
  }

  forget(action: Bytes32): void {
    this.#waiters.delete(action)
  }

  /** Asks a home anchor for what this replica has not seen: entries, placement, lease. */
  catchUp(): void {
    // Roots may be lost like any message; until a majority is known here, ours is said again.
    if (BigInt(this.replica.confirmed?.state.n ?? -1) < this.replica.head.n) this.#announce()
    this.#ask(this.#isBehindIncarnation ? 1n : this.replica.head.n + 1n)
    this.#sendRelease()
    this.#offerCheckpoint()
    void this.#considerSleep()
  }

  /** Gives the lease back; the instance stays here and goes on serving reads until another placement takes over. */
  async leave(): Promise<void> {
    const executor = this.#executor
    this.#executor = undefined
    await executor?.release()
  }

  /** A lease that an earlier process of this node gave back is not taken up again: others may act already. */
  #wasReleased(hash: Bytes32): boolean {
    const released = this.#ports.store.get(releasedKey(this.token.instance))
    return released !== undefined && new TextDecoder().decode(released) === hash
  }

  #elect(certified: CertifiedPlacement, hash: Bytes32): void {
    const { post, inputs, secrets } = this.#parts
    const home = this.#parts.door.homeIn(this.token, certified.placement.term)
    if (!home) return
    const lease = new LeaseKeeper(this.#ports, this.#context, { post, home, certified, hash })
    const courier = new Courier(this.#ports, this.#context, {
      post,
      finder: this.#parts.finder,
      replica: this.replica,
      certified,
      submit: (receipt) => this.#executor?.take(receipt),
    })
    this.#courier = courier
    this.#executor = new Executor(this.#ports, this.#context, {
      post,
      inputs,
      secrets,
      replica: this.replica,
      lease,
      home,
      mayDeliver: (proof) => courier.deliver(proof),
      homeEnded: () => this.#parts.door.home(this.token).epoch > home.epoch,
      released: (message) => {
        this.#release = { message, until: this.expires }
        this.#sendRelease()
      },
    })
    const { instance, term, replicas } = certified.placement
    const kept = (made: CertifiedJournalCheckpoint) => this.replica.keep(made)
    this.#checkpoints = new CheckpointKeeper(this.#ports, this.#context, { post, home, replicas, certified: kept })
    this.#ports.telemetry.log('info', 'executor.elected', { instance, term })
  }

  /** Until the lease would have ended by itself: an anchor that takes over just now may not have heard of it. */
  #sendRelease(): void {
    if (!this.#release) return
    if (this.#release.until < this.#ports.clock.now()) {
      this.#release = undefined
      this.#mayGo = this.#sleeping !== undefined
      return
    }
    this.#parts.post.sendAll(this.#home.anchors, this.#release.message)
    if (!this.#sleeping) return
    const { replicas } = this.#placed!.certified.placement
    this.#parts.post.sendAll([...this.#home.anchors, ...replicas.filter((node) => node !== this.#self)], this.#sleeping)
  }

  /** Whoever missed the placement when it was made hears of it with the next renewal. */
  #remind(placement: Placement): void {
    const certified = this.#placed?.certified
    if (certified?.placement !== placement) return
    const readers = new Set([...this.#home.anchors, ...placement.replicas])
    readers.delete(this.#self)
    const token = formatTokenRef(this.token.ref)
    this.#parts.post.sendAll([...readers], { type: 'placement', token, certified })
  }

  #announce(): void {
    const signed = this.replica.lastRoot
    const others = this.#placed?.certified.placement.replicas.filter((node) => node !== this.#self) ?? []
    if (signed) this.#parts.post.sendAll(others, { type: 'executed', ...signed })
  }

  #executed(entry: Entry, signed: SignedExecuted): void {
    this.#idleness.used()
    const { placement } = this.#placed?.certified ?? {}
    const readers = new Set([...this.#home.anchors, ...(placement?.replicas ?? [])])
    readers.delete(this.#self)
    this.#parts.post.sendAll([...readers], { type: 'executed', ...signed })
    this.#ports.telemetry.log('info', 'replica.executed', {
      instance: entry.instance,
      n: entry.n,
      root: signed.executed.root,
    })
    const waiter = this.#waiters.get(entry.input)
    if (waiter) waiter.n = entry.n
    this.#follow()
    this.#executor?.pump()
  }

  #confirmed(n: bigint): void {
    const { confirmed } = this.replica
    if (!confirmed) return
    this.#offerCheckpoint()
    this.#wake()
    for (const [action, waiter] of this.#waiters) {
      if (waiter.n === undefined || waiter.n > n) continue
      this.#waiters.delete(action)
      waiter.resolve(confirmed)
    }
  }

  /** A home anchor wants a checkpoint of where the instance stands, however few entries that is after the last one. */
  wantCheckpoint(from: Address): void {
    if (this.#home.anchors.includes(from)) this.#offerCheckpoint({ after: 1 })
  }

  #offerCheckpoint({ after } = { after: this.#context.parameters.checkpointEvery }): void {
    const { confirmed, checkpoint } = this.replica
    const since = BigInt(confirmed?.state.n ?? 0) - (checkpoint?.n ?? 0n)
    if (confirmed && since >= BigInt(after)) this.#checkpoints?.offer(confirmed)
  }

  /** An instance in which nothing happens for long is put to sleep at a checkpoint of all that happened. */
  async #considerSleep(): Promise<void> {
    const executor = this.#executor
    const { state, head, confirmed, checkpoint } = this.replica
    if (!executor?.isQuiet || !state || !confirmed || !this.#idleness.isOver(state)) return
    if (confirmed.state.n !== String(head.n)) return
    if (checkpoint?.n !== head.n) return this.#checkpoints?.offer(confirmed)
    const placement = executor.lease.hash
    await this.leave()
    if (!this.#release) return // a call was under way: the lease runs out by itself
    this.#sleeping = { type: 'sleep', instance: this.token.instance, placement, n: head.n }
    this.#sendRelease()
  }

  /** Who asks here keeps the instance awake; its executor hears of it now and then. */
  #noteUse(): void {
    this.#idleness.used()
    const executor = this.#placed?.certified.placement.executor
    if (!executor || executor === this.#self || !this.#idleness.isToBeTold()) return
    this.#parts.post.send(executor, { type: 'used', instance: this.token.instance })
  }

  /** Another replica answers those who ask. */
  used(): void {
    this.#idleness.used()
  }

  /** The executor put it to sleep; what is here stays on disk for when it wakes. True when this replica can go. */
  mayRest(from: Address, { placement, n }: { placement: Bytes32; n: bigint }): boolean {
    const isItsExecutor = this.#placed?.hash === placement && this.#placed.certified.placement.executor === from
    return isItsExecutor && this.replica.checkpoint?.n === n && this.replica.head.n === n
  }

  /** True when it was put to sleep, or no placement names this node for long: the anchors have all that is here. */
  get isForgotten(): boolean {
    const { staleReadsMs, leaseMs } = this.#context.parameters
    const restMs = BigInt(staleReadsMs + 2 * leaseMs)
    if (this.#executor || this.#release) return false
    return this.#mayGo || this.#ports.clock.now() > this.#restedFrom() + restMs
  }

  #restedFrom(): bigint {
    const placed = this.#placed
    const isMine = placed?.certified.placement.replicas.includes(this.#self)
    return isMine ? placed!.expires : this.#loadedAt
  }

  /**
   * Follows the subsets that the present state names, from where the instance stands in them. One that lives elsewhere stands
   * still: it wants nothing, and no anchor keeps anything for it.
   */
  #follow(): void {
    const { state } = this.replica
    const { inputs } = this.#parts
    const { replicas } = this.#placed?.certified.placement ?? {}
    const isElsewhere = replicas !== undefined && !replicas.includes(this.#self)
    for (const { stream, subset } of this.topics) {
      const after = BigInt(state?.cursors[`${stream}:${subset}`]?.sequence ?? 0)
      if (isElsewhere) inputs.unfollow(stream, subset, this.token.instance)
      else inputs.follow(stream, subset, after, this.token.instance)
    }
  }

  /** The subsets that it follows now. */
  get topics(): readonly Interest[] {
    const { keccak } = this.#ports.identity.crypto
    return (this.replica.state?.topics ?? []).flatMap((topic) => {
      const rule = this.token.rules.inputs[topic.input]
      if (!rule) return []
      const stream = streamOf(rule.issuer, this.token.rules.tokenType, rule.lane, keccak)
      return [{ stream, subset: subsetOf(topic.subset, keccak) }]
    })
  }

  /** The journal of a later incarnation begins with a checkpoint that was not installed here yet. */
  get #isBehindIncarnation(): boolean {
    return this.replica.incarnation < (this.#placed?.certified.placement.incarnation ?? 0n)
  }

  #ask(from: bigint): void {
    const { anchors } = this.#home
    const anchor = anchors[this.#ports.random.bytes(1)[0]! % anchors.length]
    if (anchor) this.#askAnchor(anchor, from)
  }

  /** A request whose answer was lost leaves its time behind: what is then heard later counts as older than it is, never as newer. */
  #askAnchor(anchor: Address, from: bigint): void {
    if (!this.#asked.has(anchor)) this.#asked.set(anchor, this.#ports.clock.now())
    this.#parts.post.send(anchor, { type: 'journal-request', instance: this.token.instance, from, limit: RANGE_LIMIT })
  }

  /** Asks all home anchors whether there is anything newer. */
  #seek(): void {
    const now = this.#ports.clock.monotonic()
    if (now - this.#sought < SEEK_PAUSE_MS) return
    this.#sought = now
    for (const anchor of this.#home.anchors) this.#askAnchor(anchor, this.replica.head.n + 1n)
  }

  /** What a refused read may wait for. Only the executor can come to lead. */
  #mayCome(code: string): boolean {
    if (code === 'query.not_linearizable') return this.#executor !== undefined
    return code === 'query.behind' || code === 'query.too_old'
  }

  /** Resolves when something changed that a read may have waited for, and at the latest when it is to look again. */
  #change(leftMs: number): Promise<void> {
    if (this.#readers.size >= READER_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'reads', limit: READER_LIMIT })
    return new Promise((done) => {
      const look = () => {
        cancel()
        this.#readers.delete(look)
        done()
      }
      const cancel = this.#ports.clock.after(Math.min(leftMs, this.#context.parameters.retryMs), look)
      this.#readers.add(look)
    })
  }

  #wake(): void {
    for (const look of [...this.#readers]) look()
  }

  /** The placement and the position that this replica has. Throws `query.not_serving`. */
  #held(): { readonly placed: Placed; readonly confirmed: Confirmed } {
    const placed = this.#placed
    if (this.replica.disputed) throw notServing(this.replica.disputed)
    if (!placed?.certified.placement.replicas.includes(this.#self)) throw notServing('this node is no replica of it')
    const { confirmed } = this.replica
    if (!confirmed) throw notServing('no position is confirmed by a majority of the replicas yet')
    return { placed, confirmed }
  }

  #positionOf({ placed, confirmed }: { placed: Placed; confirmed: Confirmed }) {
    const now = this.#ports.clock.now()
    const n = BigInt(confirmed.state.n)
    const executor = this.#executor
    const leads = executor?.lease.mayAct(0) === true && executor.hasConfirmedAll(n)
    const { anchors } = this.#home
    // What anchors of an earlier home set said does not count: others commit now, and they need not hear of it.
    const said = anchors.flatMap((anchor) => this.#said.get(anchor) ?? [])
    const asOf = leads ? now : knownAsOf({ n, time: confirmed.time }, said, faultsTolerated(anchors.length))
    return { state: confirmed.state, expires: placed.expires, asOf, leads, now }
  }

  get #limits() {
    const { epsilonMs, staleReadsMs } = this.#context.parameters
    return { epsilonMs: BigInt(epsilonMs), staleReadsMs: BigInt(staleReadsMs) }
  }

  /** The home set in force. */
  get #home(): HomeSet {
    return this.#parts.door.home(this.token)
  }

  get #self(): Address {
    return this.#ports.identity.signer.address
  }
}

function notServing(reason: string): SmartLayerError {
  return SmartLayerError.of('query.not_serving', { reason })
}
