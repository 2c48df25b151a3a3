/** All subscriptions of one node: how many there may be, and the beat that finds clients which are slow or gone. */
import { SmartLayerError } from '@smartlayer/protocol'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { StreamReader } from './stream-reader.ts'
import { type Sink, Subscription } from './subscription.ts'
import { type Position, SubscriptionPages } from './subscription-pages.ts'

export const SUBSCRIPTION_LIMIT = 1024
export const ADDRESS_LIMIT = 64
export const BEAT_MS = 15_000

/** What the client's connection reports. */
export type OpenSubscription = { drained(): void; close(): void }

type Entry = { readonly subscription: Subscription; readonly sink: Sink }

export class Subscriptions {
  readonly #ports: Pick<Ports, 'clock' | 'telemetry'>
  readonly #reader: StreamReader
  readonly #pages: SubscriptionPages
  readonly #open = new Set<Entry>()
  readonly #numbers = new Map<string, Set<number>>()
  #beating: Cancel | undefined

  constructor(ports: Pick<Ports, 'clock' | 'telemetry'>, reader: StreamReader) {
    this.#ports = ports
    this.#reader = reader
    this.#pages = new SubscriptionPages(reader)
  }

  get size(): number {
    return this.#open.size
  }

  /** Starts a subscription of a remote address; it counts until `close`. Throws `stream.subscribers`. */
  open(address: string, position: Position, sink: Sink): OpenSubscription {
    const number = this.#numberFor(address)
    // A client that comes back gets the same name, so that its promise moves on instead of a second one being kept.
    const parts = { reader: this.#reader, pages: this.#pages, name: `${address}/${number}` }
    const subscription = new Subscription(this.#ports, parts, position, sink)
    const entry = { subscription, sink }
    this.#numbers.set(address, (this.#numbers.get(address) ?? new Set()).add(number))
    this.#open.add(entry)
    this.#ports.telemetry.count('smartlayer_subscriptions_opened_total')
    this.#beating ??= this.#ports.clock.after(BEAT_MS, () => this.#beat())
    return {
      drained: () => subscription.drained(),
      close: () => {
        if (this.#open.delete(entry)) this.#release(address, number)
        subscription.stop()
      },
    }
  }

  /** Cuts off everybody: clients go on at other anchors. */
  stop(): void {
    this.#beating?.()
    for (const { subscription, sink } of this.#open) {
      subscription.stop()
      sink.destroy()
    }
  }

  #numberFor(address: string): number {
    const used = this.#numbers.get(address)
    if (this.#open.size >= SUBSCRIPTION_LIMIT)
      throw SmartLayerError.of('stream.subscribers', { limit: SUBSCRIPTION_LIMIT })
    if (used && used.size >= ADDRESS_LIMIT) throw SmartLayerError.of('stream.subscribers', { limit: ADDRESS_LIMIT })
    let number = 0
    while (used?.has(number)) number++
    return number
  }

  #release(address: string, number: number): void {
    const used = this.#numbers.get(address)
    used?.delete(number)
    if (used?.size === 0) this.#numbers.delete(address)
  }

  #beat(): void {
    this.#beating = this.#open.size > 0 ? this.#ports.clock.after(BEAT_MS, () => this.#beat()) : undefined
    for (const { subscription } of this.#open) subscription.beat()
  }
}
