/** Which service nodes are alive and have room, as one anchor sees it from their heartbeats: the fast sign of failure. */
import { type Address, memberOf, type SignedDrain } from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Clock } from '../ports/clock.ts'
import type { PostOffice } from '../wire/post-office.ts'

/** Heartbeats that may be missed before a node counts as gone. */
const MISSED_LIMIT = 3

type Beat = { readonly at: number; readonly ready: boolean; readonly instances: number; readonly limit: number }
export type Load = { readonly instances: number; readonly limit: number }

export class Heartbeats {
  readonly #clock: Clock
  readonly #context: NodeContext
  readonly #beats = new Map<Address, Beat>()

  /** `heard` gets what a node says of its planned maintenance. */
  constructor(
    { clock }: { clock: Clock },
    context: NodeContext,
    post: PostOffice,
    heard: (node: Address, drain: SignedDrain) => void,
  ) {
    this.#clock = clock
    this.#context = context
    post.on('heartbeat', (from, { ready, instances, limit, drain }) => {
      if (memberOf(context.membership(), from)?.role !== 'service') return
      this.#beats.set(from, { at: clock.monotonic(), ready, instances, limit })
      if (drain) heard(from, drain)
    })
  }

  isAlive(node: Address): boolean {
    return this.#beats.get(node)?.ready === true && this.silentMs(node) <= this.#limitMs
  }

  /** How long nothing was heard of a node; without end for one that was never heard of. */
  silentMs(node: Address): number {
    const beat = this.#beats.get(node)
    return beat ? this.#clock.monotonic() - beat.at : Number.POSITIVE_INFINITY
  }

  /** What a node said of its load; nothing hosted and no room while it said nothing. */
  loadOf(node: Address): Load {
    const { instances, limit } = this.#beats.get(node) ?? { instances: 0, limit: 0 }
    return { instances, limit }
  }

  get #limitMs(): number {
    return MISSED_LIMIT * this.#context.parameters.heartbeatMs
  }
}
