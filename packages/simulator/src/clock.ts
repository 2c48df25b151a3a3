/** Clocks of simulated nodes: a wall clock with its own skew, which may step, and a monotonic clock. */
import type { Clock } from '@smartlayer/node'
import type { Life } from './life.ts'
import type { VirtualTime } from './time.ts'

export const START_MS = 1_700_000_000_000n

/** How far a node's wall clock is off, in ms. Changing it is a step of that clock. */
export type Skew = { ms: number }

export function wallClock(time: VirtualTime, skew: Skew): bigint {
  return START_MS + BigInt(Math.floor(time.now + skew.ms))
}

export function simClock(time: VirtualTime, life: Life, skew: Skew): Clock {
  return {
    now: () => wallClock(time, skew),
    monotonic: () => time.now,
    after: (delayMs, run) =>
      time.at(delayMs, () => {
        if (life.alive) run()
      }),
  }
}
