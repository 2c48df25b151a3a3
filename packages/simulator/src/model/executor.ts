/** The executors of the model: each keeps the lease of its term as `lease-keeper.ts` does, and may act by the production rule. */
import { type Lease, mayAct, renewalDue } from '@smartlayer/protocol'
import { EPSILON, NOW } from './parties.ts'
import type { LeaseBounds } from './profile.ts'
import type { Body } from './values.ts'

/** A renewal that was asked for at a moment; times are distances from now. */
type Asked = { readonly expires: number; readonly at: number }

/** The executor of one term. A release is durable; what was asked and the lease are lost in a crash. */
export type Keeper = {
  readonly asked: Asked | undefined
  readonly lease: { readonly expires: number; readonly asked: number } | undefined
  readonly released: boolean
}

export const NO_LEASE: Keeper = { asked: undefined, lease: undefined, released: false }

export function ask(keeper: Keeper, reading: number, { length }: LeaseBounds): Keeper {
  return { ...keeper, asked: { expires: reading + length, at: 0 } }
}

/**
 * At first at any time, then when a renewal is due. What got no answer is not asked for again: whoever asks later gets as
 * much, and anchors that signed both are only bound for longer.
 */
export function mayAsk({ asked, lease }: Keeper, { length }: LeaseBounds): boolean {
  if (asked) return false
  const held = { asked: lease?.asked } as Lease
  return !lease || renewalDue(held, { now: NOW, monotonic: 0 }, { leaseMs: BigInt(length), epsilonMs: BigInt(EPSILON) })
}

/** A quorum of renewals came: the lease counts from the moment at which it was asked for. */
export function count(keeper: Keeper): Keeper {
  const asked = keeper.asked!
  return { ...keeper, asked: undefined, lease: { expires: asked.expires, asked: asked.at } }
}

export function restarted({ released }: Keeper): Keeper {
  return { ...NO_LEASE, released }
}

/** Given back, after calls in flight ended. What was asked before may still arrive at anchors. */
export function releasedBy(keeper: Keeper): Keeper {
  return { ...keeper, lease: undefined, released: true }
}

/** The same executor one tick later, without what can never count again. */
export function agedKeeper({ asked, lease, released }: Keeper, bounds: LeaseBounds): Keeper {
  const later: Keeper = {
    asked: asked && { expires: asked.expires - 1, at: asked.at - 1 },
    lease: lease && { expires: lease.expires - 1, asked: lease.asked - 1 },
    released,
  }
  return {
    ...later,
    asked: later.asked && canEverAct(count(later), bounds) ? later.asked : undefined,
    lease: canEverAct(later, bounds) ? later.lease : undefined,
  }
}

/** Whether some reading of the executor's clock lets it act under this placement at this moment. */
export function canAct({ lease }: Keeper, body: Body, bounds: LeaseBounds): boolean {
  // How long ago a placement began is forgotten, and a clock that stands still may show an earlier time than that.
  const notBefore = bounds.stalledClock && body.notBefore <= 0 ? -Number(NOW) : body.notBefore
  return lease !== undefined && canActAt({ lease, notBefore }, 0, bounds)
}

function canEverAct({ lease }: Keeper, bounds: LeaseBounds): boolean {
  if (!lease) return false
  for (let after = 0; after <= 2 * bounds.length; after++) {
    if (canActAt({ lease, notBefore: -Number(NOW) }, after, bounds)) return true
  }
  return false
}

type Held = { readonly lease: { readonly expires: number; readonly asked: number }; readonly notBefore: number }

function canActAt({ lease, notBefore }: Held, after: number, { length, stalledClock }: LeaseBounds): boolean {
  const placement = { notBefore: NOW + BigInt(notBefore) } as Lease['placement']
  const held: Lease = {
    placement,
    hash: `0x`,
    expires: NOW + BigInt(lease.expires),
    asked: lease.asked,
  }
  const limits = { leaseMs: BigInt(length), epsilonMs: BigInt(EPSILON) }
  const slowest = stalledClock ? Math.min(after, lease.expires - length) : after // what it showed when it asked
  for (let reading = slowest; reading <= after + EPSILON; reading++) {
    if (mayAct(held, { now: NOW + BigInt(reading), monotonic: after }, limits, 0)) return true
  }
  return false
}

export function keyOfKeeper({ asked, lease, released }: Keeper): string {
  return `${asked?.expires},${asked?.at},${lease?.expires},${lease?.asked},${released}`
}
