/** One subscription: nothing but a cursor, which reads the next page when its client took the last one. */
import { type Code, isSmartLayerError } from '@smartlayer/protocol'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { StreamReader } from './stream-reader.ts'
import { floorFor, isPruned, lastWord, type Page, type Position, type SubscriptionPages } from './subscription-pages.ts'

/** A client that takes nothing for so long, although something waits for it, is cut off; it resumes from its cursor. */
export const SLOW_LIMIT_MS = 60_000
const PROMISE_EVERY_MS = 30_000
/** How long a client may take to read why its subscription ended. */
const LINGER_MS = 5_000

/** A client's socket, as far as a subscription sees it. */
export type Sink = {
  write(page: Page): void
  /** True while something that was written waits for the client to read it. */
  readonly full: boolean
  /** Shows that the connection lives, and ends it when the client is gone. */
  beat(): void
  /** Says why, after all that was written, and closes. */
  end(code: Code): void
  /** Closes at once. */
  destroy(): void
}

type SubscriptionPorts = Pick<Ports, 'clock' | 'telemetry'>
type Parts = { readonly reader: StreamReader; readonly pages: SubscriptionPages; readonly name: string }

export class Subscription {
  readonly #ports: SubscriptionPorts
  readonly #parts: Parts
  readonly #sink: Sink
  readonly #unwatch: () => void
  #position: Position
  /** Cancels the next page, or after the end the wait for the client. */
  #pending: Cancel | undefined
  #fullSince: number | undefined
  /** How far the stream was certified when nothing followed the position. */
  #quietAt: bigint | undefined
  #promisedAt: number | undefined
  #ended = false

  constructor(ports: SubscriptionPorts, parts: Parts, position: Position, sink: Sink) {
    this.#ports = ports
    this.#parts = parts
    this.#position = position
    this.#sink = sink
    this.#unwatch = parts.reader.watch(position.stream, () => this.#schedule())
    this.#promise()
    this.#schedule()
  }

  get after(): bigint {
    return this.#position.after
  }

  /** The client took everything. */
  drained(): void {
    this.#fullSince = undefined
    this.#schedule()
  }

  /** Called every few seconds while the connection is there. */
  beat(): void {
    if (this.#ended) return
    const now = this.#ports.clock.monotonic()
    if (this.#fullSince !== undefined && now - this.#fullSince >= SLOW_LIMIT_MS) return this.#end('stream.slow')
    if (now - (this.#promisedAt ?? 0) >= PROMISE_EVERY_MS) this.#promise()
    this.#sink.beat()
  }

  /** The connection is over. */
  stop(): void {
    this.#ended = true
    this.#unwatch()
    this.#pending?.()
  }

  /** One page per turn of the event loop, so that a long replay holds up nobody. */
  #schedule(): void {
    if (this.#ended || this.#pending || this.#fullSince !== undefined) return
    this.#pending = this.#ports.clock.after(0, () => {
      this.#pending = undefined
      this.#read()
    })
  }

  #read(): void {
    const { reader, pages } = this.#parts
    const { stream } = this.#position
    try {
      const page = pages.read(this.#position, this.#quietAt)
      if (page.messages.length > 0) return this.#send(page)
      this.#quietAt = page.certified
      const { frozenAfter } = reader.state(stream)
      if (frozenAfter === undefined) return
      this.#sink.write(lastWord({ type: 'frozen', after: frozenAfter }))
      this.#end('stream.frozen')
    } catch (error) {
      if (!isPruned(error)) return this.#failed(error)
      const floor = floorFor(reader, this.#position, error)
      this.#sink.write(lastWord({ type: 'pruned', floor, certified: reader.checkpoint(stream) }))
      this.#end('stream.pruned')
    }
  }

  /** After the page the cursor is behind it: what the client did not get it asks for again with its own cursor. */
  #send(page: Page): void {
    this.#sink.write(page)
    this.#position = { ...this.#position, after: page.after }
    this.#quietAt = undefined
    if (this.#sink.full) this.#fullSince = this.#ports.clock.monotonic()
    else this.#schedule()
  }

  #promise(): void {
    const { stream, subset, after } = this.#position
    this.#promisedAt = this.#ports.clock.monotonic()
    this.#parts.reader.promise(stream, this.#parts.name, { subset, after })
  }

  #failed(error: unknown): void {
    const { stream, after } = this.#position
    this.#ports.telemetry.log('error', 'subscription.failed', { stream, after, error })
    this.#end(isSmartLayerError(error) ? error.code : 'bug.unexpected')
  }

  #end(code: Code): void {
    this.stop()
    this.#ports.telemetry.count('smartlayer_subscriptions_ended_total', { code })
    this.#sink.end(code)
    this.#pending = this.#ports.clock.after(LINGER_MS, () => this.#sink.destroy())
  }
}
