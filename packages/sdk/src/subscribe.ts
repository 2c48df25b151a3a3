/** Subscribes to a stream, or one subset of it: each entry once, in order and checked, from whichever anchor serves. */
import {
  type Address,
  type Bytes32,
  faultsTolerated,
  laneOf,
  quorumOf,
  type Shape,
  SmartLayerError,
  type SubscriptionEvent,
  streamHeadShape,
  streamOf,
  subscriptionEventShape,
  subsetHeadShape,
  subsetOf,
  tokenTypeOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { agreedRefusal, askAll, notReached, valuesOf } from './ask.ts'
import { get } from './http.ts'
import type { Site } from './site.ts'
import { nextEntry, type Place, type Subject, type Subscribed } from './subscribe-check.ts'
import { type Feed, readEvents, readSocket } from './subscribe-feed.ts'

export type { Subscribed } from './subscribe-check.ts'

/** An anchor that gave no entry for so long is exchanged for another: one that withholds can delay, but not hide. */
const QUIET_MS = 60_000
const BACK_OFF_MS = { first: 250, most: 30_000 } as const
/** Failures without an entry between them: with their pauses some twenty minutes. */
const FAILURE_LIMIT = 50

export type SubscribeParameters = ({ readonly issuer: Address } | { readonly stream: Bytes32 }) & {
  readonly contract: Address
  readonly chainId: bigint
  readonly lane: string
  /** Readable key; left out, it is the whole stream. */
  readonly subset?: string | undefined
  /** Cursor of the last entry that was processed; 0n is the beginning, and left out means from now on. */
  readonly after?: bigint | undefined
  /** UID of that entry: with it the first one that comes is checked to follow it. */
  readonly afterUid?: Bytes32 | undefined
}

export type SubscribeOptions = {
  readonly signal?: AbortSignal | undefined
  /** Left out: a WebSocket where there is one. Server-sent events wait for a slow consumer without a buffer of their own. */
  readonly transport?: 'websocket' | 'events' | undefined
  readonly quietMs?: number | undefined
  readonly backOffMs?: { readonly first: number; readonly most: number } | undefined
}

/** Why an anchor was left. `isWrong` when what it said cannot be believed, rather than that it was not there. */
type Failure = { readonly error: SmartLayerError; readonly isWrong: boolean }

/**
 * Goes on at other anchors from its cursor, without gap or repetition. Throws the refusal of more than f anchors
 * (`stream.pruned`, `stream.frozen`), why no anchor can be believed, `quorum.not_reached`, or the signal's reason.
 */
export async function* subscribe(
  site: Site,
  parameters: SubscribeParameters,
  options: SubscribeOptions = {},
): AsyncGenerator<Subscribed, void> {
  const { signal } = options
  const subject = subjectOf(site, parameters)
  let place: Place = await startOf(site, subject, parameters, options)
  let failures = new Map<string, Failure>()
  for (let turn = site.random(1)[0]!, failed = 0; ; turn++) {
    signal?.throwIfAborted()
    const believed = site.anchors.filter((anchor) => !failures.get(anchor)?.isWrong)
    const anchor = believed[turn % believed.length]!
    let failure: Failure
    try {
      for await (const event of eventsOf(anchor, subject, place, options)) {
        const next = nextEntry(site, subject, place, event)
        place = next.place
        failures = new Map()
        failed = 0
        yield next.entry
      }
      failure = { error: SmartLayerError.of('network.unreachable', { peer: anchor }), isWrong: false } // it was quiet
      failed = 0
    } catch (error) {
      if (!(error instanceof SmartLayerError)) throw error
      failure = { error, isWrong: error.code !== 'network.unreachable' }
      failed++
    }
    failures.set(anchor, failure)
    throwIfHopeless(site, failures, failed)
    if (failed > 0 && !failure.isWrong) await pause(site, failed, options)
  }
}

function subjectOf({ crypto }: Site, parameters: SubscribeParameters): Subject {
  const { keccak } = crypto
  const tokenType = tokenTypeOf(parameters, keccak)
  const lane = laneOf(parameters.lane, keccak)
  const subset = parameters.subset === undefined ? undefined : subsetOf(parameters.subset, keccak)
  if ('stream' in parameters) return { stream: parameters.stream, issuer: undefined, tokenType, lane, subset }
  const { issuer } = parameters
  return { stream: streamOf(issuer, tokenType, lane, keccak), issuer, tokenType, lane, subset }
}

async function startOf(
  site: Site,
  { stream, subset }: Subject,
  { after, afterUid }: SubscribeParameters,
  options: SubscribeOptions,
): Promise<Place> {
  if (after !== undefined) {
    return { cursor: after, uid: afterUid ?? (after === 0n ? ZERO_32 : undefined), epoch: undefined }
  }
  const path = `/v1/streams/${stream}`
  const cursor =
    subset === undefined
      ? await reached(site, path, streamHeadShape, options, ({ certified }) => certified)
      : await reached(site, `${path}/subsets/${subset}`, subsetHeadShape, options, ({ sequence }) => sequence)
  return { cursor, uid: undefined, epoch: undefined }
}

/** The furthest place that f + 1 anchors have reached. */
async function reached<T>(
  { anchors }: Site,
  path: string,
  shape: Shape<T>,
  { signal }: SubscribeOptions,
  placeOf: (head: T) => bigint,
): Promise<bigint> {
  const needed = quorumOf(anchors.length)
  const read = (anchor: string) => get(anchor + path, shape, { signal })
  const asked = await askAll(anchors, read, (heads) => heads.length >= needed)
  signal?.throwIfAborted()
  const places = valuesOf(asked).map(placeOf)
  if (places.length < needed) throw notReached(asked, { got: places.length, needed })
  return ascending(places).at(-1 - faultsTolerated(anchors.length))!
}

/** What one anchor says from the cursor on; ends when it was quiet for too long, or the consumer too slow. */
async function* eventsOf(
  anchor: string,
  { stream, subset }: Subject,
  { cursor }: Place,
  { signal, transport, quietMs = QUIET_MS }: SubscribeOptions,
): AsyncGenerator<SubscriptionEvent, void> {
  const quiet = new AbortController()
  let timer = setTimeout(() => quiet.abort(), quietMs)
  const isSocket = transport ? transport === 'websocket' : typeof WebSocket !== 'undefined'
  const read: Feed = isSocket ? readSocket : readEvents
  const query = `${subset === undefined ? '' : `subset=${subset}&`}after=${cursor}`
  const url = `${anchor}/v1/streams/${stream}/${isSocket ? 'live' : 'events'}?${query}`
  try {
    for await (const text of read(url, signal ? AbortSignal.any([signal, quiet.signal]) : quiet.signal)) {
      clearTimeout(timer)
      yield eventOf(anchor, text)
      timer = setTimeout(() => quiet.abort(), quietMs)
    }
  } finally {
    clearTimeout(timer)
    quiet.abort()
  }
}

function eventOf(peer: string, text: string): SubscriptionEvent {
  try {
    return subscriptionEventShape.parse(JSON.parse(text), 'event')
  } catch (error) {
    const detail = error instanceof Error ? error.message.slice(0, 200) : 'not JSON'
    throw SmartLayerError.because(error, 'answer.malformed', { peer, detail })
  }
}

/** One anchor may be wrong about a stream; what f + 1 say after all were asked is true, and so is that nobody can be believed. */
function throwIfHopeless({ anchors }: Site, failures: ReadonlyMap<string, Failure>, failed: number): void {
  const asked = [...failures].map(([anchor, { error }]) => ({ anchor, error }))
  if (failures.size === anchors.length) {
    const wrong = [...failures.values()].filter(({ isWrong }) => isWrong).map(({ error }) => error)
    const tolerated = faultsTolerated(anchors.length)
    const agreed = agreedRefusal(
      wrong.map((error) => ({ anchor: '', error })),
      tolerated,
    )
    if (agreed) throw byFloor(wrong.filter(({ code }) => code === agreed.code))[tolerated]!
    if (wrong.length === anchors.length) throw wrong.at(-1)!
  }
  if (failed >= FAILURE_LIMIT) throw notReached(asked, { got: 0, needed: 1 })
}

/** Floors of anchors differ; the one after the f lowest is an honest anchor's, or lies behind one. */
function byFloor(errors: readonly SmartLayerError[]): readonly SmartLayerError[] {
  const floor = ({ facts }: SmartLayerError) => Number(facts.floor ?? 0)
  return [...errors].sort((a, b) => floor(a) - floor(b))
}

function ascending(places: readonly bigint[]): readonly bigint[] {
  return [...places].sort((a, b) => (a < b ? -1 : 1))
}

/** Twice as long after each failure, with jitter, so that clients of a lost anchor do not come back all at once. */
async function pause(
  { random }: Site,
  failed: number,
  { signal, backOffMs = BACK_OFF_MS }: SubscribeOptions,
): Promise<void> {
  const longest = Math.min(backOffMs.most, backOffMs.first * 2 ** (failed - 1))
  const ms = longest * (0.5 + random(1)[0]! / 512)
  await new Promise<void>((done) => {
    const timer = setTimeout(end, ms)
    function end(): void {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      done()
    }
    signal?.addEventListener('abort', end)
  })
}
