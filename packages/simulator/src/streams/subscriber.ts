/** A client that subscribes to a stream at one anchor after another, and never loses its place. */
import { type Sink, type StreamService, Subscription, SubscriptionPages } from '@smartlayer/node'
import { type SubscriptionEvent, subscriptionEventShape } from '@smartlayer/protocol'
import { simClock } from '../clock.ts'
import type { Life } from '../life.ts'
import type { Draws } from '../random.ts'
import type { Trace, VirtualTime } from '../time.ts'
import type { StreamCheckers } from './checkers.ts'
import type { FollowedSubset } from './follower.ts'

const RECONNECT_MS = 60
const BEAT_MS = 500
const REST_MS = 1_000

type Anchor = { readonly name: string; readonly life: Life | undefined; readonly service: StreamService | undefined }
type Options = {
  readonly time: VirtualTime
  readonly trace: Trace
  readonly draws: Draws
  readonly follows: FollowedSubset
  /** Honest anchors: what a liar writes into a client's socket is the client's to check. */
  readonly anchors: () => readonly Anchor[]
  readonly checkers: StreamCheckers
}

export class Subscriber {
  readonly name = 'subscriber'
  readonly #options: Options
  #connection: { readonly life: Life; readonly subscription: Subscription } | undefined
  #after = 0n
  /** After the last word of a stream it asks again more seldom. */
  #restUntil = 0
  connections = 0

  constructor(options: Options) {
    this.#options = options
    this.#watch()
  }

  get follows(): FollowedSubset {
    return this.#options.follows
  }

  /** How far it got. */
  get cursor(): bigint {
    return this.#after
  }

  /** The connection breaks; what was not read is lost. */
  disconnect(): void {
    this.#connection?.subscription.stop()
    this.#connection = undefined
  }

  #watch(): void {
    const { time } = this.#options
    if (this.#connection && !this.#connection.life.alive) this.disconnect()
    if (!this.#connection && time.now >= this.#restUntil) this.#connect()
    time.at(RECONNECT_MS, () => this.#watch())
  }

  #connect(): void {
    const { time, trace, draws, anchors, follows } = this.#options
    const { name, life, service } = draws.pick(anchors())
    if (!life || !service) return
    this.connections++
    trace.note(time.now, `${this.name} connects to ${name} after ${this.#after}`)
    const clock = simClock(time, life, { ms: 0 })
    const telemetry = { log: () => {}, count: () => {} }
    const parts = { reader: service, pages: new SubscriptionPages(service), name: this.name }
    const { stream, subset } = follows
    const position = { stream, subset: subset === stream ? undefined : subset, after: this.#after }
    const sink = this.#sink(life)
    const subscription = new Subscription({ clock, telemetry }, parts, position, sink)
    this.#connection = { life, subscription }
    const beat = () => {
      if (this.#connection?.subscription !== subscription) return
      subscription.beat()
      time.at(BEAT_MS, beat)
    }
    time.at(BEAT_MS, beat)
  }

  /** A socket that is slow now and then. */
  #sink(life: Life): Sink {
    const { time, draws } = this.#options
    const state = { full: false }
    return {
      get full() {
        return state.full
      },
      write: ({ messages }) => {
        for (const { json } of messages) this.#take(subscriptionEventShape.parse(JSON.parse(json.toString()), 'event'))
        if (!draws.chance(0.2)) return
        state.full = true
        time.at(draws.between(20, 400), () => {
          state.full = false
          if (this.#connection?.life === life) this.#connection.subscription.drained()
        })
      },
      beat: () => {},
      end: () => {
        this.disconnect()
        this.#restUntil = time.now + REST_MS
      },
      destroy: () => {},
    }
  }

  #take(event: SubscriptionEvent): void {
    if (event.type !== 'entry') return
    const { checkers, follows } = this.#options
    const { cursor, item, receipt } = event
    checkers.delivered(this.name, { ...follows, after: this.#after }, cursor, item)
    if (receipt) checkers.shownTo(this.name, item, receipt)
    this.#after = cursor
  }
}
