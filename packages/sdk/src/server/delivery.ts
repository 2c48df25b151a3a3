/** How long and how often something is tried again: with back-off, within a bound, and never what cannot succeed. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isSmartLayerError, SmartLayerError, type StreamItem } from '@smartlayer/protocol'
import { type Offered, offer } from '../publish.ts'
import type { Site } from '../site.ts'

const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 3_000
/** An anchor that restarts, or hears of the entries before late, is asked this often; then the conflict is real. */
const CONFLICT_ATTEMPTS = 6

export type DeliveryOptions = {
  readonly patienceMs: number
  /** Ends the tries, also one on its way. */
  readonly signal: AbortSignal
  /** What these entries follow, while it is on its way as well. */
  readonly before?: Promise<Offered> | undefined
  readonly onSilent?: (anchor: string) => void
}

/** Sends entries until they have their receipt, a quorum refuses them for good, or patience ends. */
export async function deliver(
  site: Site,
  items: readonly StreamItem[],
  { patienceMs, signal, before, onSilent }: DeliveryOptions,
): Promise<Offered> {
  const started = performance.now()
  let predecessor = before
  for (let attempt = 0; ; attempt++) {
    const offered = await tryOnce(site, items, { signal, ...(onSilent ? { onSilent } : {}) })
    if (offered.end === 'receipt') return offered
    if (predecessor && offered.error.kind === 'conflict') {
      const first = await predecessor
      predecessor = undefined
      if (first.end === 'receipt') continue
      return { end: 'unsettled', error: first.error }
    }
    const wait = waitMs(site, attempt)
    const isOver = signal.aborted || performance.now() - started + wait > patienceMs
    if (isOver || !mayPass(offered, attempt)) return offered
    await sleep(wait, undefined, { signal }).catch(() => undefined)
  }
}

/** Repeats a reading that may succeed later. Throws what it threw last. */
export async function patiently<T>(site: Site, patienceMs: number, read: () => Promise<T>): Promise<T> {
  const started = performance.now()
  for (let attempt = 0; ; attempt++) {
    try {
      return await read()
    } catch (error) {
      const wait = waitMs(site, attempt)
      const isOver = performance.now() - started + wait > patienceMs
      if (isOver || !isSmartLayerError(error) || !error.retryable) throw error
      await sleep(wait)
    }
  }
}

async function tryOnce(
  site: Site,
  items: readonly StreamItem[],
  options: { signal: AbortSignal; onSilent?: (anchor: string) => void },
): Promise<Offered> {
  try {
    return await offer(site, items, options)
  } catch (error) {
    if (options.signal.aborted) {
      return { end: 'unsettled', error: SmartLayerError.because(error, 'network.unreachable', { peer: 'the anchors' }) }
    }
    const detail = error instanceof Error ? error.message : String(error)
    return { end: 'unsettled', error: SmartLayerError.because(error, 'bug.unexpected', { detail }) }
  }
}

function mayPass({ end, error }: Exclude<Offered, { end: 'receipt' }>, attempt: number): boolean {
  if (end === 'unsettled') return error.kind !== 'bug'
  return error.kind === 'conflict' && attempt < CONFLICT_ATTEMPTS
}

/** Doubles, and a half of it is left to chance, so that issuers that lost the same anchor do not come back together. */
function waitMs({ random }: Site, attempt: number): number {
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 10))
  return wait * (0.5 + random(1)[0]! / 512)
}
