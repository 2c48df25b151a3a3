/** WebSocket upgrades of one server: the first route that takes a request has it, and what nobody takes is refused. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Api } from './server.ts'

export type Upgrade = {
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  readonly url: URL
}
/** Takes an upgrade, and the care for its socket, or returns false. */
export type UpgradeRoute = (upgrade: Upgrade) => boolean

const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'
const routesOf = new WeakMap<Api, UpgradeRoute[]>()

/** Adds a route; the server's `upgrade` event has one listener, however many routes there are. */
export function onUpgrade(api: Api, route: UpgradeRoute): void {
  const known = routesOf.get(api)
  if (known) return void known.push(route)
  const routes = [route]
  routesOf.set(api, routes)
  api.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    const url = urlOf(request)
    const isTaken = url !== undefined && routes.some((take) => take({ request, socket, head, url }))
    if (!isTaken) socket.end(NOT_FOUND, () => socket.destroy())
  })
}

function urlOf({ url = '/' }: IncomingMessage): URL | undefined {
  return URL.parse(url, 'http://node') ?? undefined
}
