/** A client keeps up with epochs: members and homes change when one ends. */
import { isSmartLayerError, startOf } from '@smartlayer/protocol'
import type { Site } from './site.ts'

/** When a network that changes its members was tried to be loaded last, by client. */
const triedAt = new WeakMap<object, bigint>()
const RENEW_PAUSE_MS = 2_000n

/** Loads the network anew once its epoch is over; while anchors do not agree yet on the next one, what is known stays. */
export async function renewed(site: Pick<Site, 'network' | 'loadAnew' | 'clock'>): Promise<void> {
  const { schedule, epoch } = site.network.info
  const now = site.clock.now()
  const isOver = now / 1_000n >= startOf(schedule, epoch + 1n)
  if (!isOver || now - (triedAt.get(site) ?? 0n) < RENEW_PAUSE_MS) return
  triedAt.set(site, now)
  try {
    site.network = await site.loadAnew()
  } catch (error) {
    if (!isSmartLayerError(error)) throw error
  }
}
