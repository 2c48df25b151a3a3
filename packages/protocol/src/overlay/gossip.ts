/** Who gets what: interests of followers, eager targets, introductions and scores; a state machine without time or chance of its own. */
import type { Address, Bytes32 } from '../primitives/bytes.ts'

/** A follower of one subset of a stream, or of all of it (`subset` is then the stream's own id). */
export type Interest = { readonly stream: Bytes32; readonly subset: Bytes32 }
/** A number from 0 (inclusive) to 1 (exclusive), by chance. */
export type Draw = () => number

export type GossipLimits = {
  /** Neighbours that an entry is pushed to when more follow it than can be served directly. */
  readonly degree: number
  /** Up to so many followers of one topic are all pushed to directly. */
  readonly direct: number
  /** UIDs remembered, so that an entry is checked and passed on once. */
  readonly seen: number
  readonly peers: number
  readonly interestsPerPeer: number
}

export const GOSSIP_LIMITS: GossipLimits = {
  degree: 6,
  direct: 12,
  seen: 65_536,
  peers: 1_024,
  interestsPerPeer: 10_000,
}

/** What a peer was worth: bytes that were new here, bytes that were not, and entries that did not hold. */
export type Score = { useful: number; duplicate: number; invalid: number }

/** What a peer says about what it follows. */
export type Following = {
  readonly fresh: boolean
  readonly eager: boolean
  readonly add: readonly Interest[]
  readonly drop: readonly Interest[]
}

/** By topic, whether entries are pushed. */
type Follower = { readonly topics: Map<string, boolean>; heardAt: number }

export class Gossip {
  readonly #limits: GossipLimits
  readonly #followers = new Map<Address, Follower>()
  readonly #byTopic = new Map<string, Set<Address>>()
  /** How many topics of a stream each peer follows. */
  readonly #byStream = new Map<Bytes32, Map<Address, number>>()
  readonly #seen = new Set<Bytes32>()
  readonly #scores = new Map<Address, Score>()

  constructor(limits: GossipLimits = GOSSIP_LIMITS) {
    this.#limits = limits
  }

