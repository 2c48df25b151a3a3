/** How subscriptions reach a client: server-sent events, and a WebSocket with one message for each event. */
import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { type Code, isSmartLayerError } from '@smartlayer/protocol'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Clock } from '../ports/clock.ts'
import type { Sink } from '../stream/subscription.ts'
import type { Position } from '../stream/subscription-pages.ts'
import type { Subscriptions } from '../stream/subscriptions.ts'
import { type Api, param } from './server.ts'
import { onUpgrade } from './upgrades.ts'

/** When an `EventSource` comes back after the connection broke; and after a last word, which will be the same for a while. */
const RETRY_MS = { broken: 2_000, ended: 60_000 } as const
const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
} as const

const MESSAGE_LIMIT = 1024
/** Messages and pings that a client may send between two beats; what they say is ignored. One that goes on is cut off. */
const HEARD_LIMIT = 32
/** Sockets that are being told why they were refused; beyond it they are closed without a word. */
const REFUSED_LIMIT = 64
const REFUSED_MS = 1_000
const CLOSE = { normal: 1000, policy: 1008, later: 1013 } as const
const LIVE_PATH = /^\/v1\/streams\/([^/]*)\/live$/

/** A subscription as its URL names it. */
export type Asked = { readonly stream: unknown; readonly subset: unknown; readonly after: unknown }

export type Live = {
  readonly subscriptions: Subscriptions
  /** Throws `message.malformed`. */
  readonly positionOf: (asked: Asked) => Position
  readonly clock: Clock
}

/** `GET /v1/streams/:stream/events?subset=&after=`; `Last-Event-ID` of a client that comes back goes before `after`. */
export function eventRoute(api: Api, { subscriptions, positionOf }: Live): void {
  api.get('/v1/streams/:stream/events', { exposeHeadRoute: false }, (request, reply) => {
    const { subset, after } = request.query as Record<string, unknown>
    const position = positionOf({
      stream: param(request, 'stream'),
      subset,
      after: request.headers['last-event-id'] ?? after,
    })
    const { raw } = reply
    const open = subscriptions.open(request.ip, position, eventSink(raw))
    reply.hijack()
    raw.on('close', () => open.close())
    raw.on('error', () => raw.destroy())
    raw.on('drain', () => open.drained())
    raw.socket?.setTimeout(0) // whether the client is there is judged by the beat
    raw.writeHead(200, { ...reply.getHeaders(), ...EVENT_STREAM_HEADERS } as Record<string, string>)
    // An id without data moves the client's cursor: it resumes from here even if it never saw an entry.
    raw.write(`retry: ${RETRY_MS.broken}\nid: ${position.after}\n\n`)
    if (raw.destroyed) open.close()
  })
}

function eventSink(raw: ServerResponse): Sink {
  return {
    get full() {
      return raw.writableNeedDrain
    },
    write(page) {
      raw.write(page.events)
    },
    beat() {
      if (!raw.writableNeedDrain) raw.write(': beat\n\n')
    },
    end(code) {
      raw.end(`retry: ${RETRY_MS[isLastWord(code) ? 'ended' : 'broken']}\nevent: closed\ndata: {"code":"${code}"}\n\n`)
    },
    destroy() {
      raw.destroy()
    },
  }
}

/** `/v1/streams/:stream/live?subset=&after=` as a WebSocket; what is refused is said in the close frame. */
export function socketRoute(api: Api, { subscriptions, positionOf, clock }: Live): void {
  const server = new WebSocketServer({ noServer: true, maxPayload: MESSAGE_LIMIT, clientTracking: false })
  let refused = 0
  const refuse = (client: WebSocket, error: unknown) => {
    const code = isSmartLayerError(error) ? error.code : 'bug.unexpected'
    refused++
    const cancel = clock.after(REFUSED_MS, () => client.terminate())
    client.on('close', () => {
      refused--
      cancel()
    })
    client.on('error', () => client.terminate())
    client.close(isSmartLayerError(error) && error.retryable ? CLOSE.later : CLOSE.policy, code)
  }
  onUpgrade(api, ({ request, socket, head, url }) => {
    const stream = LIVE_PATH.exec(url.pathname)?.[1]
    if (stream === undefined || refused >= REFUSED_LIMIT) return false
    server.handleUpgrade(request, socket, head, (client) => {
      try {
        const { searchParams: query } = url
        const asked = { stream, subset: query.get('subset') ?? undefined, after: query.get('after') ?? undefined }
        const address = request.socket.remoteAddress ?? ''
        serve(client, socket, (sink) => subscriptions.open(address, positionOf(asked), sink))
      } catch (error) {
        refuse(client, error)
      }
    })
    return true
  })
}

function serve(client: WebSocket, socket: Duplex, open: (sink: Sink) => ReturnType<Subscriptions['open']>): void {
  let isThere = true
  let heard = 0
  const subscription = open({
    get full() {
      return socket.writableNeedDrain
    },
    write({ messages }) {
      socket.cork()
      for (const { json } of messages) client.send(json, { binary: false })
      socket.uncork()
    },
    beat() {
      heard = 0
      if (socket.writableNeedDrain) return // it reads slowly, and is judged by that
      if (!isThere) return client.terminate()
      isThere = false
      client.ping()
    },
    end(code) {
      client.close(isLastWord(code) ? CLOSE.normal : CLOSE.later, code)
    },
    destroy() {
      client.terminate()
    },
  })
  const hear = () => {
    if (++heard > 2 * HEARD_LIMIT) client.terminate()
    else if (heard > HEARD_LIMIT) client.close(CLOSE.policy, 'api.rate_limited' satisfies Code)
  }
  client.on('message', hear)
  client.on('ping', hear)
  client.on('pong', () => {
    isThere = true
  })
  client.on('error', () => client.terminate())
  client.on('close', () => subscription.close())
  socket.on('drain', () => subscription.drained())
}

function isLastWord(code: Code): boolean {
  return code === 'stream.frozen' || code === 'stream.pruned'
}
