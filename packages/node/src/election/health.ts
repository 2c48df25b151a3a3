/** Which service nodes are alive, as one anchor sees it: from their heartbeats alone. */
import type { Address } from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Clock } from '../ports/clock.ts'
import type { PostOffice } from '../wire/post-office.ts'

/** Heartbeats that may be missed before a node counts as gone. */
const MISSED_LIMIT = 3

export class Health {
  readonly #clock: Clock
  readonly #context: NodeContext
  readonly #seen = new Map<Address, { at: number; ready: boolean }>()

  constructor({ clock }: { clock: Clock }, context: NodeContext, post: PostOffice) {
    this.#clock = clock
    this.#context = context
    post.on('heartbeat', (from, message) => {
      this.#seen.set(from, { at: clock.monotonic(), ready: message.ready })
    })
  }

  isHealthy(node: Address): boolean {
    const seen = this.#seen.get(node)
    const limitMs = MISSED_LIMIT * this.#context.parameters.heartbeatMs
    return seen?.ready === true && this.#clock.monotonic() - seen.at <= limitMs
  }
}