  /**
   * A peer says what it follows: `fresh` replaces all it said before; of what it follows `eager`, entries are pushed to it. False
   * when it is one peer too many; interests beyond the limit of one peer are not taken, which shows in `countOf`.
   */
  follow(peer: Address, { fresh, eager, add, drop, now }: Following & { readonly now: number }): boolean {
    if (!this.#followers.has(peer) && this.#followers.size >= this.#limits.peers) return false
    if (fresh) this.forget(peer)
    const follower = this.#followers.get(peer) ?? { topics: new Map<string, boolean>(), heardAt: now }
    this.#followers.set(peer, follower)
    follower.heardAt = now
    for (const interest of drop) this.#remove(peer, follower, topicOf(interest))
    for (const interest of add) this.#add(peer, follower, { topic: topicOf(interest), eager })
    return true
  }

  /** Peers that did not say anything since `before` follow nothing any more. */
  expire(before: number): void {
    for (const [peer, { heardAt }] of this.#followers) if (heardAt < before) this.forget(peer)
  }

  forget(peer: Address): void {
    const follower = this.#followers.get(peer)
    for (const topic of follower?.topics.keys() ?? []) this.#remove(peer, follower!, topic)
    this.#followers.delete(peer)
  }

  /** How many interests of this peer are known here; it tells them again when it counts more. */
  countOf(peer: Address): number {
    return this.#followers.get(peer)?.topics.size ?? 0
  }

  get peers(): readonly Address[] {
    return [...this.#followers.keys()]
  }

  /** Everybody who follows the subset, or the whole stream. */
  followersOf({ stream, subset }: Interest): readonly Address[] {
    const whole = this.#byTopic.get(topicOf({ stream, subset: stream }))
    const part = subset === stream ? undefined : this.#byTopic.get(topicOf({ stream, subset }))
    if (!whole || !part) return [...(whole ?? part ?? [])]
    return [...new Set([...whole, ...part])]
  }

  /** Those who said exactly this: of a subset not the followers of the whole stream. */
  exactFollowersOf(interest: Interest): readonly Address[] {
    return [...(this.#byTopic.get(topicOf(interest)) ?? [])]
  }

  /** Everybody who follows anything of a stream. */
  followersOfAny(stream: Bytes32): readonly Address[] {
    return [...(this.#byStream.get(stream)?.keys() ?? [])]
  }

  /** What one peer follows of a stream; for the whole of it the stream's own id. */
  interestsOf(peer: Address): readonly Interest[] {
    return [...(this.#followers.get(peer)?.topics.keys() ?? [])].map(interestOf)
  }

  /**
   * To whom an entry is pushed: all eager followers while they are few, otherwise `degree` of them by chance, the useful ones
   * first; the others hear of it from these, and from heads.
   */
  targets(interest: Interest, except: Address | undefined, draw: Draw): readonly Address[] {
    const all = this.followersOf(interest).filter((peer) => peer !== except && this.#isEager(peer, interest))
    if (all.length <= this.#limits.direct) return all
    const ranked = all.map((peer) => ({ peer, rank: draw() * (1 + this.#misuse(peer)) }))
    ranked.sort((a, b) => a.rank - b.rank)
    return ranked.slice(0, this.#limits.degree).map(({ peer }) => peer)
  }

  /** Other followers of the same topic, for a follower of a topic that is too large to be served directly. */
  introductions(peer: Address, interest: Interest, draw: Draw): readonly Address[] {
    const others = [...(this.#byTopic.get(topicOf(interest)) ?? [])].filter((other) => other !== peer)
    if (others.length < this.#limits.direct) return []
    const ranked = others.map((other) => ({ other, rank: draw() }))
    ranked.sort((a, b) => a.rank - b.rank)
    return ranked.slice(0, this.#limits.degree).map(({ other }) => other)
  }

  /** True the first time a UID is seen. Bytes count for or against the peer that brought it. */
  see(uid: Bytes32, from: Address | undefined, bytes: number): boolean {
    const isNew = !this.#seen.has(uid)
    if (from) this.#score(from)[isNew ? 'useful' : 'duplicate'] += bytes
    if (!isNew) return false
    this.#seen.add(uid)
    if (this.#seen.size > this.#limits.seen) for (const oldest of this.#seen) return this.#seen.delete(oldest)
    return true
  }

  /** True for what came before; its bytes then count against the peer. */
  hasSeen(uid: Bytes32, from: Address, bytes: number): boolean {
    if (!this.#seen.has(uid)) return false
    this.#score(from).duplicate += bytes
    return true
  }

  /** An entry did not hold: it may come again, rightly, from somebody else. */
  blame(uid: Bytes32, from: Address): void {
    this.#seen.delete(uid)
    this.#score(from).invalid++
  }

  scoreOf(peer: Address): Score {
    return { ...(this.#scores.get(peer) ?? NO_SCORE) }
  }

  /** Halves all scores: what a peer was worth an hour ago matters little now. */
  decay(): void {
    for (const [peer, score] of this.#scores) {
      if (score.useful + score.duplicate + score.invalid < 1) this.#scores.delete(peer)
      score.useful /= 2
      score.duplicate /= 2
      score.invalid /= 2
    }
  }

  /** From 0 for a peer that brings only what is new to 1 for one that brings nothing new, and beyond for wrong entries. */
  #misuse(peer: Address): number {
    const { useful, duplicate, invalid } = this.#scores.get(peer) ?? NO_SCORE
    const bytes = useful + duplicate
    return (bytes > 0 ? duplicate / bytes : 0.5) + invalid
  }

  #score(peer: Address): Score {
    const known = this.#scores.get(peer)
    if (known) return known
    const score = { ...NO_SCORE }
    if (this.#scores.size < this.#limits.peers) this.#scores.set(peer, score)
    return score
  }

  #isEager(peer: Address, { stream, subset }: Interest): boolean {
    const topics = this.#followers.get(peer)?.topics
    return (topics?.get(topicOf({ stream, subset })) || topics?.get(topicOf({ stream, subset: stream }))) ?? false
  }

  #add(peer: Address, follower: Follower, { topic, eager }: { topic: string; eager: boolean }): void {
    if (follower.topics.has(topic)) return void follower.topics.set(topic, eager)
    if (follower.topics.size >= this.#limits.interestsPerPeer) return
    follower.topics.set(topic, eager)
    this.#count(peer, topic, 1)
    const peers = this.#byTopic.get(topic) ?? new Set<Address>()
    peers.add(peer)
    this.#byTopic.set(topic, peers)
  }

  #remove(peer: Address, follower: Follower, topic: string): void {
    if (!follower.topics.delete(topic)) return
    this.#count(peer, topic, -1)
    const peers = this.#byTopic.get(topic)
    peers?.delete(peer)
    if (peers?.size === 0) this.#byTopic.delete(topic)
  }

  #count(peer: Address, topic: string, change: number): void {
    const { stream } = interestOf(topic)
    const peers = this.#byStream.get(stream) ?? new Map<Address, number>()
    const count = (peers.get(peer) ?? 0) + change
    if (count > 0) peers.set(peer, count)
    else peers.delete(peer)
    if (peers.size > 0) this.#byStream.set(stream, peers)
    else this.#byStream.delete(stream)
  }
}

const NO_SCORE: Readonly<Score> = { useful: 0, duplicate: 0, invalid: 0 }

export function topicOf({ stream, subset }: Interest): string {
  return `${stream}:${subset}`
}

function interestOf(topic: string): Interest {
  return { stream: topic.slice(0, 66) as Bytes32, subset: topic.slice(67) as Bytes32 }
}
