/** The facts that instances on this node wait for: pushed by anchors and neighbours, asked for when missing, handed out in order. */
import {
  type Address,
  type Attestation,
  accepted,
  anchorsOf,
  type Bytes32,
  checkCheckpoint,
  checkRange,
  type FollowedStatus,
  Follower,
  Gossip,
  INTEREST_LIMIT,
  type Interest,
  type OpenEntry,
  readData,
  type StreamItem,
  topicOf,
  uidOf,
  type WireMessage,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import { drawOf } from '../stream/draw.ts'
import type { EntryDoor } from '../stream/entry-door.ts'
import { packItems, unpack } from '../stream/packing.ts'
import type { RevocationBook } from '../stream/revocation-book.ts'
import { HEADER_FIRST } from '../stream/spreader.ts'
import type { PostOffice } from '../wire/post-office.ts'
import { StreamSources } from './stream-sources.ts'

/** Entries of one subset that are kept ahead of the cursor; the rest stays at the anchors. */
const AHEAD_LIMIT = 256
const RANGE_BYTES = 256 * 1_024
const TICK_MS = 25
/** Everything that is followed is said again that often; anchors forget who is silent three times. */
const REFRESH_MS = 30_000
const BEAT_MS = 1_000
/** Anchors say something every second to whom they push; one that is silent for so long may have forgotten us. */
const SILENCE_MS = 3_000
/** Large entries kept for neighbours that were told of them by their attestation alone. */
const LARGE_LIMIT = 64
/** Streams whose fork is remembered. */
const FORK_LIMIT = 1_024

type ServicePorts = Pick<Ports, 'clock' | 'random' | 'identity' | 'telemetry'>
type Parts = { readonly post: PostOffice; readonly door: EntryDoor; readonly revocations: RevocationBook }
type InterestFrom = Interest & { readonly after: bigint }
type Wanted = { readonly eager: InterestFrom[]; readonly lazy: InterestFrom[] }
type Range = Extract<WireMessage, { type: 'stream-range' }>

export class InputBuffer {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #parts: Parts
  readonly #follower = new Follower<StreamItem>(AHEAD_LIMIT)
  readonly #gossip = new Gossip()
  readonly #onArrival: () => void
  /** Other followers that were introduced: they push to us as well, and we to them. */
  readonly #neighbours = new Map<string, ReadonlySet<Address>>()
  readonly #large = new Map<string, StreamItem>()
  readonly #frozen = new Set<Bytes32>()
  readonly #sources: StreamSources
  /** How many interests each anchor that we hear from was told. */
  readonly #told = new Map<Address, number>()
  #fresh: Interest[] = []
  #dropped: Interest[] = []
  #refreshedAt = Number.NEGATIVE_INFINITY
  #beatAt = 0
  #timer: Cancel

  constructor(ports: ServicePorts, context: NodeContext, parts: Parts, onArrival: () => void) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    this.#onArrival = onArrival
    this.#sources = new StreamSources(context, parts.post.self)
    const { post } = parts
    post.on('stream-item', (from, { uid, packed }) => this.#pushed(from, uid, packed))
    post.on('stream-header', (from, { attestation }) => this.#announced(from, attestation))
    post.on('stream-range', (from, range) => this.#receiveRange(from, range))
    post.on('stream-heads', (from, { heads, following }) => this.#hear(from, heads, following))
    post.on('stream-request', (from, request) => this.#serve(from, request))
    post.on('stream-pruned', (_, { stream, subset, floor }) => {
      ports.telemetry.log('warn', 'stream.pruned_before_read', { stream, subset, floor })
    })
    post.on('follow', (from, { fresh, eager, add, drop }) => {
      this.#gossip.follow(from, { fresh, eager, add, drop, now: ports.clock.monotonic() })
    })
    post.on('neighbours', (from, { stream, subset, nodes }) => this.#meet(from, { stream, subset }, nodes))
    post.on('fork', (from, { first, second }) => this.#fork(from, first, second))
    post.on('revocation', (from, { item }) => this.#revoke(from, item))
    this.#timer = ports.clock.after(0, () => this.#tick())
  }

  stop(): void {
    this.#timer()
  }

  /** Follows a subset from behind `after`; calling it again moves the reader's cursor. Instances are readers of their own. */
  follow(stream: Bytes32, subset: Bytes32, after: bigint, reader?: Bytes32): void {
    if (this.#follower.follow({ stream, subset }, after, this.#ports.clock.monotonic(), reader)) {
      this.#fresh.push({ stream, subset })
    }
  }

  /** The reader wants nothing of the subset any more. */
  unfollow(stream: Bytes32, subset: Bytes32, reader?: Bytes32): void {
    if (this.#follower.unfollow({ stream, subset }, reader)) this.#dropped.push({ stream, subset })
  }

  /** The entry of the subset right behind `after`, when it is here. */
  next(stream: Bytes32, subset: Bytes32, after: bigint, reader?: Bytes32): StreamItem | undefined {
    return this.#follower.next({ stream, subset }, after, reader)
  }

  /** The issuer's revocation of an entry, when there is one. */
  revocationOf(issuer: Address, item: StreamItem): StreamItem | undefined {
    const { keccak } = this.#ports.identity.crypto
    return this.#parts.revocations.of(issuer, uidOf(item.attestation.message, keccak), item.attestation)
  }

  /** Forgets an entry that turned out not to hold, and asks other anchors for it. */
  discard(stream: Bytes32, subset: Bytes32, place: bigint): void {
    this.#follower.discard({ stream, subset }, place, this.#ports.clock.monotonic())
  }

  status(limit: number): readonly FollowedStatus[] {
    return this.#follower
      .views()
      .slice(0, limit)
      .map(({ stream, subset, after, known, waiting, asking }) => {
        const [state, reason] = this.#frozen.has(stream)
          ? ['frozen', 'its issuer signed two entries for one place']
          : after + BigInt(waiting) < known || asking
            ? ['behind', `entries up to ${known} are known and asked for`]
            : waiting > 0
              ? ['waiting', `${waiting} entries wait for the executor`]
              : ['live', 'everything that is known was applied']
        return { stream, subset, after, known, waiting, state: state!, reason: reason! }
      })
  }

  /** What a node says it brings may be known already: most of what is pushed comes twice. */
  #pushed(from: Address, uid: Bytes32, packed: string): void {
    if (this.#gossip.hasSeen(uid, from, packed.length)) return
    for (const item of unpack(packed).slice(0, 1)) this.#receive(from, item)
  }

  #receive(from: Address, item: StreamItem): void {
    const data = readData(item)
    if (!data || !this.#follows(data)) return
    const uid = uidOf(item.attestation.message, this.#ports.identity.crypto.keccak)
    if (!this.#gossip.see(uid, from, item.body.length)) return this.#keep(from, item, data)
    const opened = this.#parts.door.reopen(item)
    if (!accepted(opened)) {
      this.#gossip.blame(uid, from)
      return this.#ports.telemetry.log('debug', 'stream.not_taken', { from, code: opened.code })
    }
    const { stream, sequence } = opened.value.data
    this.#ports.telemetry.log('info', 'stream.arrived', { stream, sequence, from })
    this.#keep(from, item, opened.value.data)
    if (opened.value.revocation) this.#learn(opened.value)
    this.#relay(from, opened.value)
  }

  /** A repetition is kept as well: it may be needed again after it was discarded or fell out beyond the limit. */
  #keep(from: Address, item: StreamItem, data: NonNullable<ReturnType<typeof readData>>): void {
    const now = this.#ports.clock.monotonic()
    const draw = drawOf(this.#ports.random)
    const { stream, subset, sequence, subSequence } = data
    const common = { value: item, from, now, draw }
    const part = this.#follower.take({ stream, subset }, { ...common, place: subSequence })
    const whole = this.#follower.take({ stream, subset: stream }, { ...common, place: sequence })
    if (part === 'next' || whole === 'next') this.#onArrival()
  }

  /** Only the few that were introduced to us are pushed to: most followers get it from the anchors. */
  #relay(from: Address, { item, data: { stream, subset } }: OpenEntry): void {
    const targets = this.#gossip.targets({ stream, subset }, from, drawOf(this.#ports.random))
    if (targets.length === 0) return
    if (item.body.length <= HEADER_FIRST) return this.#push(targets, item)
    const data = readData(item)!
    this.#large.set(placeKey(data.stream, data.subset, data.subSequence), item)
    if (this.#large.size > LARGE_LIMIT) {
      const [oldest] = this.#large.keys()
      this.#large.delete(oldest!)
    }
    this.#parts.post.sendAll(targets, { type: 'stream-header', attestation: item.attestation })
  }

  /** A large entry is there: whoever announced it is asked for it. */
  #announced(from: Address, attestation: Attestation): void {
    const data = readData({ attestation, body: '' })
    if (!data || !this.#follows(data)) return
    const { stream, subset, subSequence } = data
    if (this.#follower.holds({ stream, subset }, subSequence - 1n)) return
    const place = { stream, subset, after: subSequence - 1n, limit: 1, bytes: RANGE_BYTES }
    this.#parts.post.send(from, { type: 'stream-request', ...place })
    const now = this.#ports.clock.monotonic()
    this.#follower.hear({ stream, subset }, { place: subSequence, from, now, draw: drawOf(this.#ports.random) })
  }

  /** A neighbour that was told of a large entry asks for it. */
  #serve(to: Address, { stream, subset, after }: Extract<WireMessage, { type: 'stream-request' }>): void {
    const item = this.#large.get(placeKey(stream, subset, after + 1n))
    if (item) this.#push([to], item)
  }

  #push(to: readonly Address[], item: StreamItem): void {
    const uid = uidOf(item.attestation.message, this.#ports.identity.crypto.keccak)
    this.#parts.post.sendAll(to, { type: 'stream-item', uid, packed: packItems([item]) })
  }

  #receiveRange(from: Address, range: Range): void {
    const { stream, subset, proof } = range
    const items = unpack(range.packed)
    const entries = proof ? this.#proven(range, items) : undefined
    if (entries) {
      for (const entry of entries) this.#keep(from, entry.item, entry.data)
      for (const entry of entries) if (entry.revocation) this.#learn(entry)
    } else for (const item of items) this.#receive(from, item)
    if (items.length > 0) this.#follower.answered({ stream, subset }, this.#ports.clock.monotonic())
  }

  /** Entries that a cosigned checkpoint vouches for need no signature check each. */
  #proven({ stream, subset, proof }: Range, items: readonly StreamItem[]): readonly OpenEntry[] | undefined {
    const type = items[0] && this.#parts.door.typeOf(items[0])
    if (!type || !proof || !this.#followsTopic({ stream, subset })) return undefined
    const { crypto } = this.#ports.identity
    const home = this.#context.homes().at(stream, proof.certified.checkpoint.homeEpoch)
    const checked = home && checkCheckpoint(proof.certified, { home, domain: this.#context.domain, crypto })
    if (!checked || !accepted(checked)) return undefined
    const { siblings, peaks } = proof
    const range = { items, checkpoint: checked.value, proof: { siblings, peaks } }
    const entries = checkRange({ stream, subset }, range, this.#parts.door.context(type))
    return accepted(entries) ? entries.value : undefined
  }

  #hear(
    from: Address,
    heads: Extract<WireMessage, { type: 'stream-heads' }>['heads'],
    following: number | undefined,
  ): void {
    const now = this.#ports.clock.monotonic()
    const draw = drawOf(this.#ports.random)
    for (const { stream, subset, sequence } of heads) {
      this.#follower.hear({ stream, subset }, { place: sequence, from, now, draw })
    }
    if (following === undefined || !this.#told.has(from)) return
    // What we told was lost on its way, or forgotten at their restart; after a silence heads may have been lost as well.
    const wasSilent = now - this.#sources.heard(from, now) > SILENCE_MS
    if (wasSilent || following !== this.#told.get(from)) this.#tellAll(from, this.#interestsBySource().get(from))
  }

  /** Whoever has forgotten us answers that it knows of nothing. */
  #probe(now: number): void {
    for (const [anchor, following] of this.#told) {
      if (this.#sources.silentFor(anchor, now) <= SILENCE_MS) continue
      this.#parts.post.send(anchor, { type: 'follow', fresh: false, eager: false, add: [], drop: [], following })
    }
  }

  #tick(): void {
    const now = this.#ports.clock.monotonic()
    const isRefreshed = now - this.#refreshedAt < REFRESH_MS
    if (this.#sources.changed(now, this.#told.keys()) || !isRefreshed) this.#refresh(now)
    else this.#tellChanges()
    if (now - this.#beatAt >= BEAT_MS) {
      this.#beatAt = now
      this.#gossip.expire(now - 3 * REFRESH_MS)
      this.#probe(now)
    }
    this.#ask(now)
    this.#timer = this.#ports.clock.after(TICK_MS, () => this.#tick())
  }

  /** Every anchor that we hear from is told all of it; one that is not needed any more is told nothing. */
  #refresh(now: number): void {
    this.#refreshedAt = now
    this.#fresh = []
    this.#dropped = []
    const wanted = this.#interestsBySource()
    for (const anchor of new Set([...this.#told.keys(), ...wanted.keys()])) this.#tellAll(anchor, wanted.get(anchor))
  }

  #interestsBySource(): ReadonlyMap<Address, Wanted> {
    return this.#bySource(this.#follower.interests)
  }

  /** What each anchor is told of these interests: those it shall push, and those of which it shall tell heads alone. */
  #bySource(interests: readonly InterestFrom[]): Map<Address, Wanted> {
    const wanted = new Map<Address, Wanted>()
    for (const interest of interests) {
      for (const [i, anchor] of this.#sources.of(interest.stream).entries()) {
        const of = wanted.get(anchor) ?? { eager: [], lazy: [] }
        wanted.set(anchor, of)
        of[i === 0 ? 'eager' : 'lazy'].push(interest)
      }
    }
    return wanted
  }

  /** In as many messages as it takes, the first of which replaces what was told before. */
  #tellAll(anchor: Address, { eager, lazy }: Wanted = { eager: [], lazy: [] }): void {
    const following = eager.length + lazy.length
    const told = [...pagesOf(eager, true), ...pagesOf(lazy, false)]
    const messages = told.length > 0 ? told : [{ eager: false, add: [] }]
    for (const [i, message] of messages.entries())
      this.#parts.post.send(anchor, { type: 'follow', fresh: i === 0, drop: [], following, ...message })
    if (following === 0) return void this.#told.delete(anchor)
    if (!this.#told.has(anchor)) this.#sources.heard(anchor, this.#ports.clock.monotonic())
    this.#told.set(anchor, following)
  }

  #tellChanges(): void {
    if (this.#fresh.length === 0 && this.#dropped.length === 0) return
    const fresh = new Set(this.#fresh.map(topicOf))
    const added = this.#bySource(this.#follower.interests.filter((interest) => fresh.has(topicOf(interest))))
    const dropped = this.#bySource(this.#dropped.map((interest) => ({ ...interest, after: 0n })))
    this.#fresh = []
    this.#dropped = []
    for (const anchor of new Set([...added.keys(), ...dropped.keys()])) {
      const { eager, lazy } = added.get(anchor) ?? { eager: [], lazy: [] }
      const gone = dropped.get(anchor) ?? { eager: [], lazy: [] }
      const drop = [...gone.eager, ...gone.lazy].map(({ stream, subset }) => ({ stream, subset }))
      const following = (this.#told.get(anchor) ?? 0) + eager.length + lazy.length - drop.length
      if (!this.#told.has(anchor)) this.#sources.heard(anchor, this.#ports.clock.monotonic())
      this.#told.set(anchor, following)
      for (let at = 0; at < drop.length; at += INTEREST_LIMIT) {
        const message = { type: 'follow', fresh: false, eager: false, add: [], following } as const
        this.#parts.post.send(anchor, { ...message, drop: drop.slice(at, at + INTEREST_LIMIT) })
      }
      for (const page of [...pagesOf(eager, true), ...pagesOf(lazy, false)])
        this.#parts.post.send(anchor, { type: 'follow', fresh: false, drop: [], following, ...page })
    }
  }

  #ask(now: number): void {
    const draw = drawOf(this.#ports.random)
    for (const { stream, subset, after, from, wide } of this.#follower.asks(now, draw)) {
      const anchors = this.#sources.home(stream)
      const random = anchors[Math.floor(draw() * anchors.length)]
      const first = from && anchors.includes(from) ? from : random
      const asked = new Set([first, wide ? random : undefined])
      asked.delete(undefined)
      const request = { stream, subset, after, limit: AHEAD_LIMIT, bytes: RANGE_BYTES }
      this.#parts.post.sendAll([...asked] as Address[], { type: 'stream-request', ...request })
    }
  }

  /** A crowded topic: others that follow it push to us, if we ask them. */
  #meet(from: Address, interest: Interest, nodes: readonly Address[]): void {
    if (!this.#anchors.includes(from) || !this.#followsTopic(interest)) return
    const known = this.#context.membership().members
    const neighbours = nodes.filter(
      (node) => node !== this.#parts.post.self && known.some((member) => member.node === node),
    )
    this.#neighbours.set(topicOf(interest), new Set(neighbours))
    const add = [{ ...interest, after: 0n }]
    this.#parts.post.sendAll(neighbours, { type: 'follow', fresh: false, eager: true, add, drop: [], following: 1 })
  }

  #fork(from: Address, first: StreamItem, second: StreamItem): void {
    const data = readData(first)
    if (!data || !this.#anchors.includes(from) || this.#frozen.has(data.stream)) return
    if (!accepted(this.#parts.door.fork(first, second))) return
    if (this.#frozen.size < FORK_LIMIT) this.#frozen.add(data.stream)
    this.#ports.telemetry.log('warn', 'stream.forked', { stream: data.stream, sequence: data.sequence })
  }

  #revoke(from: Address, item: StreamItem): void {
    const opened = this.#parts.door.reopen(item)
    if (accepted(opened) && opened.value.revocation && this.#anchors.includes(from)) this.#learn(opened.value)
  }

  /** It counts here as soon as it is known, by word of an anchor or as an entry of what is followed. */
  #learn(revocation: OpenEntry): void {
    this.#parts.revocations
      .add(revocation)
      .then(() => this.#onArrival())
      .catch((error) => this.#ports.telemetry.log('error', 'stream.failed', { error }))
  }

  #follows({ stream, subset }: Interest): boolean {
    return this.#followsTopic({ stream, subset }) || this.#followsTopic({ stream, subset: stream })
  }

  #followsTopic(interest: Interest): boolean {
    return this.#follower.has(interest)
  }

  get #anchors(): readonly Address[] {
    return anchorsOf(this.#context.membership()).map((member) => member.node)
  }
}

function placeKey(stream: Bytes32, subset: Bytes32, place: bigint): string {
  return `${topicOf({ stream, subset })}/${place}`
}

function pagesOf(
  interests: readonly InterestFrom[],
  eager: boolean,
): { eager: boolean; add: readonly InterestFrom[] }[] {
  const pages: { eager: boolean; add: readonly InterestFrom[] }[] = []
  for (let at = 0; at < interests.length; at += INTEREST_LIMIT)
    pages.push({ eager, add: interests.slice(at, at + INTEREST_LIMIT) })
  return pages
}
