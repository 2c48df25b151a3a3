/** For tests: nodes that talk over real TLS on loopback, registered in a list that tests may change. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { type Address, type Bytes32, type Member, ZERO_32 } from '@smartlayer/protocol'
import { TlsNetwork } from '../tls-network.ts'
import { type TransportIdentity, transportIdentity } from '../transport-identity.ts'

export type TlsNode = {
  readonly node: Address
  readonly port: number
  readonly folder: string
  readonly transport: TransportIdentity
}
export type Logged = { readonly event: string; readonly facts: Readonly<Record<string, unknown>> | undefined }

export class TlsWorld {
  readonly folder = mkdtempSync(join(tmpdir(), 'smart-layer-tls-'))
  readonly nodes: TlsNode[] = []
  /** What the registry says now; nodes that are given their own view do not look here. */
  members: readonly Member[] = []
  readonly logged: Logged[] = []
  #open: TlsNetwork[] = []

  static async of(count: number): Promise<TlsWorld> {
    const world = new TlsWorld()
    for (let n = 1; n <= count; n++) {
      const node: Address = `0x${n.toString(16).padStart(2, '0').repeat(20)}`
      const folder = join(world.folder, String(n))
      world.nodes.push({ node, port: await freePort(), folder, transport: await transportIdentity(folder) })
    }
    world.members = world.nodes.map(memberOf)
    return world
  }

  /** Starts a node; with options for its keys and its own view of the registry. */
  async start(
    { node, port, transport }: TlsNode,
    {
      transports = () => [transport],
      members = () => this.members,
    }: {
      transports?: (registered: Bytes32 | undefined) => readonly TransportIdentity[]
      members?: () => readonly Member[]
    } = {},
  ): Promise<TlsNetwork> {
    const telemetry = {
      log: (_: string, event: string, facts?: Readonly<Record<string, unknown>>) =>
        void this.logged.push({ event, facts }),
      count: () => {},
    }
    const network = await TlsNetwork.start({ self: node, listen: `127.0.0.1:${port}`, transports, members, telemetry })
    this.#open.push(network)
    return network
  }

  async stop(network: TlsNetwork): Promise<void> {
    this.#open = this.#open.filter((other) => other !== network)
    await network.close()
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((network) => network.close()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopAll()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export function memberOf({ node, port, transport }: TlsNode): Member {
  const common = { api: '', operator: ZERO_32, platform: ZERO_32, stake: 1n, role: 'anchor' } as const
  return { ...common, node, transportKey: transport.transportKey, overlay: `127.0.0.1:${port}` }
}

/** A connection to a node with this key that can say anything. */
export async function call(port: number, { key, certificate: cert }: TransportIdentity): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, key, cert, rejectUnauthorized: false })
  socket.on('error', () => socket.destroy())
  await new Promise((resolve) => {
    socket.once('secureConnect', resolve)
    socket.once('close', resolve)
  })
  return socket
}

export function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

/** Waits until something holds. Throws when it does not within the limit. */
export async function until(holds: () => boolean, { limitMs = 10_000, what = 'it' } = {}): Promise<void> {
  const end = performance.now() + limitMs
  while (!holds()) {
    if (performance.now() > end) throw new Error(`${what} did not happen within ${limitMs} ms`)
    await pause(10)
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
