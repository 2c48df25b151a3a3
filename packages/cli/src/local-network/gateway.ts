/** The gateway of a local network: serves the Control Room and feeds it over one WebSocket per tab. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { NodePage, NodeStatus } from '@smartlayer/protocol'
import { build } from 'esbuild'
import Fastify, { type FastifyInstance } from 'fastify'
import { WebSocket, WebSocketServer } from 'ws'
import type { LocalNetwork } from './local-network.ts'

const POLL_MS = 500
const VIEWER_LIMIT = 32
const BUFFER_LIMIT = 1_048_576
const EVENTS_KEPT = 200
/** Streams, and followed subsets, of one node that a page gets; the node names first what moved last. */
const STREAMS_SENT = 64
const DASHBOARD = fileURLToPath(new URL('../../../dashboard/src/', import.meta.url))

/** What one message to a viewer holds. Everything in it was read from nodes a moment ago. */
export type Snapshot = {
  readonly at: number
  readonly network: { readonly chainId: number; readonly registry: string }
  readonly nodes: readonly {
    readonly name: string
    readonly api: string
    readonly running: boolean
    readonly status: unknown
  }[]
  /** What the first anchor that answers says of the service nodes. */
  readonly health: { readonly by: string; readonly nodes: unknown } | null
  readonly events: readonly unknown[]
}

export class Gateway {
  readonly api: FastifyInstance
  readonly #network: LocalNetwork
  readonly #viewers = new WebSocketServer({ noServer: true, maxPayload: 1024 })
  readonly #events: { node: string; sequence: number; time: number }[] = []
  readonly #sockets = new Map<string, WebSocket>()
  #timer: NodeJS.Timeout | undefined

  private constructor(network: LocalNetwork) {
    this.#network = network
    this.api = Fastify({ logger: false, forceCloseConnections: true })
  }

  /** Builds the page and listens. */
  static async start(network: LocalNetwork): Promise<Gateway> {
    const gateway = new Gateway(network)
    const { outputFiles } = await build({
      entryPoints: [join(DASHBOARD, 'main.tsx')],
      bundle: true,
      write: false,
      minify: true,
      format: 'esm',
      target: 'es2022',
      jsx: 'automatic',
      jsxImportSource: 'preact',
      conditions: ['source'],
      loader: { '.css': 'text' },
      logLevel: 'error',
    })
    const script = outputFiles[0]!.text
    gateway.api.addHook('onRequest', async (_, reply) => {
      reply.header(
        'content-security-policy',
        "default-src 'self'; img-src data:; style-src 'self' 'unsafe-inline'; connect-src 'self' ws:; frame-ancestors 'none'",
      )
    })
    gateway.api.get('/health', async () => ({ ok: true }))
    gateway.api.get('/', async (_, reply) => reply.type('text/html').send(PAGE))
    gateway.api.get('/control-room.js', async (_, reply) => reply.type('text/javascript').send(script))
    gateway.api.server.on('upgrade', (request, socket, head) => {
      if (request.url !== '/live' || gateway.#viewers.clients.size >= VIEWER_LIMIT) return void socket.destroy()
      gateway.#viewers.handleUpgrade(request, socket, head, () => void gateway.#push())
    })
    await gateway.api.listen({ host: '127.0.0.1', port: network.layout.controlPort })
    gateway.#timer = setInterval(() => void gateway.#push(), POLL_MS)
    return gateway
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    for (const socket of this.#sockets.values()) socket.terminate()
    for (const viewer of this.#viewers.clients) viewer.terminate()
    await this.api.close()
  }

  async #push(): Promise<void> {
    if (this.#viewers.clients.size === 0) return
    this.#listen()
    const text = JSON.stringify(await this.#snapshot())
    for (const viewer of this.#viewers.clients) {
      if (viewer.bufferedAmount > BUFFER_LIMIT) viewer.terminate()
      else viewer.send(text)
    }
  }

  async #snapshot(): Promise<Snapshot> {
    const { layout, file, nodes } = this.#network
    const read = layout.nodes.map(async ({ name, api }) => ({
      name,
      api,
      running: nodes.get(name)?.running ?? false,
      status: await readStatus(`${api}/v1/status`),
    }))
    return {
      at: Date.now(),
      network: { chainId: file.chainId, registry: file.contracts.nodeRegistry },
      nodes: await Promise.all(read),
      health: await this.#health(),
      events: this.#events,
    }
  }

  async #health(): Promise<Snapshot['health']> {
    for (const { name, api, role } of this.#network.layout.nodes) {
      if (role !== 'anchor' || !this.#network.nodes.get(name)?.running) continue
      const page = await readJsonOf(`${api}/v1/nodes`)
      if (page) return { by: name, nodes: (page as Partial<NodePage>).nodes ?? [] }
    }
    return null
  }

  /** Follows the live socket of every node; one that is down is tried again with the next snapshot. */
  #listen(): void {
    for (const { name, api } of this.#network.layout.nodes) {
      if (this.#sockets.has(name)) continue
      const after = this.#events.filter((event) => event.node === name).at(-1)?.sequence ?? 0
      const socket = new WebSocket(`${api.replace('http', 'ws')}/v1/events?after=${after}`)
      this.#sockets.set(name, socket)
      socket.on('message', (data) => this.#note(name, JSON.parse(String(data))))
      socket.on('close', () => this.#sockets.delete(name))
      socket.on('error', () => socket.terminate())
    }
  }

  #note(node: string, event: { sequence: number; time: number }): void {
    this.#events.push({ ...event, node })
    this.#events.sort((a, b) => a.time - b.time)
    if (this.#events.length > EVENTS_KEPT) this.#events.splice(0, this.#events.length - EVENTS_KEPT)
  }
}

/** Null when the node does not answer: the page shows it as down. */
async function readStatus(url: string): Promise<unknown> {
  const status = await readJsonOf(url)
  return status && bounded(status as Partial<NodeStatus>)
}

async function readJsonOf(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) })
    return response.ok ? await response.json() : null
  } catch {
    return null // the node does not answer
  }
}

/** A network may have more streams than a page can show twice a second. */
function bounded(status: Partial<NodeStatus>): unknown {
  const { streams = [], followed = [] } = status
  const beyond = (list: readonly unknown[]) => Math.max(0, list.length - STREAMS_SENT)
  return {
    ...status,
    streams: streams.slice(0, STREAMS_SENT),
    followed: followed.slice(0, STREAMS_SENT),
    leftOut: { streams: beyond(streams), followed: beyond(followed) },
  }
}

const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Smart Layer · Control Room</title>
<link rel="icon" href="data:,"><body><div id="app"></div><script type="module" src="/control-room.js"></script></body></html>`
