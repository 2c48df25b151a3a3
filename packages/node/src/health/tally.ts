/** What one anchor counted of its probes of one node in the present window. */
import { type Address, bucketOf, NO_LATENCY, type ProbeSample } from '@smartlayer/protocol'

/** How a probe ended. */
export type ProbeEnd =
  | { readonly end: 'answered'; readonly latencyMs: number; readonly stalenessMs: number }
  | { readonly end: 'failed' }
  | { readonly end: 'unanswered' }

export class Tally {
  #probes = 0
  #failed = 0
  #stale = 0
  #stalenessMs = 0
  readonly #latency = NO_LATENCY.map(() => 0)

  count(probe: ProbeEnd, stalenessLimitMs: number): void {
    this.#probes++
    if (probe.end === 'failed') this.#failed++
    if (probe.end !== 'answered') return
    this.#latency[bucketOf(probe.latencyMs)]!++
    if (probe.stalenessMs > stalenessLimitMs) this.#stale++
    this.#stalenessMs = Math.max(this.#stalenessMs, probe.stalenessMs)
  }

  get isEmpty(): boolean {
    return this.#probes === 0
  }

  sample(of: { node: Address; prober: Address; start: bigint; lengthMs: bigint }): ProbeSample {
    const latency = this.#latency.map(BigInt)
    return {
      ...of,
      probes: BigInt(this.#probes),
      answered: latency.reduce((sum, count) => sum + count, 0n),
      failed: BigInt(this.#failed),
      stale: BigInt(this.#stale),
      stalenessMs: BigInt(Math.round(this.#stalenessMs)),
      latency,
    }
  }
}
