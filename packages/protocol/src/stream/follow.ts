/** A follower's side of streams: what arrived ahead of its turn, what is missing, and whom to ask for it. */
import { type Draw, type Interest, topicOf } from '../overlay/gossip.ts'
import type { Address } from '../primitives/bytes.ts'
import { askedAgain, type Gap, isWide, openGap, urgentGap } from './repair.ts'

/** `next` and `ahead` were kept; `known` came before; `beyond` must wait at its holder; `unknown` is not followed. */
export type Arrival = 'next' | 'ahead' | 'known' | 'beyond' | 'unknown'

/** What is to be asked: everything after `after`. `from` heard of it last; with `wide` a holder by chance is asked as well. */
export type Ask = Interest & { readonly after: bigint; readonly from: Address | undefined; readonly wide: boolean }

type Followed<T> = Interest & {
  after: bigint
  known: bigint
  from: Address | undefined
  gap: Gap | undefined
  readonly ahead: Map<bigint, T>
}

export type FollowedView = Interest & {
  readonly after: bigint
  readonly known: bigint
  readonly waiting: number
  readonly asking: boolean
}

/** Keeps at most `aheadLimit` entries per topic beyond the cursor; the rest stays where it is durable. */
export class Follower<T> {
  readonly #aheadLimit: number
  readonly #followed = new Map<string, Followed<T>>()
  /** Topics that have a gap: all others cost nothing, however many there are. */
  readonly #gaps = new Set<Followed<T>>()

  constructor(aheadLimit: number) {
    this.#aheadLimit = aheadLimit
  }

  get size(): number {
    return this.#followed.size
  }

  get interests(): readonly (Interest & { readonly after: bigint })[] {
    return [...this.#followed.values()].map(({ stream, subset, after }) => ({ stream, subset, after }))
  }

  /** Follows a topic from behind `after`, or moves its cursor. True when the topic is new here. */
  follow(interest: Interest, after: bigint, now: number): boolean {
    const key = topicOf(interest)
    const known = this.#followed.get(key)
    if (!known) {
      const { stream, subset } = interest
      const ahead = new Map<bigint, T>()
      const followed: Followed<T> = { stream, subset, after, known: after, from: undefined, gap: undefined, ahead }
      this.#followed.set(key, followed)
      this.#set(followed, urgentGap(now))
      return true
    }
    if (after < known.after) this.#set(known, urgentGap(now)) // what was handed out before is wanted again
    known.after = after
    if (known.known < after) known.known = after
    for (const place of known.ahead.keys()) if (place <= after) known.ahead.delete(place)
    if (this.#isWhole(known)) this.#set(known, undefined)
    return false
  }

  has(interest: Interest): boolean {
    return this.#followed.has(topicOf(interest))
  }

  unfollow(interest: Interest): boolean {
    const followed = this.#followed.get(topicOf(interest))
    if (!followed) return false
    this.#gaps.delete(followed)
    return this.#followed.delete(topicOf(interest))
  }

  /** The entry right behind `after`, when it is here. */
  next(interest: Interest, after: bigint): T | undefined {
    return this.#followed.get(topicOf(interest))?.ahead.get(after + 1n)
  }

  /** An entry arrived at this place of the topic. */
  take(
    interest: Interest,
    { place, value, from, now, draw }: { place: bigint; value: T; from: Address | undefined; now: number; draw: Draw },
  ): Arrival {
    const followed = this.#followed.get(topicOf(interest))
    if (!followed) return 'unknown'
    if (place > followed.known) {
      followed.known = place
      followed.from = from
    }
    const arrival = this.#keep(followed, place, value)
    if (this.#isWhole(followed)) this.#set(followed, undefined)
    else if (!followed.gap) this.#set(followed, openGap(now, draw))
    // Each answer to an ask brings the next ask, so that a long gap fills at the pace of the answers.
    else if (arrival === 'next' || arrival === 'ahead') this.#set(followed, { ...followed.gap, attempts: 0 })
    return arrival
  }

  /** Somebody says how far the topic reaches. */
  hear(
    interest: Interest,
    { place, from, now, draw }: { place: bigint; from: Address; now: number; draw: Draw },
  ): void {
    const followed = this.#followed.get(topicOf(interest))
    if (!followed) return
    if (place > followed.known) {
      followed.known = place
      followed.from = from
    }
    if (this.#isWhole(followed)) this.#set(followed, undefined)
    else if (!followed.gap) this.#set(followed, openGap(now, draw))
  }

  /** A kept entry turned out not to hold: it is asked for again, of others. */
  discard(interest: Interest, place: bigint, now: number): void {
    const followed = this.#followed.get(topicOf(interest))
    if (!followed?.ahead.delete(place)) return
    followed.from = undefined
    this.#set(followed, { ...urgentGap(now), attempts: 1 })
  }

  /** A range was answered with entries: what follows is asked for at once. */
  answered(interest: Interest, now: number): void {
    const followed = this.#followed.get(topicOf(interest))
    if (followed?.gap) this.#set(followed, urgentGap(now))
  }

  /** What is to be asked now; asking moves each gap on. */
  asks(now: number, draw: Draw): readonly Ask[] {
    const asks: Ask[] = []
    for (const followed of this.#gaps) {
      const { stream, subset, gap, from } = followed
      if (!gap || gap.askAt > now) continue
      const after = this.#reached(followed)
      if (after - followed.after >= BigInt(this.#aheadLimit)) continue // there is no room before some are taken
      asks.push({ stream, subset, after, from, wide: isWide(gap) || from === undefined })
      this.#set(followed, this.#isWhole(followed) ? undefined : askedAgain(gap, now, draw))
    }
    return asks
  }

  views(): readonly FollowedView[] {
    return [...this.#followed.values()].map(({ stream, subset, after, known, ahead, gap }) => ({
      stream,
      subset,
      after,
      known,
      waiting: ahead.size,
      asking: gap !== undefined,
    }))
  }

  #set(followed: Followed<T>, gap: Gap | undefined): void {
    followed.gap = gap
    if (gap) this.#gaps.add(followed)
    else this.#gaps.delete(followed)
  }

  #keep(followed: Followed<T>, place: bigint, value: T): Arrival {
    if (place <= followed.after || followed.ahead.has(place)) return 'known'
    if (place > followed.after + BigInt(this.#aheadLimit)) return 'beyond'
    followed.ahead.set(place, value)
    return place === followed.after + 1n ? 'next' : 'ahead'
  }

  /** The last place that is here without a gap before it. */
  #reached({ after, ahead }: Followed<T>): bigint {
    let place = after
    while (ahead.has(place + 1n)) place++
    return place
  }

  #isWhole(followed: Followed<T>): boolean {
    return this.#reached(followed) >= followed.known
  }
}
