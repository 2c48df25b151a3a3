/** Where a token lives: asked of f + 1 anchors, believed by votes, newest term first. */
import {
  accepted,
  faultsTolerated,
  formatTokenRef,
  instanceOf,
  isSmartLayerError,
  type PlacementInfo,
  parseTokenRef,
  placementInfoShape,
  SmartLayerError,
  tokenOf,
} from '@smartlayer/protocol'
import { type Asked, agreedRefusal, askSome, notReached, valuesOf } from './ask.ts'
import { type CallOptions, get } from './http.ts'
import { renewed } from './renew.ts'
import type { KnownPlacement, Site } from './site.ts'
import { judgePlacement, leaseEnd } from './verify.ts'

const ELECTION_TRIES = 20
const ELECTION_WAIT_MS = 250
/** A successor is asked for so often before a placement whose lease ended is made do with. */
const TRIES_BEFORE_STALE = 4
/** And so long it is made do with before anchors are asked again. */
const STALE_PAUSE_MS = 1_000n
/** Placements that a client remembers. */
const PLACEMENT_LIMIT = 10_000
/** An anchor that is slower than this is not waited for alone. */
const HEDGE_MS = 50

export type ResolveOptions = CallOptions & {
  /** Asks anchors even when a placement is known whose lease runs. */
  readonly anew?: boolean
  /** When no anchor names one in force, makes do with one whose lease ended lately: its replicas mark their answers stale. */
  readonly orStale?: boolean
}

/** The placement in force. Waits while an executor is being elected. Throws `placement.none`, `quorum.not_reached`. */
export async function resolve(site: Site, token: string, options: ResolveOptions = {}): Promise<PlacementInfo> {
  const id = formatTokenRef(parseTokenRef(token))
  await renewed(site)
  const known = site.placements.get(id)
  if (known && !options.anew && isUsable(site, known, options)) return known.info
  for (let attempt = 1; ; attempt++) {
    try {
      const found = await ask(site, id, options)
      keep(site, id, { info: found, missed: undefined })
      return found
    } catch (error) {
      options.signal?.throwIfAborted()
      const mayWait = isElecting(error) && attempt < (options.orStale ? TRIES_BEFORE_STALE : ELECTION_TRIES)
      const ended = !mayWait && options.orStale ? endedLately(site, id) : undefined
      if (ended) return ended
      if (!isElecting(error) || attempt >= ELECTION_TRIES) throw error
      await new Promise((done) => setTimeout(done, ELECTION_WAIT_MS))
    }
  }
}

function isUsable(site: Site, { info, missed }: KnownPlacement, options: ResolveOptions) {
  const now = site.clock.now()
  const { epsilonMs } = site.network
  if (now + epsilonMs < leaseEnd(info)) return true
  return options.orStale === true && missed !== undefined && now < missed + STALE_PAUSE_MS && isLate(site, info)
}

/** A verified placement that may still be read from, from memory; anchors are left in peace for a while. */
function endedLately(site: Site, id: string): PlacementInfo | undefined {
  const known = site.placements.get(id)
  if (!known || !isLate(site, known.info)) return undefined
  keep(site, id, { ...known, missed: site.clock.now() })
  return known.info
}

function isLate({ clock, network }: Site, info: PlacementInfo): boolean {
  return clock.now() <= leaseEnd(info) + network.staleReadsMs
}

/**
 * Believes a placement by its votes alone, so one honest anchor among f + 1 is enough; a refusal needs f + 1 anchors.
 * A renewal that does not count is left out: it must not make an old placement look alive.
 */
async function ask(site: Site, token: string, options: CallOptions): Promise<PlacementInfo> {
  const tolerated = faultsTolerated(site.anchors.length)
  const needed = tolerated + 1
  const url = (anchor: string) => `${anchor}/v1/tokens/${encodeURIComponent(token)}/placement`
  const valid: PlacementInfo[] = []
  const asked = await askSome(
    shuffled(site),
    async (anchor) => {
      const info = await get(url(anchor), placementInfoShape, options)
      const counting = verified(site, token, info)
      if (counting) valid.push(counting)
      return info
    },
    {
      first: needed,
      hedgeMs: HEDGE_MS,
      enough: (infos) => infos.length >= needed && valid.some((info) => inForce(site, info)),
    },
  )
  const newest = valid.sort(byTermThenLease)[0]
  if (newest && inForce(site, newest)) return newest
  if (newest) rememberEnded(site, token, newest)
  throw whyNone(token, asked, { tolerated, needed })
}

function whyNone(
  token: string,
  asked: readonly Asked<PlacementInfo>[],
  { tolerated, needed }: { tolerated: number; needed: number },
): SmartLayerError {
  const refusal = agreedRefusal(asked, tolerated)
  if (refusal) return refusal
  const got = valuesOf(asked).length + asked.filter(({ error }) => isElecting(error)).length
  return got >= needed ? SmartLayerError.of('placement.none', { token }) : notReached(asked, { got, needed })
}

/** The placement with what counts of it; undefined when it is not of this token or lacks votes. */
function verified(site: Site, token: string, info: PlacementInfo): PlacementInfo | undefined {
  const { network, crypto } = site
  const { certified, instance, scriptHash, lease } = info
  const subject = tokenOf(parseTokenRef(token), crypto.keccak)
  if (instance !== instanceOf(subject, scriptHash, crypto.keccak)) return undefined
  if (certified.placement.instance !== instance) return undefined
  if (lease && accepted(judgePlacement({ token: subject, certified, lease }, network, crypto))) return info
  const alone = { certified, lease: undefined }
  return accepted(judgePlacement({ token: subject, ...alone }, network, crypto)) ? { ...info, ...alone } : undefined
}

function inForce({ clock, network }: Site, info: PlacementInfo): boolean {
  return clock.now() <= leaseEnd(info) + network.epsilonMs
}

/** Kept only over an older one: an anchor that lags must not take the newest away. */
function rememberEnded(site: Site, token: string, info: PlacementInfo): void {
  const known = site.placements.get(token)
  if (!known || byTermThenLease(info, known.info) < 0) keep(site, token, { info, missed: known?.missed })
}

/** Within a bound: the token that was looked up first goes first. */
function keep({ placements }: Site, token: string, known: KnownPlacement): void {
  const [oldest] = placements.keys()
  if (!placements.has(token) && placements.size >= PLACEMENT_LIMIT && oldest !== undefined) placements.delete(oldest)
  placements.set(token, known)
}

function shuffled({ anchors, random }: Site): readonly string[] {
  const order = anchors.map((anchor) => ({ anchor, draw: random(1)[0]! }))
  return order.sort((a, b) => a.draw - b.draw).map(({ anchor }) => anchor)
}

function isElecting(error: unknown): boolean {
  return isSmartLayerError(error) && error.code === 'placement.none'
}

function byTermThenLease(a: PlacementInfo, b: PlacementInfo): number {
  const terms = b.certified.placement.term - a.certified.placement.term
  return terms !== 0n ? Number(terms) : Number(leaseEnd(b) - leaseEnd(a))
}
