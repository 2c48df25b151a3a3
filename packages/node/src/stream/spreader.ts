/** How entries with a receipt leave an anchor: pushed to who follows them, announced by heads, served by range. */
import {
  type Address,
  type Bytes32,
  type CertifiedCheckpoint,
  Gossip,
  INTEREST_LIMIT,
  type Interest,
  type MountainProof,
  type OpenEntry,
  STREAM_RANGE_BYTES,
  STREAM_RANGE_LIMIT,
  topicOf,
  type WireMessage,
} from '@smartlayer/protocol'
import type { Ports } from '../ports/ports.ts'
import type { LogEntry, StreamLog } from '../ports/stream-log.ts'
import type { PostOffice } from '../wire/post-office.ts'
import { drawOf } from './draw.ts'
import { pack, packItems } from './packing.ts'

/** Bodies longer than this are announced by their attestation; who wants them asks. */
export const HEADER_FIRST = 8_192
/** A head is repeated so long: whoever lost three messages in a row still hears of it. */
const HEAD_REPEAT_MS = 5_000
const RECENT_HEAD_LIMIT = 20_000
/** Followers say again what they follow at least every 30 s. */
const FOLLOWER_LIFE_MS = 95_000
const DECAY_MS = 600_000
/** Ranges that one peer may ask for in a second, on average and at once. */
const CREDIT = { perSecond: 200, burst: 400 } as const
/** What lies further back than this is backfill: it goes behind everything else. */
const BACKFILL_AFTER = 1_024n

export type Head = Extract<WireMessage, { type: 'stream-heads' }>['heads'][number]
type Request = Extract<WireMessage, { type: 'stream-request' }>

export type SpreaderEvents = {
  /** How far entries may be served: all that is durable to other home anchors, what has a receipt to everybody else. */
  servedUpTo(stream: Bytes32, to: Address): bigint
  head(interest: Interest): Head | undefined
  /** The checkpoint that counts this entry and the proof of its place, if there is one. */
  proof(stream: Bytes32, sequence: bigint): { certified: CertifiedCheckpoint; proof: MountainProof } | undefined
  checkpoint(stream: Bytes32): CertifiedCheckpoint | undefined
  /** A follower stands here: what follows must not be pruned for a while. */
  promised(peer: Address, interest: Interest & { readonly after: bigint }): void
}

type Options = { readonly post: PostOffice; readonly log: StreamLog; readonly events: SpreaderEvents }

export class Spreader {
  readonly gossip = new Gossip()
  readonly #ports: Pick<Ports, 'clock' | 'random' | 'telemetry'>
  readonly #options: Options
  readonly #recent = new Map<string, { readonly interest: Interest; readonly at: number }>()
  readonly #moved = new Map<string, Interest>()
  readonly #credits = new Map<Address, { tokens: number; at: number }>()
  #decayedAt = 0

