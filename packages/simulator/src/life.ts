/** One run of one actor, from its start to its crash: what outlives the crash may not reach the actor any more. */
import type { Address } from '@smartlayer/protocol'

export type Life = {
  readonly node: Address
  /** Short name for traces: `anchor-2`, `service-4`. */
  readonly name: string
  readonly bornAt: number
  alive: boolean
}
