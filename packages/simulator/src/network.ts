/** The overlay in the simulator: late, lossy, repeating, reordering, and cut where a fault says so. */
import type { Network } from '@smartlayer/node'
import type { Address } from '@smartlayer/protocol'
import type { Life } from './life.ts'
import type { Draws } from './random.ts'
import type { Trace, VirtualTime } from './time.ts'

/** A wire message as it travels: parsed JSON whose type is known. */
// biome-ignore lint/suspicious/noExplicitAny: messages on the wire are unchecked JSON, that is what receivers must stand
export type Sent = { readonly type: string; readonly [field: string]: any }
export type Weather = { loss: number; duplication: number; delayed: number }
export type Tamper = (to: Address, message: Sent) => readonly Sent[]
type Handler = { readonly life: Life; readonly handle: (from: Address, message: unknown) => void }
type Options = {
  readonly time: VirtualTime
  readonly trace: Trace
  readonly draws: Draws
  readonly observe: (life: Life, to: Address, message: Sent) => void
}

export class SimNetwork {
  readonly #options: Options
  readonly #handlers = new Map<Address, Handler>()
  readonly #texts = new WeakMap<object, { text: string; parsed: Sent }>()
  /** One-way cuts `from>to`. */
  readonly cuts = new Set<string>()
  /** What Byzantine nodes send instead. */
  readonly tampers = new Map<Address, Tamper>()
  /** Milliseconds that every message from or to a node takes longer. */
  readonly slow = new Map<Address, number>()
  weather: Weather = { loss: 0, duplication: 0, delayed: 0 }
  drops = 0
  duplicates = 0
  delivered = 0

  constructor(options: Options) {
    this.#options = options
  }

  portFor(life: Life): Network {
    return {
      self: life.node,
      send: (to, message) => {
        if (life.alive) this.#send(life, to, this.#written(message as object))
      },
      receive: (handle) => void this.#handlers.set(life.node, { life, handle }),
    }
  }

  #send(life: Life, to: Address, { text, parsed }: { text: string; parsed: Sent }): void {
    const tamper = this.tampers.get(life.node)
    if (!tamper) return this.#post(life, to, { text, parsed })
    for (const message of tamper(to, parsed)) {
      this.#post(life, to, { text: message === parsed ? text : JSON.stringify(message), parsed: message })
    }
  }

  #post(life: Life, to: Address, message: { text: string; parsed: Sent }): void {
    const { draws, observe } = this.#options
    observe(life, to, message.parsed)
    if (to === life.node) return this.#deliver(life, to, message, 0.05)
    if (this.cuts.has(`${life.node}>${to}`) || draws.chance(this.weather.loss)) {
      this.drops++
      return
    }
    this.#deliver(life, to, message, this.#latencyMs(life.node, to))
    if (draws.chance(this.weather.duplication)) {
      this.duplicates++
      this.#deliver(life, to, message, this.#latencyMs(life.node, to))
    }
  }

  #deliver(from: Life, to: Address, { text, parsed }: { text: string; parsed: Sent }, delayMs: number): void {
    const { time, trace } = this.#options
    time.at(delayMs, () => {
      const handler = this.#handlers.get(to)
      if (!handler?.life.alive) return
      this.delivered++
      trace.note(
        time.now,
        `${from.name} → ${handler.life.name} ${parsed.type}${parsed.type === 'refused' ? ` ${parsed.code}` : ''}`,
        text,
      )
      handler.handle(from.node, parsed)
    })
  }

  #latencyMs(from: Address, to: Address): number {
    const { draws } = this.#options
    const slowMs = (this.slow.get(from) ?? 0) + (this.slow.get(to) ?? 0)
    return slowMs + (draws.chance(this.weather.delayed) ? 50 + draws.next() * 400 : 1 + draws.next() * 8)
  }

  /** A message to many is written once. */
  #written(message: object): { text: string; parsed: Sent } {
    const known = this.#texts.get(message)
    if (known) return known
    const text = JSON.stringify(message)
    const written = { text, parsed: JSON.parse(text) as Sent }
    this.#texts.set(message, written)
    return written
  }
}
