/** The outside system: a hotel that answers, fails, hangs, and sometimes does the work and never says so. */
import type { Egress, OutboundRequest, OutboundResult } from '@smartlayer/node'
import type { Bytes32 } from '@smartlayer/protocol'
import type { Life } from './life.ts'
import type { Draws } from './random.ts'
import type { Trace, VirtualTime } from './time.ts'

type Options = {
  readonly time: VirtualTime
  readonly trace: Trace
  readonly draws: Draws
  readonly observe: (life: Life, request: OutboundRequest, leavesAt: number) => void
}

export class OutsideSystem {
  readonly #options: Options
  /** How often the work of an effect was done. */
  readonly done = new Map<Bytes32, number>()
  requests = 0
  /** While false, every request is answered well. */
  faulty = true

  constructor(options: Options) {
    this.#options = options
  }

  portFor(life: Life): Egress {
    return {
      request: (request) =>
        new Promise((resolve) => {
          const { time, trace, observe } = this.#options
          this.requests++
          observe(life, request, time.now)
          trace.note(time.now, `${life.name} ⇒ outside ${request.url} term ${request.term}`, request.effect)
          const { result, afterMs } = this.#serve(request)
          time.at(afterMs, () => {
            if (life.alive) resolve(result)
          })
        }),
    }
  }

  #serve(request: OutboundRequest): { result: OutboundResult; afterMs: number } {
    const { draws } = this.#options
    const luck = this.faulty ? draws.next() : 1
    const afterMs = 5 + draws.next() * 60
    const hung = { result: { end: 'lost', reason: 'timeout' } as const, afterMs: request.timeoutMs }
    if (luck < 0.05) return { result: { end: 'unsent', reason: 'refused' }, afterMs }
    if (luck < 0.13) return { result: { end: 'answer', status: 503, body: '', signature: undefined }, afterMs }
    if (luck < 0.2) return hung
    this.#work(request)
    if (luck < 0.3) return hung
    return { result: { end: 'answer', status: 200, body: '{"confirmed":true}', signature: undefined }, afterMs }
  }

  /** `/call` honours the idempotency key; `/charge` does its work as often as it is asked. */
  #work({ effect, url }: OutboundRequest): void {
    const before = this.done.get(effect) ?? 0
    if (before === 0 || url.endsWith('/charge')) this.done.set(effect, before + 1)
  }
}
