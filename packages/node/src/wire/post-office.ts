/** Parses what peers send, hands it to the service that owns the message type, and sends ours in the right class. */
import { type Address, isSmartLayerError, type WireMessage, type WireType, wireShape } from '@smartlayer/protocol'
import type { Network, TrafficClass } from '../ports/network.ts'
import type { Telemetry } from '../ports/telemetry.ts'

type Handler<T extends WireType> = (from: Address, message: Extract<WireMessage, { type: T }>) => void

/** Everything else is control. */
const CLASS_OF: Readonly<Partial<Record<WireType, TrafficClass>>> = {
  fork: 'fork',
  revocation: 'fork',
  'sample-conflict': 'fork',
  samples: 'heads',
  'stream-heads': 'heads',
  follow: 'heads',
  neighbours: 'heads',
  'stream-item': 'live',
  'stream-header': 'live',
  publish: 'live',
  executed: 'live',
  committed: 'live',
  'read-request': 'live',
  'read-answer': 'live',
  'journal-request': 'repair',
  'journal-range': 'repair',
  'penalty-proposal': 'repair',
  'stream-request': 'repair',
  'stream-range': 'repair',
  'stream-pruned': 'repair',
  'stream-list-request': 'repair',
  'snapshot-request': 'backfill',
  snapshot: 'backfill',
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

  /** `trafficClass` is given where the type alone does not tell how urgent a message is. */
  send(to: Address, message: WireMessage, trafficClass = classOf(message)): void {
    this.#network.send(to, wireShape.toJson(message), trafficClass)
  }

  sendAll(to: readonly Address[], message: WireMessage): void {
    const json = wireShape.toJson(message)
    for (const node of to) this.#network.send(node, json, classOf(message))
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

function classOf({ type }: WireMessage): TrafficClass {
  return CLASS_OF[type] ?? 'control'
}
