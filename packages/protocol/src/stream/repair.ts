/** When a gap is asked for: after a random wait, then again and again, more slowly and more widely, until it is filled. */
import type { Draw } from '../overlay/gossip.ts'

/** A hole that is known. Times in milliseconds of a monotonic clock. */
export type Gap = { readonly askAt: number; readonly attempts: number }

const FIRST_MS = { least: 50, spread: 100 } as const
const RETRY_MS = { first: 150, factor: 1.5, most: 800, jitter: 50 } as const

/** A gap that was just seen: what is on its way may still arrive, and not everybody asks at once (SDS-R). */
export function openGap(now: number, draw: Draw): Gap {
  return { askAt: now + FIRST_MS.least + draw() * FIRST_MS.spread, attempts: 0 }
}

/** A gap of which it is certain that nothing is on its way: asked for at once. */
export function urgentGap(now: number): Gap {
  return { askAt: now, attempts: 0 }
}

/** The gap after it was asked for. */
export function askedAgain({ attempts }: Gap, now: number, draw: Draw): Gap {
  const wait = Math.min(RETRY_MS.most, RETRY_MS.first * RETRY_MS.factor ** attempts)
  return { askAt: now + wait + draw() * RETRY_MS.jitter, attempts: attempts + 1 }
}

/** At the first attempt one peer is asked, the one that is most likely to have it; later a random holder as well. */
export function isWide({ attempts }: Gap): boolean {
  return attempts > 0
}
