/** Where a token lives: asked of several anchors, believed by votes, newest term first. */
import {
  accepted,
  checkPlacement,
  faultsTolerated,
  homeOf,
  type PlacementInfo,
  placementInfoShape,
  SmartLayerError,
} from '@smartlayer/protocol'
import { type CallOptions, get } from './http.ts'
import { failures } from './network.ts'
import type { Site } from './site.ts'
import { leaseEnd } from './verify.ts'

const ELECTION_TRIES = 20
const ELECTION_WAIT_MS = 250

/** The placement in force. Waits while an executor is being elected. Throws `placement.none`, `quorum.not_reached`. */
export async function resolve(site: Site, token: string, options: CallOptions = {}): Promise<PlacementInfo> {
  const known = site.placements.get(token)
  if (known && site.clock.now() + site.network.epsilonMs < leaseEnd(known)) return known
  for (let attempt = 1; ; attempt++) {
    try {
      const found = await ask(site, token, options)
      site.placements.set(token, found)
      return found
    } catch (error) {
      const electing = error instanceof SmartLayerError && error.code === 'placement.none'
      if (!electing || attempt >= ELECTION_TRIES) throw error
      await new Promise((done) => setTimeout(done, ELECTION_WAIT_MS))
    }
  }
}

async function ask(site: Site, token: string, options: CallOptions): Promise<PlacementInfo> {
  const url = (anchor: string) => `${anchor}/v1/tokens/${encodeURIComponent(token)}/placement`
  const needed = faultsTolerated(site.anchors.length) + 1
  const results = await settledFirst(
    site.anchors.map((anchor) => get(url(anchor), placementInfoShape, options)),
    needed,
  )
  const now = site.clock.now()
  const valid = results
    .flatMap((result) => (result.status === 'fulfilled' ? [result.value as PlacementInfo] : []))
    .filter((info) => holds(site, info) && now <= leaseEnd(info) + site.network.epsilonMs)
  const newest = valid.sort((a, b) => Number(b.certified.placement.term - a.certified.placement.term))[0]
  if (newest) return newest
  const refusal = results.find((result) => result.status === 'rejected' && result.reason instanceof SmartLayerError)
  if (refusal?.status === 'rejected' && refusal.reason.code !== 'network.unreachable') throw refusal.reason
  const got = results.filter((result) => result.status === 'fulfilled').length
  if (got >= needed) throw SmartLayerError.of('placement.none', { token })
  throw SmartLayerError.of('quorum.not_reached', {
    got,
    needed,
    of: site.anchors.length,
    detail: failures(site.anchors, results),
  })
}

function holds({ network, crypto }: Site, { certified, instance }: PlacementInfo): boolean {
  const home = homeOf(instance, network.membership, crypto.keccak)
  return (
    certified.placement.instance === instance &&
    accepted(checkPlacement(certified, home, { domain: network.domain, crypto }))
  )
}

/** All results so far once `enough` succeeded, or all of them when too many fail: one slow anchor holds nobody up. */
function settledFirst<T>(calls: readonly Promise<T>[], enough: number): Promise<PromiseSettledResult<T>[]> {
  const results: PromiseSettledResult<T>[] = []
  return new Promise((done) => {
    const note = (result: PromiseSettledResult<T>) => {
      results.push(result)
      const succeeded = results.filter(({ status }) => status === 'fulfilled').length
      if (succeeded >= enough || results.length === calls.length) done([...results])
    }
    for (const call of calls) {
      call.then(
        (value) => note({ status: 'fulfilled', value }),
        (reason) => note({ status: 'rejected', reason }),
      )
    }
  })
}
