/** Routes of streams at an anchor: heads, certified entries, checkpoint, fork, and the subscriptions to what comes. */
import {
  type Bytes32,
  checkpointInfoShape,
  forkProofShape,
  isHex,
  SmartLayerError,
  type StreamItem,
  type SubsetState,
  streamHeadShape,
  streamPageShape,
  subsetHeadShape,
} from '@smartlayer/protocol'
import type { FastifyRequest } from 'fastify'
import type { Ports } from '../ports/ports.ts'
import type { ReadEntry, StreamReader } from '../stream/stream-reader.ts'
import { floorFor, isPruned, type Position } from '../stream/subscription-pages.ts'
import { Subscriptions } from '../stream/subscriptions.ts'
import { type Api, param, send, wholeNumber } from './server.ts'
import { type Asked, eventRoute, socketRoute } from './stream-routes-live.ts'

export const STREAM_PAGE_LIMIT = 64
/** Characters of bodies in one page; what does not fit is in the next one. */
const PAGE_CHARACTERS = 262_144
const CURSOR = /^\d{1,18}$/

/** What the routes read from: certified entries, and the head of a subset as the anchor holds it. */
export type StreamSource = StreamReader & { subset(stream: Bytes32, subset: Bytes32): SubsetState }

export function streamRoutes(api: Api, source: StreamSource, ports: Pick<Ports, 'clock' | 'telemetry'>): Subscriptions {
  api.get('/v1/streams/:stream', async (request, reply) => {
    const stream = idOf(param(request, 'stream'), 'stream')
    return send(reply, streamHeadShape, { ...source.state(stream), floor: source.floor(stream) })
  })
  api.get('/v1/streams/:stream/subsets/:subset', async (request, reply) => {
    const place = { stream: idOf(param(request, 'stream'), 'stream'), subset: idOf(param(request, 'subset'), 'subset') }
    return send(reply, subsetHeadShape, { ...place, ...source.subset(place.stream, place.subset) })
  })
  for (const path of ['/v1/streams/:stream/entries', '/v1/streams/:stream/subsets/:subset/entries']) {
    api.get(path, async (request, reply) => send(reply, streamPageShape, { items: page(source, request) }))
  }
  api.get('/v1/streams/:stream/checkpoint', async (request, reply) => {
    const stream = idOf(param(request, 'stream'), 'stream')
    const checkpoint = source.checkpoint(stream)
    if (!checkpoint) throw SmartLayerError.of('stream.no_checkpoint', { stream })
    return send(reply, checkpointInfoShape, checkpoint)
  })
  api.get('/v1/streams/:stream/fork', async (request, reply) => {
    const stream = idOf(param(request, 'stream'), 'stream')
    const fork = source.fork(stream)
    if (!fork) throw SmartLayerError.of('stream.not_forked', { stream })
    return send(reply, forkProofShape, fork)
  })
  const subscriptions = new Subscriptions(ports, source)
  const live = { subscriptions, positionOf: (asked: Asked) => positionOf(source, asked), clock: ports.clock }
  eventRoute(api, live)
  socketRoute(api, live)
  api.addHook('preClose', async () => subscriptions.stop())
  return subscriptions
}

/** Throws `message.malformed`. Without `after` it is the place of the newest certified entry. */
function positionOf(source: StreamSource, asked: Asked): Position {
  const stream = idOf(asked.stream, 'stream')
  const named = asked.subset === undefined ? undefined : idOf(asked.subset, 'subset')
  const subset = named === stream ? undefined : named
  if (asked.after === undefined) return { stream, subset, after: newestOf(source, stream, subset) }
  if (typeof asked.after !== 'string' || !CURSOR.test(asked.after)) {
    throw SmartLayerError.of('message.malformed', { at: 'after', expected: 'a cursor: the number of a place' })
  }
  return { stream, subset, after: BigInt(asked.after) }
}

/** Of a subset the head is known; from there the few places back to the last certified one are halved. */
function newestOf(source: StreamSource, stream: Bytes32, subset: Bytes32 | undefined): bigint {
  if (subset === undefined) return source.state(stream).certified
  let high = source.subset(stream, subset).sequence
  let low = high
  for (let step = 1n; low > 0n && !isFollowed(source, { stream, subset, after: low - 1n }); step *= 2n) {
    high = low - 1n
    low = low > step ? low - step : 0n
  }
  while (low < high) {
    const middle = (low + high) / 2n
    if (isFollowed(source, { stream, subset, after: middle })) low = middle + 1n
    else high = middle
  }
  return high
}

function isFollowed(source: StreamReader, { stream, ...rest }: Position): boolean {
  try {
    return source.entries(stream, { ...rest, limit: 1 }).length > 0
  } catch (error) {
    if (isPruned(error)) return true
    throw error
  }
}

/** Certified entries in order: as many as were asked for, or as fit. */
function page(source: StreamReader, request: FastifyRequest): readonly StreamItem[] {
  const { subset } = request.params as { subset?: string }
  const stream = idOf(param(request, 'stream'), 'stream')
  const limit = Number(wholeNumber(request, 'limit', BigInt(STREAM_PAGE_LIMIT)))
  const asked = {
    subset: subset === undefined ? undefined : idOf(subset, 'subset'),
    after: wholeNumber(request, 'after', 0n),
    limit: Math.max(1, Math.min(limit, STREAM_PAGE_LIMIT)),
  }
  try {
    return fitting(source.entries(stream, asked)).map(({ item }) => item)
  } catch (error) {
    if (!isPruned(error)) throw error
    const certified = source.checkpoint(stream)
    const checkpoint = certified && checkpointInfoShape.toJson(certified)
    const floor = floorFor(source, { stream, subset: asked.subset }, error)
    throw SmartLayerError.fromData('stream.pruned', { asked: asked.after, floor, checkpoint })
  }
}

function fitting(entries: readonly ReadEntry[]): readonly ReadEntry[] {
  let size = 0
  const end = entries.findIndex(({ item }, i) => {
    size += item.body.length + (item.delegation?.body.length ?? 0)
    return i > 0 && size > PAGE_CHARACTERS
  })
  return end < 0 ? entries : entries.slice(0, end)
}

function idOf(value: unknown, at: string): Bytes32 {
  if (isHex(value, 32)) return value
  throw SmartLayerError.of('message.malformed', { at, expected: '32 bytes of lowercase hex' })
}
