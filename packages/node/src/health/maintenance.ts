/** A service node's own planned maintenance: announced with every heartbeat, kept over restarts, within its bound. */
import {
  type Address,
  accepted,
  Drain,
  drainAhead,
  type HeardDrain,
  hearDrain,
  isPlanned,
  type SignedDrain,
  SmartLayerError,
} from '@smartlayer/protocol'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Ports } from '../ports/ports.ts'
import type { HealthParts } from './health-parts.ts'
import { heardDrainsShape } from './ledger-store.ts'

const KEY = 'health/maintenance'

export class Maintenance {
  readonly #ports: Pick<Ports, 'clock' | 'store' | 'identity' | 'telemetry'>
  readonly #parts: HealthParts
  #words: readonly HeardDrain[]

  constructor(ports: Pick<Ports, 'clock' | 'store' | 'identity' | 'telemetry'>, parts: HealthParts) {
    this.#ports = ports
    this.#parts = parts
    const row = ports.store.get(KEY)
    this.#words = row ? heardDrainsShape.parse(decodeJson(row), KEY) : []
  }

  /** Goes away for a while, from now on; 0 takes it back. Throws `health.drain_budget`. */
  async plan(forMs: number): Promise<Drain> {
    const { clock, identity, store, telemetry } = this.#ports
    const { health, epsilonMs } = this.#parts
    const last = this.#words.at(-1)?.signed.drain.issued ?? 0n
    const now = clock.now()
    const issued = now > last ? now : last + 1n
    const drain: Drain = { node: this.#self, issued, from: issued, until: issued + BigInt(forMs) }
    const signed: SignedDrain = { drain, signature: this.#parts.sign(Drain, drain) }
    const { domain } = this.#parts.context
    const heard = hearDrain(this.#words, signed, { domain, crypto: identity.crypto, health, epsilonMs, now })
    if (!accepted(heard)) throw SmartLayerError.fromData(heard.code, heard.facts)
    await store.commit([{ key: KEY, value: encodeJson(heardDrainsShape.toJson(heard.value)) }])
    this.#words = heard.value
    telemetry.log('info', 'maintenance.planned', { from: drain.from, until: drain.until })
    return drain
  }

  /** The last word, while anybody may not have heard it yet. */
  get word(): SignedDrain | undefined {
    const signed = this.#words.at(-1)?.signed
    const oldest = this.#ports.clock.now() - BigInt(this.#parts.health.drainEpochMs)
    return signed && signed.drain.issued > oldest ? signed : undefined
  }

  get isGoing(): boolean {
    return isPlanned(this.#words, this.#ports.clock.now())
  }

  get ahead(): Drain | undefined {
    return drainAhead(this.#words, this.#ports.clock.now())
  }

  get #self(): Address {
    return this.#parts.self
  }
}
