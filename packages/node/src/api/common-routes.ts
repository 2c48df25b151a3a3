/** Routes of every node: health, status, network, metrics and the live socket. */
import { type Membership, type NetworkInfo, type NodeStatus, networkInfoShape, statusShape } from '@smartlayer/protocol'
import { WebSocketServer } from 'ws'
import type { LoggedEvent } from '../ports/telemetry.ts'
import { type Api, send } from './server.ts'
import { onUpgrade } from './upgrades.ts'

const SOCKET_LIMIT = 64
/** A viewer that reads slower than this falls behind and is cut off; it resumes from its last sequence. */
const SOCKET_BUFFER_LIMIT = 1_048_576

/** What the live socket reads from. */
export type EventLog = {
  after(sequence: number): readonly LoggedEvent[]
  listen(listener: (event: LoggedEvent) => void): () => void
  metrics(): string
}

export type CommonRoutes = {
  readonly status: () => Promise<NodeStatus>
  readonly membership: () => Membership
  readonly network: Omit<NetworkInfo, keyof Membership>
  readonly events: EventLog
  /** Counters of the overlay, in Prometheus text format. */
  readonly metrics: () => string
  /** Development only: changes the faults that are injected on purpose; without it the route does not exist. */
  readonly faults: ((change: unknown) => object) | undefined
}

export function commonRoutes(api: Api, { status, membership, network, events, metrics, faults }: CommonRoutes): void {
  api.get('/health', async () => ({ ok: true }))
  api.get('/ready', async (_, reply) => {
    const { ready, reason } = await status()
    return reply.code(ready ? 200 : 503).send({ ready, reason })
  })
  api.get('/metrics', async (_, reply) =>
    reply.type('text/plain; version=0.0.4').send(`${events.metrics()}${metrics()}`),
  )
  api.get('/v1/status', async (_, reply) => send(reply, statusShape, await status()))
  api.get('/v1/network', async (_, reply) => {
    return send(reply, networkInfoShape, { ...network, ...membership() } as NetworkInfo)
  })
  if (faults) api.post('/v1/development/faults', async ({ body }) => faults(body))
  liveSocket(api, events)
}

/** `/v1/events?after=SEQUENCE`: everything since, then everything as it happens. */
function liveSocket(api: Api, events: EventLog): void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1024 })
  onUpgrade(api, ({ request, socket, head, url }) => {
    if (url.pathname !== '/v1/events' || sockets.clients.size >= SOCKET_LIMIT) return false
    sockets.handleUpgrade(request, socket, head, (client) => {
      const write = (event: LoggedEvent) => {
        if (client.bufferedAmount > SOCKET_BUFFER_LIMIT) client.terminate()
        else client.send(JSON.stringify(event))
      }
      for (const event of events.after(Number(url.searchParams.get('after') ?? 0))) write(event)
      const stop = events.listen(write)
      client.on('close', stop)
      client.on('error', () => client.terminate())
    })
    return true
  })
  api.addHook('onClose', async () => {
    for (const client of sockets.clients) client.terminate()
    sockets.close()
  })
}
