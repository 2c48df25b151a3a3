/** When an executor may act: inside its lease by every honest clock, and by its own monotonic clock. */
import type { Bytes32 } from '../primitives/bytes.ts'
import type { Placement } from './messages.ts'

/** A lease as its executor holds it. `asked` is the monotonic time at which it sent the request that gave `expires`. */
export type Lease = {
  readonly placement: Placement
  readonly hash: Bytes32
  readonly expires: bigint
  readonly asked: number
}

export type LeaseClock = { readonly now: bigint; readonly monotonic: number }
export type LeaseLimits = { readonly leaseMs: bigint; readonly epsilonMs: bigint }

/**
 * True when a step of at most `longestMs` may begin now: `notBefore ≤ clock`, `clock + ε + longest ≤ expires`, and it ends
 * within one lease of the moment the lease was asked for, by the monotonic clock (docs/spec/election.md).
 */
export function mayAct(
  lease: Lease,
  clock: LeaseClock,
  { leaseMs, epsilonMs }: LeaseLimits,
  longestMs: number,
): boolean {
  return (
    lease.placement.notBefore <= clock.now &&
    clock.now + epsilonMs + BigInt(longestMs) <= lease.expires &&
    clock.monotonic + longestMs <= lease.asked + Number(leaseMs)
  )
}

/** Renewals go at a third of the lease. */
export function renewalDue(lease: Lease, clock: LeaseClock, { leaseMs }: LeaseLimits): boolean {
  return clock.monotonic >= lease.asked + Number(leaseMs) / 3
}

/** A reader may rely on a placement until it ends by the slowest honest clock. */
export function mayServe({ expires }: { expires: bigint }, now: bigint, epsilonMs: bigint): boolean {
  return now <= expires + epsilonMs
}

/** A clock that stands below what it showed before takes no part: it was set back (docs/spec/election.md). */
export function clockIsSane(now: bigint, highWater: bigint): boolean {
  return now >= highWater
}
