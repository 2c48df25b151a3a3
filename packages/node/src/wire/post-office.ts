/** Parses what peers send, hands it to the service that owns the message type, and sends ours in the right class. */
import { type Address, isSmartLayerError, type WireMessage, type WireType, wireShape } from '@smartlayer/protocol'
import type { Network, TrafficClass } from '../ports/network.ts'
import type { Telemetry } from '../ports/telemetry.ts'

type Handler<T extends WireType> = (from: Address, message: Extract<WireMessage, { type: T }>) => void

const CLASS_OF: Readonly<Partial<Record<WireType, TrafficClass>>> = {
  'stream-item': 'live',
  publish: 'live',
  executed: 'live',
  committed: 'live',
  'journal-request': 'repair',
  'journal-range': 'repair',
  'stream-request': 'repair',
  'stream-range': 'repair',
}

export class PostOffice {
  readonly #network: Network
  readonly #telemetry: Telemetry
  readonly #handlers = new Map<WireType, (from: Address, message: never) => void>()

  constructor({ network, telemetry }: { network: Network; telemetry: Telemetry }) {
    this.#network = network
    this.#telemetry = telemetry
    network.receive((from, message) => this.#receive(from, message))
  }

  get self(): Address {
    return this.#network.self
  }

  on<T extends WireType>(type: T, handle: Handler<T>): void {
    this.#handlers.set(type, handle as (from: Address, message: never) => void)
  }

  send(to: Address, message: WireMessage): void {
    this.#network.send(to, wireShape.toJson(message), CLASS_OF[message.type] ?? 'control')
  }

  sendAll(to: readonly Address[], message: WireMessage): void {
    const json = wireShape.toJson(message)
    for (const node of to) this.#network.send(node, json, CLASS_OF[message.type] ?? 'control')
  }

  #receive(from: Address, input: unknown): void {
    try {
      const message = wireShape.parse(input, 'message') as WireMessage
      this.#handlers.get(message.type)?.(from, message as never)
    } catch (error) {
      const code = isSmartLayerError(error) ? error.code : 'bug.unexpected'
      this.#telemetry.log(code === 'bug.unexpected' ? 'error' : 'debug', 'wire.refused', { from, code, error })
      this.#telemetry.count('smartlayer_wire_refused_total', { code })
    }
  }
}