  constructor(ports: Pick<Ports, 'clock' | 'random' | 'telemetry'>, options: Options) {
    this.#ports = ports
    this.#options = options
    const { post } = options
    post.on('follow', (from, message) => this.#follow(from, message))
    post.on('stream-request', (from, request) => this.#serve(from, request))
  }

  /** Entries that have a receipt since now go to their followers at once. */
  spread(entries: readonly OpenEntry[]): void {
    const now = this.#ports.clock.monotonic()
    for (const { item, data, uid } of entries) {
      const { stream, subset } = data
      this.#note({ stream, subset }, now)
      this.#note({ stream, subset: stream }, now)
      const targets = this.gossip.targets({ stream, subset }, undefined, drawOf(this.#ports.random))
      if (targets.length === 0) continue
      if (item.body.length > HEADER_FIRST) {
        this.#options.post.sendAll(targets, { type: 'stream-header', attestation: item.attestation })
      } else this.#options.post.sendAll(targets, { type: 'stream-item', uid, packed: packItems([item]) })
    }
  }

  /** Peers that follow anything of a stream. */
  followersOf(stream: Bytes32): readonly Address[] {
    return this.gossip.followersOfAny(stream)
  }

  /** Heads that moved since the last time go to those who follow them: who is not pushed to hears of it so. */
  announce(): void {
    const moved = new Map<Address, Head[]>()
    for (const interest of this.#moved.values()) this.#announce(interest, moved)
    this.#moved.clear()
    for (const [peer, heads] of moved) this.#tell(peer, heads)
  }

  /** Once a second: heads that moved lately once more, for who lost them, with how much of the interests is known here. */
  beat(): void {
    const now = this.#ports.clock.monotonic()
    this.gossip.expire(now - FOLLOWER_LIFE_MS)
    if (now - this.#decayedAt > DECAY_MS) {
      this.#decayedAt = now
      this.gossip.decay()
    }
    const moved = new Map<Address, Head[]>()
    for (const [topic, { interest, at }] of this.#recent) {
      if (now - at > HEAD_REPEAT_MS) this.#recent.delete(topic)
      else this.#announce(interest, moved)
    }
    for (const peer of this.gossip.peers) this.#tell(peer, moved.get(peer) ?? [])
  }

  #tell(peer: Address, heads: readonly Head[]): void {
    const following = this.gossip.countOf(peer)
    this.#options.post.send(peer, { type: 'stream-heads', heads: heads.slice(0, INTEREST_LIMIT), following })
  }

  #announce(interest: Interest, moved: Map<Address, Head[]>): void {
    const head = this.#options.events.head(interest)
    if (!head) return
    for (const peer of this.gossip.exactFollowersOf(interest)) {
      const heads = moved.get(peer) ?? []
      heads.push(head)
      moved.set(peer, heads)
    }
  }

  #note(interest: Interest, at: number): void {
    const topic = topicOf(interest)
    this.#recent.delete(topic)
    this.#recent.set(topic, { interest, at })
    this.#moved.set(topic, interest)
    if (this.#recent.size <= RECENT_HEAD_LIMIT) return
    const [oldest] = this.#recent.keys()
    this.#recent.delete(oldest!)
    this.#moved.delete(oldest!)
  }

  #follow(from: Address, { fresh, eager, add, drop }: Extract<WireMessage, { type: 'follow' }>): void {
    const { post, events } = this.#options
    const now = this.#ports.clock.monotonic()
    if (!this.gossip.follow(from, { fresh, eager, add, drop, now })) return
    const heads: Head[] = []
    for (const interest of add) {
      events.promised(from, interest)
      const head = events.head(interest)
      if (head && head.sequence > interest.after) heads.push(head)
      const nodes = this.gossip.introductions(from, interest, drawOf(this.#ports.random))
      if (nodes.length > 0)
        post.send(from, { type: 'neighbours', stream: interest.stream, subset: interest.subset, nodes })
    }
    post.send(from, { type: 'stream-heads', heads, following: this.gossip.countOf(from) })
  }

  #serve(to: Address, { stream, subset, after, limit, bytes }: Request): void {
    if (!this.#mayAsk(to)) return this.#ports.telemetry.count('smartlayer_stream_request_refused_total')
    const { log, post, events } = this.#options
    const upTo = events.servedUpTo(stream, to)
    const isWhole = subset === stream
    const read = { after, limit: Math.min(limit, STREAM_RANGE_LIMIT), bytes: Math.min(bytes, STREAM_RANGE_BYTES) }
    const found = isWhole ? log.read(stream, read) : log.readSubset(stream, subset, read)
    const place = (entry: LogEntry) => (isWhole ? entry.sequence : entry.subSequence)
    const first = found[0]
    if (first && place(first) !== after + 1n) {
      const certified = events.checkpoint(stream)
      return post.send(to, { type: 'stream-pruned', stream, subset, floor: place(first) - 1n, certified })
    }
    const served = runOf(found, place).filter(({ sequence }) => sequence <= upTo)
    // What a checkpoint counts goes alone: with a tail behind it nothing of it could be proven.
    const size = events.checkpoint(stream)?.checkpoint.size ?? 0n
    const counted = served.filter(({ sequence }) => sequence <= size)
    const proven = counted.length > 0 ? events.proof(stream, counted.at(-1)!.sequence) : undefined
    const entries = proven ? counted : served
    const last = entries.at(-1)
    if (!last) return
    const message = {
      type: 'stream-range',
      stream,
      subset,
      packed: pack(entries.map((entry) => entry.bytes)),
      proof: proven && { certified: proven.certified, ...proven.proof },
    } as const
    post.send(to, message, upTo - last.sequence > BACKFILL_AFTER ? 'backfill' : 'repair')
  }

  #mayAsk(peer: Address): boolean {
    const now = this.#ports.clock.monotonic()
    const credit = this.#credits.get(peer) ?? { tokens: CREDIT.burst, at: now }
    const earned = ((now - credit.at) / 1_000) * CREDIT.perSecond
    credit.tokens = Math.min(CREDIT.burst, credit.tokens + earned) - 1
    credit.at = now
    this.#credits.set(peer, credit)
    return credit.tokens >= 0
  }
}

/** The entries at the beginning that follow each other without a hole. */
function runOf(entries: readonly LogEntry[], place: (entry: LogEntry) => bigint): readonly LogEntry[] {
  const hole = entries.findIndex((entry, i) => i > 0 && place(entry) !== place(entries[i - 1]!) + 1n)
  return hole < 0 ? entries : entries.slice(0, hole)
}
