/** One outgoing connection to a peer: dialled when needed, its queue bounded by class, given up when the peer is silent. */
import { connect, type TLSSocket } from 'node:tls'
import type { Bytes32, Member } from '@smartlayer/protocol'
import { type Frame, PING } from './frames.ts'
import { SendQueue, type Waiting } from './tls-queue.ts'
import { newTraffic, noteDropped, noteSent, type Traffic } from './tls-traffic.ts'
import { spkiOf, type TransportIdentity, transportKeyOf } from './transport-identity.ts'

const PING_MS = 2_000
/** A peer that neither answers nor takes bytes for this long is given up. */
const SILENCE_LIMIT_MS = 7_000
const DIAL_TIMEOUT_MS = 5_000
/** What was written to a connection that is left may still arrive within this. */
const FAREWELL_MS = 1_000
const BACK_OFF_MS = [50, 100, 250, 500, 1_000, 2_000] as const

export type LinkOptions = {
  /** The keys that we may present, the one that the registry names first. */
  readonly identities: () => readonly TransportIdentity[]
  /** The peer's present registration, or undefined once it left. */
  readonly member: () => Member | undefined
  /** Bytes that wait for all peers. */
  readonly waiting: Waiting
  /** Counters of the node as a whole. */
  readonly total: Traffic
}

export class TlsLink {
  readonly traffic = newTraffic()
  readonly queue: SendQueue
  readonly #options: LinkOptions
  readonly #counted: readonly Traffic[]
  #socket: TLSSocket | undefined
  /** The registration that the present connection was dialled for. */
  #dialled: Member | undefined
  #connected = false
  /** When the peer last answered, and when it or its kernel last took bytes. */
  #lastSeen = 0
  #lastTaken = 0
  #attempts = 0
  #retry: NodeJS.Timeout | undefined
  #pinger: NodeJS.Timeout | undefined
  #flushing = false
  #closed = false

  constructor(options: LinkOptions) {
    this.#options = options
    this.#counted = [this.traffic, options.total]
    this.queue = new SendQueue(options.waiting, (frame) => noteDropped(this.#counted, frame))
  }

  get connected(): boolean {
    return this.#connected
  }

  get lastSeen(): number {
    return this.#lastSeen
  }

  send(frame: Frame): void {
    if (this.#closed) return
    this.queue.push(frame)
    if (this.#connected) this.#flushSoon()
    else if (!this.#socket && !this.#retry) this.#dial()
  }

  /** Dials again when the peer is registered with another key or address than the one that was dialled. */
  check(): void {
    const [member, dialled] = [this.#options.member(), this.#dialled]
    if (!member || !this.#socket || !dialled) return
    if (member.transportKey !== dialled.transportKey || member.overlay !== dialled.overlay) this.redial()
  }

  /** Leaves the present connection, after what was written to it, and dials a new one. */
  redial(): void {
    const socket = this.#leave()
    if (!socket) return // whenever it dials next, it does so with what is registered then
    socket.end()
    setTimeout(() => socket.destroy(), FAREWELL_MS).unref()
    this.#dial()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#leave()?.destroy()
    this.queue.shed(0)
  }

  #leave(): TLSSocket | undefined {
    const socket = this.#socket
    this.#socket = undefined
    this.#connected = false
    clearInterval(this.#pinger)
    return socket
  }

  #dial(): void {
    const member = this.#options.member()
    if (this.#closed || !member) return
    const place = parseHostPort(member.overlay)
    if (!place) return // registered without an address that can be dialled: messages wait, bounded, until it is corrected
    const identities = this.#options.identities()
    // A peer whose view of the registry is older or newer than ours may want our other key: attempts take turns.
    const { key, certificate: cert } = identities[this.#attempts % identities.length]!
    // The peer's key is pinned to the registry below; certificate authorities have no say between nodes.
    const socket = connect({
      ...place,
      key,
      cert,
      servername: serverNameOf(member.transportKey),
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false,
      timeout: DIAL_TIMEOUT_MS,
    })
    this.#socket = socket
    this.#dialled = member
    socket.setNoDelay(true)
    socket.on('secureConnect', () => {
      const peer = socket.getPeerX509Certificate()
      if (!peer || transportKeyOf(spkiOf(peer)) !== member.transportKey) return socket.destroy()
      socket.write(PING) // its answer says that the peer let us in: nothing is sent into a connection that it refuses
    })
    socket.on('data', () => {
      if (this.#socket !== socket) return
      this.#lastSeen = Date.now()
      if (!this.#connected) this.#open(socket)
    })
    socket.on('drain', () => {
      if (this.#socket !== socket) return
      this.#lastTaken = Date.now()
      this.#flush()
    })
    socket.on('timeout', () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#lost(socket))
  }

  #open(socket: TLSSocket): void {
    this.#connected = true
    this.#attempts = 0
    socket.setTimeout(0)
    this.#pinger = setInterval(() => {
      if (Date.now() - Math.max(this.#lastSeen, this.#lastTaken) > SILENCE_LIMIT_MS) socket.destroy()
      else if (!socket.writableNeedDrain) socket.write(PING)
    }, PING_MS)
    this.#flush()
  }

  #lost(socket: TLSSocket): void {
    if (this.#socket !== socket) return
    this.#leave()
    if (this.#closed) return
    const base = BACK_OFF_MS[Math.min(this.#attempts++, BACK_OFF_MS.length - 1)]!
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined
        this.#dial()
      },
      base * (0.5 + Math.random()),
    )
  }

  /** Frames of one turn leave together. */
  #flushSoon(): void {
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      this.#flush()
    })
  }

  /** Writes until the socket has enough: what waits here is still in order of class, what was written is not. */
  #flush(): void {
    const socket = this.#socket
    if (!socket || !this.#connected || socket.writableNeedDrain) return
    socket.cork()
    while (!socket.writableNeedDrain) {
      const frame = this.queue.shift()
      if (!frame) break
      socket.write(frame.bytes)
      noteSent(this.#counted, frame)
    }
    socket.uncork()
  }
}

/** The key that is expected of a peer, as a server name: a peer that holds two keys knows which one to present. */
export function serverNameOf(transportKey: Bytes32): string {
  return `${transportKey.slice(2, 34)}.${transportKey.slice(34)}`
}

/** host and port of `host:port`; undefined for anything that cannot be dialled. */
export function parseHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]{2,45}\]):(\d{1,5})$/.exec(text)
  const port = Number(match?.[2])
  return match && port > 0 && port < 65_536 ? { host: match[1]!.replace(/^\[|\]$/g, ''), port } : undefined
}
