/** From which home anchors this node hears each stream: f + 1 of them, its own choice, others in place of those that fall silent. */
import { type Address, type Bytes32, faultsTolerated, type Homes } from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'

/** An anchor that was told what we follow says something every second; one that is silent so long is down, or cut off from us. */
const SILENT_MS = 3_500
/** Who fell silent is tried again after this time. */
const GIVEN_UP_MS = 30_000

export class StreamSources {
  readonly #context: Pick<NodeContext, 'homes'>
  readonly #self: Address
  readonly #chosen = new Map<Bytes32, readonly Address[]>()
  readonly #heardAt = new Map<Address, number>()
  readonly #givenUpUntil = new Map<Address, number>()
  #homes: Homes

  constructor(context: Pick<NodeContext, 'homes'>, self: Address) {
    this.#context = context
    this.#self = self
    this.#homes = context.homes()
  }

  /** The first pushes entries, the others tell heads: what it withholds or loses is known within a moment and asked of them. */
  of(stream: Bytes32): readonly Address[] {
    const known = this.#chosen.get(stream)
    if (known) return known
    const anchors = this.home(stream)
    const first = Number(BigInt(this.#self) % BigInt(anchors.length || 1))
    const order = [...anchors.slice(first), ...anchors.slice(0, first)]
    const speaking = order.filter((anchor) => !this.#givenUpUntil.has(anchor))
    const silent = order.filter((anchor) => this.#givenUpUntil.has(anchor))
    const chosen = [...speaking, ...silent].slice(0, faultsTolerated(anchors.length) + 1)
    this.#chosen.set(stream, chosen)
    return chosen
  }

  home(stream: Bytes32): readonly Address[] {
    return this.#homes.of(stream).anchors
  }

  /** When the anchor was heard before; it counts from the moment it was first told anything. */
  heard(anchor: Address, now: number): number {
    const before = this.#heardAt.get(anchor) ?? now
    this.#heardAt.set(anchor, now)
    return before
  }

  silentFor(anchor: Address, now: number): number {
    return now - (this.#heardAt.get(anchor) ?? now)
  }

  /** Chooses anew where the epoch or a silent anchor asks for it. True when other anchors may have to be told. */
  changed(now: number, told: Iterable<Address>): boolean {
    const homes = this.#context.homes()
    const silent = [...told].filter((anchor) => this.silentFor(anchor, now) > SILENT_MS)
    const again = [...this.#givenUpUntil].filter(([, until]) => until <= now).map(([anchor]) => anchor)
    for (const anchor of again) this.#givenUpUntil.delete(anchor)
    for (const anchor of silent) {
      this.#givenUpUntil.set(anchor, now + GIVEN_UP_MS)
      this.#heardAt.delete(anchor)
    }
    if (homes === this.#homes && silent.length === 0) return false
    this.#homes = homes
    this.#chosen.clear()
    return true
  }
}
