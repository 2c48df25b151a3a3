/** The Network port over mutual TLS 1.3: only registered keys get in, and who they are is known before a byte is read. */
import { constants } from 'node:crypto'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { type Address, type Bytes32, type Member, SmartLayerError } from '@smartlayer/protocol'
import type { Network, TrafficClass } from '../ports/network.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { FRAME_LIMIT, FrameReader, frameOf, PING } from './frames.ts'
import { parseHostPort, TlsLink } from './tls-link.ts'
import { spkiOf, type TransportIdentity, transportKeyOf } from './transport-identity.ts'

const HANDSHAKE_TIMEOUT_MS = 5_000
/** Connections without a ping for this long are half open. */
const SILENCE_LIMIT_MS = 10_000
const CONNECTIONS_PER_PEER = 2
const CONNECTION_LIMIT = 1_024

export type TlsNetworkOptions = {
  readonly self: Address
  /** host:port to listen at. */
  readonly listen: string
  readonly transport: TransportIdentity
  /** The present membership; asked at every connection. */
  readonly members: () => readonly Member[]
  readonly telemetry: Telemetry
}

export type Peer = {
  readonly node: Address
  readonly connected: boolean
  readonly lastSeen: number
  readonly queued: number
  readonly dropped: number
}

export class TlsNetwork implements Network {
  readonly self: Address
  readonly #options: TlsNetworkOptions
  readonly #server: Server
  readonly #links = new Map<Address, TlsLink>()
  readonly #inbound = new Map<TLSSocket, Address>()
  readonly #lastSeen = new Map<Address, number>()
  /** The TLS key behind each connection. */
  readonly #keys = new WeakMap<TLSSocket, Bytes32>()
  #handle: (from: Address, message: unknown) => void = () => {}
  #last: { message: unknown; frame: Buffer } | undefined

  private constructor(options: TlsNetworkOptions) {
    this.self = options.self
    this.#options = options
    const { key, certificate: cert } = options.transport
    this.#server = createServer({
      key,
      cert,
      requestCert: true,
      // Keys are pinned to the registry, not to authorities.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      // A resumed session would come without the certificate that says who it is.
      secureOptions: constants.SSL_OP_NO_TICKET,
    })
    this.#server.maxConnections = CONNECTION_LIMIT
    this.#server.on('secureConnection', (socket) => this.#admit(socket))
    this.#server.on('tlsClientError', () => options.telemetry.count('smartlayer_network_handshake_failed_total'))
  }

  /** Starts to listen. Throws `port.busy`. */
  static async start(options: TlsNetworkOptions): Promise<TlsNetwork> {
    const network = new TlsNetwork(options)
    const place = parseHostPort(options.listen)
    if (!place) throw SmartLayerError.of('config.invalid', { at: 'overlay', expected: 'host:port' })
    const { host, port } = place
    await new Promise<void>((resolve, reject) => {
      network.#server.once('error', (error) =>
        reject(SmartLayerError.because(error, 'port.busy', { port, what: 'overlay' })),
      )
      network.#server.listen(port, host, resolve)
    })
    return network
  }

  send(to: Address, message: unknown, trafficClass: TrafficClass): void {
    const frame = this.#frame(message)
    if (!frame) return
    if (to === this.self) {
      const copy = JSON.parse(frame.toString('utf8', 4)) as unknown
      setImmediate(() => this.#handle(this.self, copy))
      return
    }
    this.#link(to)?.send(frame, trafficClass)
  }

  receive(handle: (from: Address, message: unknown) => void): void {
    this.#handle = handle
  }

  peers(): readonly Peer[] {
    return this.#options.members().flatMap(({ node }) => {
      if (node === this.self) return []
      const link = this.#links.get(node)
      const lastSeen = Math.max(this.#lastSeen.get(node) ?? 0, link?.stats.lastSeen ?? 0)
      const connected = (link?.stats.connected ?? false) || [...this.#inbound.values()].includes(node)
      return [{ node, connected, lastSeen, queued: link?.queued ?? 0, dropped: link?.stats.dropped ?? 0 }]
    })
  }

  async close(): Promise<void> {
    for (const link of this.#links.values()) link.close()
    for (const socket of this.#inbound.keys()) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** A message to many peers is written as bytes once. What cannot be a frame is dropped here, not at the peers. */
  #frame(message: unknown): Buffer | undefined {
    if (this.#last && this.#last.message === message) return this.#last.frame
    try {
      const frame = frameOf(message)
      if (frame.length > FRAME_LIMIT)
        throw SmartLayerError.of('message.too_large', { limit: FRAME_LIMIT, what: 'a message' })
      this.#last = { message, frame }
      return frame
    } catch (error) {
      this.#options.telemetry.log('error', 'network.unsendable', { error })
      return undefined
    }
  }

  #link(to: Address): TlsLink | undefined {
    const known = this.#links.get(to)
    if (known) return known
    const member = () => this.#options.members().find(({ node }) => node === to)
    if (!member()) return undefined
    const link = new TlsLink(this.#options.transport, member)
    this.#links.set(to, link)
    return link
  }

  #admit(socket: TLSSocket): void {
    socket.on('error', () => socket.destroy())
    const node = this.#peerOf(socket)
    if (!node || [...this.#inbound.values()].filter((other) => other === node).length >= CONNECTIONS_PER_PEER) {
      this.#options.telemetry.count('smartlayer_network_peer_refused_total')
      socket.destroy()
      return
    }
    this.#inbound.set(socket, node)
    socket.setNoDelay(true)
    socket.setTimeout(SILENCE_LIMIT_MS, () => socket.destroy())
    socket.on('close', () => this.#inbound.delete(socket))
    const reader = new FrameReader((body) => this.#receive(node, body, socket))
    socket.on('data', (chunk) => {
      // Who left the registry, or changed its key, is not heard any longer.
      if (this.#peerOf(socket) !== node) return this.#cutOff(node, socket, 'no longer registered')
      this.#lastSeen.set(node, Date.now())
      if (!reader.push(chunk)) this.#cutOff(node, socket, 'frame too large')
    })
  }

  #peerOf(socket: TLSSocket): Address | undefined {
    const known = this.#keys.get(socket)
    const certificate = known ? undefined : socket.getPeerX509Certificate()
    const transportKey = known ?? (certificate && transportKeyOf(spkiOf(certificate)))
    if (transportKey === undefined) return undefined
    this.#keys.set(socket, transportKey)
    return this.#options.members().find((member) => member.transportKey === transportKey)?.node
  }

  #receive(node: Address, body: Buffer, socket: TLSSocket): void {
    if (body.length === 0) {
      if (!socket.writableNeedDrain) socket.write(PING) // whoever does not read gets no more answers
      return
    }
    let message: unknown
    try {
      message = JSON.parse(body.toString('utf8'))
    } catch {
      return this.#cutOff(node, socket, 'frame is not JSON')
    }
    this.#handle(node, message)
  }

  #cutOff(node: Address, socket: TLSSocket, reason: string): void {
    this.#options.telemetry.log('warn', 'network.cut_off', { node, reason })
    socket.destroy()
  }
}
