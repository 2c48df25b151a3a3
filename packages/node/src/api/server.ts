/** The HTTP border of a node: limits, request ids, problem+json, and the routes of its role. */
import { randomUUID } from 'node:crypto'
import { consequencesOf, isSmartLayerError, type Problem, type Shape, SmartLayerError } from '@smartlayer/protocol'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Telemetry } from '../ports/telemetry.ts'

const BODY_LIMIT = 1_100_000
const REQUEST_TIMEOUT_MS = 30_000
const CONNECTION_TIMEOUT_MS = 60_000
/** Requests that one address may make per second, on average, with bursts of four times as many. */
const RATE_LIMIT = 5_000

/** What was there once is not answered like what never was. */
const GONE = 410

export type Api = FastifyInstance

/** An HTTP server with everything that all routes share; it does not listen yet. */
export function createApi(telemetry: Telemetry): Api {
  const api = Fastify({
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    genReqId: () => `req_${randomUUID()}`,
    logger: false,
    forceCloseConnections: true,
    frameworkErrors: (error, request, reply) => sendProblem(telemetry, { error, request, reply }),
  })
  const allow = rateLimiter(RATE_LIMIT)
  api.addHook('onRequest', async (request, reply) => {
    reply.header('sl-request-id', request.id)
    reply.header('access-control-allow-origin', '*')
    reply.header('access-control-allow-headers', 'content-type, if-none-match')
    reply.header('access-control-expose-headers', 'sl-request-id, retry-after, etag')
    if (!allow(request.ip)) throw SmartLayerError.of('api.rate_limited', { limit: RATE_LIMIT })
  })
  api.options('/*', async (_, reply) => reply.code(204).send())
  api.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
  api.setNotFoundHandler((request) => {
    throw SmartLayerError.of('api.not_found', { path: request.url.slice(0, 200) })
  })
  api.setErrorHandler((error, request, reply) => sendProblem(telemetry, { error, request, reply }))
  return api
}

/** Answers with a value in the JSON form of its shape. */
export function send<T>(reply: FastifyReply, shape: Shape<T>, value: T): FastifyReply {
  return reply.type('application/json').send(JSON.stringify(shape.toJson(value)))
}

/** The request's body as a value of this shape. Throws `message.malformed` with the path of what is wrong. */
export function bodyOf<T>(request: FastifyRequest, shape: Shape<T>): T {
  return shape.parse(request.body, 'body')
}

/** A path parameter. */
export function param(request: FastifyRequest, name: string): string {
  return (request.params as Record<string, string>)[name] ?? ''
}

/** A whole number of the query string, or the default. Throws `api.body_invalid`. */
export function wholeNumber(request: FastifyRequest, name: string, otherwise: bigint): bigint {
  const text = (request.query as Record<string, string | undefined>)[name]
  if (text === undefined) return otherwise
  if (!/^\d{1,18}$/.test(text))
    throw SmartLayerError.of('api.body_invalid', { detail: `${name} is not a whole number` })
  return BigInt(text)
}

function sendProblem(
  telemetry: Telemetry,
  { error, request, reply }: { error: unknown; request: FastifyRequest; reply: FastifyReply },
): FastifyReply {
  const known = isSmartLayerError(error) ? error : fromFastify(error)
  const { retryable } = consequencesOf[known.kind]
  const http = known.code === 'stream.pruned' ? GONE : consequencesOf[known.kind].http
  telemetry.count('smartlayer_api_refused_total', { code: known.code })
  if (known.kind === 'bug') telemetry.log('error', 'api.failed', { request: request.id, url: request.url, error })
  const problem: Problem = {
    type: `https://smartlayer.network/errors/${known.code}`,
    title: known.code,
    status: http,
    detail: known.kind === 'bug' ? 'An error of the node itself; its log holds the details.' : known.message,
    code: known.code,
    fix: known.fix,
    request_id: request.id,
    retryable,
    facts: JSON.parse(JSON.stringify(known.facts, (_, value) => (typeof value === 'bigint' ? String(value) : value))),
  }
  if (retryable) reply.header('retry-after', '1')
  return reply.code(http).type('application/problem+json').send(JSON.stringify(problem))
}

/** Fastify's own refusals: too large, not JSON, wrong content type. */
function fromFastify(error: unknown): SmartLayerError {
  const { statusCode, message } = error as { statusCode?: number; message?: string }
  if (statusCode === 413)
    return SmartLayerError.of('message.too_large', { limit: BODY_LIMIT, what: 'the request body' })
  if (statusCode === 415)
    return SmartLayerError.of('api.body_invalid', {
      detail: 'send JSON with the header content-type: application/json',
    })
  if (statusCode !== undefined && statusCode < 500) {
    return SmartLayerError.of('api.body_invalid', { detail: message ?? 'unreadable' })
  }
  return SmartLayerError.because(error, 'bug.unexpected', { detail: 'unhandled error in the API' })
}

/** A token bucket per address; the table is cleared when it grows, which only ever lets more through. */
function rateLimiter(perSecond: number): (key: string) => boolean {
  const buckets = new Map<string, { tokens: number; at: number }>()
  return (key) => {
    const now = performance.now()
    if (buckets.size > 10_000) buckets.clear()
    const bucket = buckets.get(key) ?? { tokens: 4 * perSecond, at: now }
    bucket.tokens = Math.min(4 * perSecond, bucket.tokens + ((now - bucket.at) / 1000) * perSecond) - 1
    bucket.at = now
    buckets.set(key, bucket)
    return bucket.tokens >= 0
  }
}
