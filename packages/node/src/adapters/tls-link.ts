/** One outgoing connection to a peer: dialled when needed, its queues bounded by class, given up when the peer is silent. */
import { connect, type TLSSocket } from 'node:tls'
import type { Member } from '@smartlayer/protocol'
import { TRAFFIC_CLASSES, type TrafficClass } from '../ports/network.ts'
import { PING } from './frames.ts'
import { spkiOf, type TransportIdentity, transportKeyOf } from './transport-identity.ts'

/** Messages that may wait per class; beyond it the oldest is dropped and repaired by pull. */
const QUEUE_LIMIT = 2_048
const PING_MS = 2_000
const SILENCE_LIMIT_MS = 7_000
const DIAL_TIMEOUT_MS = 5_000
const BACK_OFF_MS = [50, 100, 250, 500, 1_000, 2_000] as const

export type LinkStats = { sent: number; dropped: number; connected: boolean; lastSeen: number }

export class TlsLink {
  readonly stats: LinkStats = { sent: 0, dropped: 0, connected: false, lastSeen: 0 }
  readonly #identity: TransportIdentity
  readonly #member: () => Member | undefined
  readonly #queues = new Map<TrafficClass, Buffer[]>(TRAFFIC_CLASSES.map((name) => [name, []]))
  #socket: TLSSocket | undefined
  #attempts = 0
  #retry: NodeJS.Timeout | undefined
  #pinger: NodeJS.Timeout | undefined
  #flushing = false
  #closed = false

  /** `member` gives the peer's present registration, or undefined once it left. */
  constructor(identity: TransportIdentity, member: () => Member | undefined) {
    this.#identity = identity
    this.#member = member
  }

  send(frame: Buffer, trafficClass: TrafficClass): void {
    const queue = this.#queues.get(trafficClass)!
    if (queue.length >= QUEUE_LIMIT) {
      queue.shift()
      this.stats.dropped++
    }
    queue.push(frame)
    if (this.stats.connected) this.#flushSoon()
    else if (!this.#socket && !this.#retry) this.#dial()
  }

  get queued(): number {
    return [...this.#queues.values()].reduce((sum, queue) => sum + queue.length, 0)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    clearInterval(this.#pinger)
    this.#socket?.destroy()
  }

  #dial(): void {
    const member = this.#member()
    if (this.#closed || !member) return
    const place = parseHostPort(member.overlay)
    if (!place) return // registered without an address that can be dialled: messages wait, bounded, until it is corrected
    const { host, port } = place
    const { key, certificate: cert } = this.#identity
    // The peer's key is pinned to the registry below; certificate authorities have no say between nodes.
    const socket = connect({
      host,
      port,
      key,
      cert,
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false,
      timeout: DIAL_TIMEOUT_MS,
    })
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('secureConnect', () => {
      const peer = socket.getPeerX509Certificate()
      if (!peer || transportKeyOf(spkiOf(peer)) !== member.transportKey) return socket.destroy()
      this.#connected(socket)
    })
    socket.on('data', () => {
      this.stats.lastSeen = Date.now()
      this.#attempts = 0 // only now is it certain that the peer let us in
    })
    socket.on('drain', () => this.#flush())
    socket.on('timeout', () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#lost(socket))
  }

  #connected(socket: TLSSocket): void {
    this.stats.connected = true
    this.stats.lastSeen = Date.now()
    socket.setTimeout(0)
    socket.write(PING) // its answer says that we are in
    this.#pinger = setInterval(() => {
      if (Date.now() - this.stats.lastSeen > SILENCE_LIMIT_MS) socket.destroy()
      else socket.write(PING)
    }, PING_MS)
    this.#flush()
  }

  #lost(socket: TLSSocket): void {
    if (this.#socket !== socket) return
    this.#socket = undefined
    this.stats.connected = false
    clearInterval(this.#pinger)
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

  #flush(): void {
    const socket = this.#socket
    if (!socket || !this.stats.connected || socket.writableNeedDrain) return
    socket.cork()
    for (const queue of this.#queues.values()) {
      while (queue.length > 0 && !socket.writableNeedDrain) {
        socket.write(queue.shift()!)
        this.stats.sent++
      }
    }
    socket.uncork()
  }
}

/** host and port of `host:port`; undefined for anything that cannot be dialled. */
export function parseHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]{2,45}\]):(\d{1,5})$/.exec(text)
  const port = Number(match?.[2])
  return match && port > 0 && port < 65_536 ? { host: match[1]!.replace(/^\[|\]$/g, ''), port } : undefined
}
