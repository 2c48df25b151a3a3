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

/** Of several readers of one topic, the best that can be said of an arrival. */
const ARRIVALS: readonly Arrival[] = ['next', 'ahead', 'known', 'beyond']
const ONLY_READER = ''

/**
 * Keeps for each reader of a topic at most `aheadLimit` entries beyond its cursor; the rest stays where it is durable. Readers do
 * not wait for each other: instances that follow the same subset stand at different places of it.
 */
export class Follower<T> {
  readonly #aheadLimit: number
  /** By topic, then by reader. */
  readonly #topics = new Map<string, Map<string, Followed<T>>>()
  /** Readers that have a gap: all others cost nothing, however many there are. */
  readonly #gaps = new Set<Followed<T>>()

  constructor(aheadLimit: number) {
    this.#aheadLimit = aheadLimit
  }

  get size(): number {
    return this.#topics.size
  }

  /** Each topic once, from behind the reader that is least far. */
  get interests(): readonly (Interest & { readonly after: bigint })[] {
    return this.views().map(({ stream, subset, after }) => ({ stream, subset, after }))
  }

  /** Follows a topic from behind `after`, or moves the reader's cursor. True when the topic is new here. */
  follow(interest: Interest, after: bigint, now: number, reader = ONLY_READER): boolean {
    const readers = this.#topics.get(topicOf(interest)) ?? new Map<string, Followed<T>>()
    const known = readers.get(reader)
    if (!known) {
      const { stream, subset } = interest
      const ahead = new Map<bigint, T>()
      const followed: Followed<T> = { stream, subset, after, known: after, from: undefined, gap: undefined, ahead }
      this.#topics.set(topicOf(interest), readers.set(reader, followed))
      this.#set(followed, urgentGap(now))
      return readers.size === 1
    }
    if (after < known.after) this.#set(known, urgentGap(now)) // what was handed out before is wanted again
    known.after = after
    if (known.known < after) known.known = after
    for (const place of known.ahead.keys()) if (place <= after) known.ahead.delete(place)
    if (this.#isWhole(known)) this.#set(known, undefined)
    return false
  }

  has(interest: Interest): boolean {
    return this.#topics.has(topicOf(interest))
  }

  /** True when nobody follows the topic any more. */
  unfollow(interest: Interest, reader = ONLY_READER): boolean {
    const readers = this.#topics.get(topicOf(interest))
    const followed = readers?.get(reader)
    if (!readers || !followed) return false
    this.#gaps.delete(followed)
    readers.delete(reader)
    return readers.size === 0 && this.#topics.delete(topicOf(interest))
  }

  /** The entry right behind `after`, when it is here for this reader. */
  next(interest: Interest, after: bigint, reader = ONLY_READER): T | undefined {
    return this.#topics
      .get(topicOf(interest))
      ?.get(reader)
      ?.ahead.get(after + 1n)
  }

  /** True when some reader has the entry right behind `after`. */
  holds(interest: Interest, after: bigint): boolean {
    return this.#readersOf(interest).some(({ ahead }) => ahead.has(after + 1n))
  }

  /** An entry arrived at this place of the topic. */
  take(
    interest: Interest,
    arrived: { place: bigint; value: T; from: Address | undefined; now: number; draw: Draw },
  ): Arrival {
    const arrivals = this.#readersOf(interest).map((followed) => this.#take(followed, arrived))
    return ARRIVALS.find((arrival) => arrivals.includes(arrival)) ?? 'unknown'
  }

  /** Somebody says how far the topic reaches. */
  hear(interest: Interest, heard: { place: bigint; from: Address; now: number; draw: Draw }): void {
    for (const followed of this.#readersOf(interest)) {
      this.#hear(followed, heard)
      if (this.#isWhole(followed)) this.#set(followed, undefined)
      else if (!followed.gap) this.#set(followed, openGap(heard.now, heard.draw))
    }
  }

  /** A kept entry turned out not to hold: it is asked for again, of others. */
  discard(interest: Interest, place: bigint, now: number): void {
    for (const followed of this.#readersOf(interest)) {
      if (!followed.ahead.delete(place)) continue
      followed.from = undefined
      this.#set(followed, { ...urgentGap(now), attempts: 1 })
    }
  }

  /** A range was answered with entries: what follows is asked for at once. */
  answered(interest: Interest, now: number): void {
    for (const followed of this.#readersOf(interest)) if (followed.gap) this.#set(followed, urgentGap(now))
  }

  /** What is to be asked now, each range once for all its readers; asking moves each gap on. */
  asks(now: number, draw: Draw): readonly Ask[] {
    const asks = new Map<string, Ask>()
    for (const followed of this.#gaps) {
      const { stream, subset, gap, from } = followed
      if (!gap || gap.askAt > now) continue
      const after = this.#reached(followed)
      if (after - followed.after >= BigInt(this.#aheadLimit)) continue // there is no room before some are taken
      const ask = { stream, subset, after, from, wide: isWide(gap) || from === undefined }
      const range = `${topicOf(followed)}/${after}`
      if (!asks.get(range)?.wide) asks.set(range, ask)
      this.#set(followed, this.#isWhole(followed) ? undefined : askedAgain(gap, now, draw))
    }
    return [...asks.values()]
  }

  /** Each topic once: as far as all of its readers are, and what waits for the one that waits for most. */
  views(): readonly FollowedView[] {
    return [...this.#topics.values()].map((readers) => {
      const all = [...readers.values()]
      const { stream, subset } = all[0]!
      return {
        stream,
        subset,
        after: all.reduce((least, { after }) => (after < least ? after : least), all[0]!.after),
        known: all.reduce((most, { known }) => (known > most ? known : most), 0n),
        waiting: Math.max(...all.map(({ ahead }) => ahead.size)),
        asking: all.some(({ gap }) => gap !== undefined),
      }
    })
  }

  #readersOf(interest: Interest): readonly Followed<T>[] {
    return [...(this.#topics.get(topicOf(interest))?.values() ?? [])]
  }

  #take(
    followed: Followed<T>,
    { value, ...heard }: { place: bigint; value: T; from: Address | undefined; now: number; draw: Draw },
  ): Arrival {
    this.#hear(followed, heard)
    const arrival = this.#keep(followed, heard.place, value)
    if (this.#isWhole(followed)) this.#set(followed, undefined)
    else if (!followed.gap) this.#set(followed, openGap(heard.now, heard.draw))
    // Each answer to an ask brings the next ask, so that a long gap fills at the pace of the answers.
    else if (arrival === 'next' || arrival === 'ahead') this.#set(followed, { ...followed.gap, attempts: 0 })
    return arrival
  }

  #hear(followed: Followed<T>, { place, from }: { place: bigint; from: Address | undefined }): void {
    if (place <= followed.known) return
    followed.known = place
    followed.from = from
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
