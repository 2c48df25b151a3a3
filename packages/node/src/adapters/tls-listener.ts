/** Where peers call in over mutual TLS: whoever is registered gets in by the registered key, everybody else gets nothing. */
import { constants } from 'node:crypto'
import type { Socket } from 'node:net'
import { createSecureContext, createServer, type SecureContext, type Server, type TLSSocket } from 'node:tls'
import { type Address, type Bytes32, SmartLayerError } from '@smartlayer/protocol'
import type { Telemetry } from '../ports/telemetry.ts'
import { FrameReader, HEADER, PING } from './frames.ts'
import { parseHostPort, serverNameOf } from './tls-link.ts'
import { spkiOf, type TransportIdentity, transportKeyOf } from './transport-identity.ts'

const HANDSHAKE_TIMEOUT_MS = 5_000
/** Handshakes at a time; beyond it the oldest gives way, so that strangers cannot hold the door. */
const HANDSHAKE_LIMIT = 128
/** Connections without a ping for this long are half open. */
const SILENCE_LIMIT_MS = 10_000
/** A second connection lets a peer come back before its broken one is noticed. */
const CONNECTIONS_PER_PEER = 2
const CONNECTION_LIMIT = 1_024

export type ListenerOptions = {
  /** host:port to listen at. */
  readonly listen: string
  /** The keys that we may present, the one that the registry names first. */
  readonly identities: () => readonly TransportIdentity[]
  /** Whom the registry knows by this key now. */
  readonly nodeOf: (transportKey: Bytes32) => Address | undefined
  /** Told whenever bytes of a peer arrive. */
  readonly seen: (from: Address) => void
  /** Takes one message whose frame had so many bytes; the message is parsed JSON, else unchecked. */
  readonly handle: (from: Address, message: unknown, bytes: number) => void
  readonly telemetry: Telemetry
}

type Caller = { readonly node: Address; readonly transportKey: Bytes32 }

export class TlsListener {
  readonly #options: ListenerOptions
  readonly #server: Server
  readonly #handshakes = new Map<string, Socket>()
  /** Who is connected, the oldest connection first. */
  readonly #callers = new Map<TLSSocket, Caller>()
  readonly #contexts = new WeakMap<TransportIdentity, SecureContext>()

  private constructor(options: ListenerOptions) {
    this.#options = options
    this.#server = createServer({
      ...contextOptions(options.identities()[0]!),
      requestCert: true,
      // Keys are pinned to the registry, not to authorities.
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      SNICallback: (name, done) => done(null, this.#contextFor(name)),
    })
    this.#server.maxConnections = CONNECTION_LIMIT
    this.#server.on('connection', (socket) => this.#greet(socket))
    this.#server.on('secureConnection', (socket) => this.#admit(socket))
    this.#server.on('tlsClientError', () => options.telemetry.count('smartlayer_network_handshake_failed_total'))
  }

  /** Starts to listen. Throws `port.busy`. */
  static async start(options: ListenerOptions): Promise<TlsListener> {
    const place = parseHostPort(options.listen)
    if (!place) throw SmartLayerError.of('config.invalid', { at: 'overlay', expected: 'host:port' })
    const listener = new TlsListener(options)
    const { host, port } = place
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', (error) =>
        reject(SmartLayerError.because(error, 'port.busy', { port, what: 'overlay' })),
      )
      listener.#server.listen(port, host, resolve)
    })
    return listener
  }

  get connected(): ReadonlySet<Address> {
    return new Set([...this.#callers.values()].map(({ node }) => node))
  }

  /** Presents the first of our keys from now on. */
  present(): void {
    this.#server.setSecureContext(contextOptions(this.#options.identities()[0]!))
  }

  /** Cuts off who left the registry, or is registered with another key now. */
  check(): void {
    for (const [socket, caller] of this.#callers) this.#isRegistered(caller) || this.#cutOff(socket, 'not registered')
  }

  async close(): Promise<void> {
    for (const socket of [...this.#handshakes.values(), ...this.#callers.keys()]) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** A caller whose view of the registry is older or newer than ours names the key that it expects: we may hold it. */
  #contextFor(name: string): SecureContext | undefined {
    const asked = this.#options.identities().find(({ transportKey }) => serverNameOf(transportKey) === name)
    if (!asked) return undefined
    const context = this.#contexts.get(asked) ?? createSecureContext(contextOptions(asked))
    this.#contexts.set(asked, context)
    return context
  }

  #greet(socket: Socket): void {
    const key = endpointOf(socket)
    this.#handshakes.set(key, socket)
    socket.on('close', () => this.#handshakes.get(key) === socket && this.#handshakes.delete(key))
    const [oldest] = this.#handshakes.values()
    if (this.#handshakes.size > HANDSHAKE_LIMIT) oldest?.destroy()
  }

  #admit(socket: TLSSocket): void {
    this.#handshakes.delete(endpointOf(socket))
    socket.on('error', () => socket.destroy())
    const caller = this.#callerOf(socket)
    if (!caller) {
      this.#options.telemetry.count('smartlayer_network_peer_refused_total')
      socket.destroy()
      return
    }
    const others = [...this.#callers].filter(([, { node }]) => node === caller.node)
    if (others.length >= CONNECTIONS_PER_PEER) others[0]![0].destroy()
    this.#callers.set(socket, caller)
    socket.setNoDelay(true)
    socket.setTimeout(SILENCE_LIMIT_MS, () => socket.destroy())
    socket.on('close', () => this.#callers.delete(socket))
    this.#listenTo(socket, caller)
  }

  #listenTo(socket: TLSSocket, caller: Caller): void {
    let pings = 0
    const reader = new FrameReader((body) => {
      if (body.length > 0) return this.#take(caller.node, body)
      pings++
      return true
    })
    socket.on('data', (chunk) => {
      if (socket.destroyed) return
      if (!this.#isRegistered(caller)) return this.#cutOff(socket, 'not registered')
      this.#options.seen(caller.node)
      pings = 0
      if (!reader.push(chunk)) return this.#cutOff(socket, 'frame of no class, too large or no JSON')
      // One answer is enough for all of a chunk, and whoever does not read gets none.
      if (pings > 0 && !socket.writableNeedDrain) socket.write(PING)
    })
  }

  /** False when the body is no JSON. */
  #take(node: Address, body: Buffer): boolean {
    let message: unknown
    try {
      message = JSON.parse(body.toString('utf8'))
    } catch {
      return false
    }
    this.#options.handle(node, message, HEADER + body.length)
    return true
  }

  #callerOf(socket: TLSSocket): Caller | undefined {
    const certificate = socket.getPeerX509Certificate()
    const transportKey = certificate && transportKeyOf(spkiOf(certificate))
    const node = transportKey && this.#options.nodeOf(transportKey)
    return transportKey && node ? { node, transportKey } : undefined
  }

  #isRegistered({ node, transportKey }: Caller): boolean {
    return this.#options.nodeOf(transportKey) === node
  }

  #cutOff(socket: TLSSocket, reason: string): void {
    this.#options.telemetry.log('warn', 'network.cut_off', { node: this.#callers.get(socket)?.node, reason })
    socket.destroy()
  }
}

function contextOptions({ key, certificate: cert }: TransportIdentity) {
  // A resumed session would come without the certificate that says who it is.
  return { key, cert, minVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET } as const
}

function endpointOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`
}
