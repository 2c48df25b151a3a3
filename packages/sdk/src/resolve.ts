/** Where a token lives: asked of several anchors, believed by votes, newest term first. */
import {
  accepted,
  checkPlacement,
  checkRenewal,
  faultsTolerated,
  formatTokenRef,
  homeOf,
  instanceOf,
  isSmartLayerError,
  type PlacementInfo,
  parseTokenRef,
  placementInfoShape,
  SmartLayerError,
  tokenOf,
} from '@smartlayer/protocol'
import { agreedRefusal, askAll, notReached, valuesOf } from './ask.ts'
import { type CallOptions, get } from './http.ts'
import type { Site } from './site.ts'
import { leaseEnd } from './verify.ts'

const ELECTION_TRIES = 20
const ELECTION_WAIT_MS = 250

/** The placement in force. Waits while an executor is being elected. Throws `placement.none`, `quorum.not_reached`. */
export async function resolve(site: Site, token: string, options: CallOptions = {}): Promise<PlacementInfo> {
  const id = formatTokenRef(parseTokenRef(token))
  const known = site.placements.get(id)
  if (known && site.clock.now() + site.network.epsilonMs < leaseEnd(known)) return known
  for (let attempt = 1; ; attempt++) {
    try {
      const found = await ask(site, id, options)
      site.placements.set(id, found)
      return found
    } catch (error) {
      if (!isElecting(error) || attempt >= ELECTION_TRIES) throw error
      options.signal?.throwIfAborted()
      await new Promise((done) => setTimeout(done, ELECTION_WAIT_MS))
    }
  }
}

/**
 * Believes a placement by its votes alone, so one honest anchor among f + 1 is enough; a refusal needs f + 1 anchors.
 * A renewal that does not count is left out: it must not make an old placement look alive.
 */
async function ask(site: Site, token: string, options: CallOptions): Promise<PlacementInfo> {
  const tolerated = faultsTolerated(site.anchors.length)
  const needed = tolerated + 1
  const url = (anchor: string) => `${anchor}/v1/tokens/${encodeURIComponent(token)}/placement`
  const asked = await askAll(
    site.anchors,
    (anchor) => get(url(anchor), placementInfoShape, options),
    (infos) => infos.length >= needed && infos.some((info) => inForce(site, token, info)),
  )
  const valid = valuesOf(asked).flatMap((info) => inForce(site, token, info) ?? [])
  const newest = valid.sort(byTermThenLease)[0]
  if (newest) return newest
  const refusal = agreedRefusal(asked, tolerated)
  if (refusal) throw refusal
  const got = asked.filter((answer) => 'value' in answer || isElecting(answer.error)).length
  throw got >= needed ? SmartLayerError.of('placement.none', { token }) : notReached(asked, { got, needed })
}

/** The placement with what counts of it; undefined when it is not of this token, lacks votes, or has ended. */
function inForce(site: Site, token: string, info: PlacementInfo): PlacementInfo | undefined {
  const { network, crypto, clock } = site
  const { certified, instance, scriptHash, lease } = info
  const { placement } = certified
  const subject = tokenOf(parseTokenRef(token), crypto.keccak)
  if (instance !== instanceOf(subject, scriptHash, crypto.keccak)) return undefined
  if (placement.instance !== instance) return undefined
  const home = homeOf(subject, network.membership, crypto.keccak)
  const door = { domain: network.domain, crypto }
  const placed = checkPlacement(certified, home, door)
  if (!accepted(placed)) return undefined
  const renewed = lease?.renew.placement === placed.value && accepted(checkRenewal(lease, home, door))
  const counting = { ...info, lease: renewed ? lease : undefined }
  return clock.now() <= leaseEnd(counting) + network.epsilonMs ? counting : undefined
}

function isElecting(error: unknown): boolean {
  return isSmartLayerError(error) && error.code === 'placement.none'
}

function byTermThenLease(a: PlacementInfo, b: PlacementInfo): number {
  const terms = b.certified.placement.term - a.certified.placement.term
  return terms !== 0n ? Number(terms) : Number(leaseEnd(b) - leaseEnd(a))
}
