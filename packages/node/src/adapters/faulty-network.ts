/** Development only: a Network that injects faults on purpose, so that what must survive them can be seen to. */
import type { Address } from '@smartlayer/protocol'
import type { FaultChange, Faults } from '../config/schema.ts'
import type { Network, TrafficClass } from '../ports/network.ts'
import type { Telemetry } from '../ports/telemetry.ts'

/** Messages, and characters of them, that may be held back at a time; the rest go without delay. */
const HELD_LIMIT = 4_096
const HELD_CHARACTERS = 32 * 1_048_576

const NO_FAULTS: Faults = { loss: 0, jitterMs: 0, duplicate: 0, cut: [] }

type Outgoing = { readonly to: Address; readonly message: unknown; readonly trafficClass: TrafficClass }

export class FaultyNetwork implements Network {
  readonly self: Address
  readonly #network: Network
  readonly #telemetry: Telemetry
  readonly #held = new Set<NodeJS.Timeout>()
  #heldCharacters = 0
  #faults: Faults = NO_FAULTS
  #last: { readonly message: unknown; readonly text: string } | undefined

  constructor(network: Network, faults: FaultChange, telemetry: Telemetry) {
    this.self = network.self
    this.#network = network
    this.#telemetry = telemetry
    if (Object.keys(faults).length > 0) this.inject(faults)
  }

  /** Changes what is named and leaves the rest; returns all faults that are injected from now on. */
  inject(change: FaultChange): Faults {
    const { loss, jitterMs, duplicate, cut } = this.#faults
    this.#faults = {
      loss: change.loss ?? loss,
      jitterMs: change.jitterMs ?? jitterMs,
      duplicate: change.duplicate ?? duplicate,
      cut: change.cut ?? cut,
    }
    this.#telemetry.log('warn', 'network.faults_injected_on_purpose', this.#faults)
    return this.#faults
  }

  /** A message to ourselves never meets a fault: it does not travel. */
  send(to: Address, message: unknown, trafficClass: TrafficClass): void {
    const outgoing = { to, message, trafficClass }
    if (to === this.self) return this.#pass(outgoing)
    if (this.#isCut(to)) return this.#note('cut')
    if (Math.random() < this.#faults.loss) return this.#note('loss')
    this.#sendLate(outgoing)
    if (Math.random() >= this.#faults.duplicate) return
    this.#note('duplicate')
    this.#sendLate(outgoing)
  }

  receive(handle: (from: Address, message: unknown) => void): void {
    this.#network.receive((from, message) => {
      if (from !== this.self && this.#isCut(from)) this.#note('cut')
      else handle(from, message)
    })
  }

  /** Forgets what is held back. */
  close(): void {
    for (const timer of this.#held) clearTimeout(timer)
    this.#held.clear()
    this.#heldCharacters = 0
  }

  #isCut(node: Address): boolean {
    return this.#faults.cut === 'all' || this.#faults.cut.includes(node)
  }

  #sendLate(outgoing: Outgoing): void {
    const delayMs = Math.random() * this.#faults.jitterMs
    const text = delayMs > 0 ? this.#written(outgoing.message) : undefined
    if (text === undefined || !this.#hasRoom(text)) return this.#pass(outgoing)
    this.#heldCharacters += text.length
    const timer = setTimeout(() => {
      this.#held.delete(timer)
      this.#heldCharacters -= text.length
      if (this.#isCut(outgoing.to)) this.#note('cut')
      else this.#pass({ ...outgoing, message: JSON.parse(text) })
    }, delayMs)
    this.#held.add(timer)
  }

  #hasRoom(text: string): boolean {
    return this.#held.size < HELD_LIMIT && this.#heldCharacters + text.length <= HELD_CHARACTERS
  }

  #pass({ to, message, trafficClass }: Outgoing): void {
    this.#network.send(to, message, trafficClass)
  }

  /** A held message says what it said when it was sent. What cannot be written is left to the network behind to refuse. */
  #written(message: unknown): string | undefined {
    if (this.#last?.message === message) return this.#last?.text
    try {
      const text = JSON.stringify(message)
      if (!this.#last) queueMicrotask(() => this.#forgetLast())
      this.#last = { message, text }
      return text
    } catch {
      return undefined
    }
  }

  #forgetLast(): void {
    this.#last = undefined
  }

  #note(kind: 'cut' | 'loss' | 'duplicate'): void {
    this.#telemetry.count('smartlayer_network_faults_injected_total', { kind })
  }
}
