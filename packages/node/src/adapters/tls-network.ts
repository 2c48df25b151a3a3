/** The Network port over mutual TLS 1.3: a link to every peer that is sent to, and a listener that peers call. */
import type { Address, Bytes32, Member } from '@smartlayer/protocol'
import { type Network, TRAFFIC_CLASSES, type TrafficClass } from '../ports/network.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { type Frame, frameOf, messageOf, typeOf } from './frames.ts'
import { TOTAL_QUEUED_BYTES } from './tls-limits.ts'
import { TlsLink } from './tls-link.ts'
import { TlsListener } from './tls-listener.ts'
import { SendQueue, type Waiting } from './tls-queue.ts'
import {
  type ClassTraffic,
  newTraffic,
  noteDropped,
  noteReceived,
  type Traffic,
  trafficMetrics,
} from './tls-traffic.ts'
import type { TransportIdentity } from './transport-identity.ts'

/** How soon a change in the registry reaches connections that stand. */
const CHECK_MS = 500

export type TlsNetworkOptions = {
  readonly self: Address
  /** host:port to listen at. */
  readonly listen: string
  /** The transport keys that we hold, at least one. It is asked again and again, with the one that is registered for us. */
  readonly transports: (registered: Bytes32 | undefined) => readonly TransportIdentity[]
  /** The present membership; asked again and again. */
  readonly members: () => readonly Member[]
  readonly telemetry: Telemetry
}

export type Peer = {
  readonly node: Address
  readonly connected: boolean
  /** It missed live messages not long ago, and has to repair by pull. */
  readonly lagging: boolean
  readonly lastSeen: number
  readonly queued: number
  readonly queuedBytes: number
  readonly dropped: number
  readonly classes: Readonly<Record<TrafficClass, ClassTraffic>>
  /** Bytes that went to the peer, and came from it, by the type of the message. */
  readonly bytesByType: Readonly<Record<string, number>>
  readonly receivedByType: Readonly<Record<string, number>>
}

type Heard = { lastSeen: number; readonly traffic: Traffic }
type Encoded = { readonly message: unknown; readonly trafficClass: TrafficClass; readonly frame: Frame }

export class TlsNetwork implements Network {
  readonly self: Address
  readonly #options: TlsNetworkOptions
  readonly #members: () => MemberIndex
  readonly #links = new Map<Address, TlsLink>()
  readonly #lagging = new Set<Address>()
  readonly #heard = new Map<Address, Heard>()
  readonly #total = newTraffic()
  readonly #waiting: Waiting = { bytes: 0 }
  /** What we send to ourselves, until the next turn. */
  readonly #own = new SendQueue(this.#waiting, (frame) => noteDropped([this.#total], frame))
  #listener: TlsListener | undefined
  /** The keys that we hold, the registered one first. */
  #held: readonly TransportIdentity[]
  #checker: NodeJS.Timeout | undefined
  #handle: (from: Address, message: unknown) => void = () => {}
  #last: Encoded | undefined
  #closed = false

  private constructor(options: TlsNetworkOptions) {
    this.self = options.self
    this.#options = options
    this.#members = memberIndex(options.members)
    this.#held = this.#ownKeys()
  }

  /** Starts to listen. Throws `port.busy`. */
  static async start(options: TlsNetworkOptions): Promise<TlsNetwork> {
    const network = new TlsNetwork(options)
    const { listen, telemetry } = options
    network.#listener = await TlsListener.start({
      listen,
      telemetry,
      identities: () => network.#held,
      nodeOf: (transportKey) => network.#members().byKey.get(transportKey)?.node,
      seen: (from) => {
        network.#heardOf(from).lastSeen = Date.now()
      },
      handle: (from, message, bytes) => {
        noteReceived([network.#heardOf(from).traffic, network.#total], typeOf(message), bytes)
        network.#deliver(from, message)
      },
    })
    network.#checker = setInterval(() => network.#check(), CHECK_MS)
    return network
  }

  /** The key that we present: the one that is registered for us, if we hold it. */
  get identity(): TransportIdentity {
    return this.#held[0]!
  }

  send(to: Address, message: unknown, trafficClass: TrafficClass): void {
    const frame = this.#closed ? undefined : this.#frame(message, trafficClass)
    if (!frame) return
    if (to === this.self) this.#sendToSelf(frame)
    else this.#link(to)?.send(frame)
    if (this.#waiting.bytes > TOTAL_QUEUED_BYTES) this.#shed()
  }

  receive(handle: (from: Address, message: unknown) => void): void {
    this.#handle = handle
  }

  peers(): readonly Peer[] {
    const connected = this.#listener?.connected ?? new Set()
    const others = this.#options.members().filter(({ node }) => node !== this.self)
    return others.map(({ node }) => this.#peer(node, connected.has(node)))
  }

  /** Counters of all traffic in Prometheus text format. */
  metrics(): string {
    const lagging = [...this.#links.values()].filter(({ queue }) => queue.lagging).length
    const gauges = `smartlayer_network_queued_bytes ${this.#waiting.bytes}\nsmartlayer_network_lagging_peers ${lagging}\n`
    return gauges + trafficMetrics(this.#total)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#checker)
    this.#own.shed(0)
    for (const link of this.#links.values()) link.close()
    await this.#listener?.close()
  }

  #peer(node: Address, calls: boolean): Peer {
    const [link, heard] = [this.#links.get(node), this.#heard.get(node)]
    const traffic = link?.traffic ?? newTraffic()
    return {
      node,
      connected: calls || (link?.connected ?? false),
      lagging: link?.queue.lagging ?? false,
      lastSeen: Math.max(heard?.lastSeen ?? 0, link?.lastSeen ?? 0),
      queued: link?.queue.length ?? 0,
      queuedBytes: link?.queue.bytes ?? 0,
      dropped: TRAFFIC_CLASSES.reduce((sum, name) => sum + traffic.classes[name].dropped, 0),
      classes: structuredClone(traffic.classes),
      bytesByType: Object.fromEntries(traffic.sentByType),
      receivedByType: Object.fromEntries(heard?.traffic.receivedByType ?? []),
    }
  }

  /** A message to many peers is written as bytes once. What cannot be a frame is dropped here, not at the peers. */
  #frame(message: unknown, trafficClass: TrafficClass): Frame | undefined {
    const last = this.#last
    if (last && last.message === message && last.trafficClass === trafficClass) return last.frame
    try {
      const frame = frameOf(message, trafficClass)
      // Only while the caller goes through its list: later the same object may say something else.
      if (!last) queueMicrotask(() => this.#forgetLast())
      this.#last = { message, trafficClass, frame }
      return frame
    } catch (error) {
      this.#options.telemetry.log('error', 'network.unsendable', { type: typeOf(message), error })
      return undefined
    }
  }

  #forgetLast(): void {
    this.#last = undefined
  }

  #sendToSelf(frame: Frame): void {
    if (this.#own.length === 0) setImmediate(() => this.#deliverOwn())
    this.#own.push(frame)
  }

  #deliverOwn(): void {
    const frames: Frame[] = []
    for (let frame = this.#own.shift(); frame; frame = this.#own.shift()) frames.push(frame)
    for (const frame of frames) this.#deliver(this.self, messageOf(frame))
  }

  /** A message that breaks its handler must not break the node: it is the handler's bug, whoever sent the message. */
  #deliver(from: Address, message: unknown): void {
    try {
      this.#handle(from, message)
    } catch (error) {
      this.#options.telemetry.log('error', 'network.handler_failed', { from, type: typeOf(message), error })
    }
  }

  #link(to: Address): TlsLink | undefined {
    const known = this.#links.get(to)
    if (known) return known
    const member = () => this.#members().byNode.get(to)
    if (!member()) return undefined
    const link = new TlsLink({ identities: () => this.#held, member, waiting: this.#waiting, total: this.#total })
    this.#links.set(to, link)
    return link
  }

  #heardOf(node: Address): Heard {
    const known = this.#heard.get(node)
    if (known) return known
    const heard = { lastSeen: 0, traffic: newTraffic() }
    this.#heard.set(node, heard)
    return heard
  }

  /** With too much waiting in all, half of what waits for whom most waits for goes. */
  #shed(): void {
    const queues = [this.#own, ...[...this.#links.values()].map(({ queue }) => queue)]
    const longest = queues.reduce((longest, queue) => (queue.bytes > longest.bytes ? queue : longest))
    longest.shed(longest.bytes / 2)
  }

  /** Brings connections in line with the registry: who left, whose key or address changed, and our own key. */
  #check(): void {
    this.#checkOwnKey()
    this.#listener?.check()
    this.#dropDeparted()
    for (const [node, link] of this.#links) {
      link.check()
      this.#noteLag(node, link)
    }
  }

  #checkOwnKey(): void {
    const before = this.identity.transportKey
    try {
      this.#held = this.#ownKeys()
    } catch (error) {
      this.#options.telemetry.log('error', 'network.keys_unreadable', { error })
    }
    const { transportKey } = this.identity
    if (transportKey === before) return
    this.#options.telemetry.log('info', 'network.key_changed', { transportKey })
    this.#listener?.present()
    for (const link of this.#links.values()) link.redial()
  }

  #dropDeparted(): void {
    const { byNode } = this.#members()
    for (const [node, link] of this.#links) {
      if (byNode.has(node)) continue
      link.close()
      this.#links.delete(node)
      this.#lagging.delete(node)
    }
    for (const node of this.#heard.keys()) if (!byNode.has(node)) this.#heard.delete(node)
  }

  #noteLag(node: Address, { queue, traffic }: TlsLink): void {
    if (queue.lagging === this.#lagging.has(node)) return
    const { dropped } = traffic.classes.live
    if (queue.lagging) this.#lagging.add(node)
    else this.#lagging.delete(node)
    if (queue.lagging) this.#options.telemetry.log('warn', 'network.peer_lagging', { node, dropped })
    else this.#options.telemetry.log('info', 'network.peer_caught_up', { node, dropped })
  }

  #ownKeys(): readonly TransportIdentity[] {
    const registered = this.#members().byNode.get(this.self)?.transportKey
    const held = this.#options.transports(registered)
    const named = held.filter(({ transportKey }) => transportKey === registered)
    return [...named, ...held.filter(({ transportKey }) => transportKey !== registered)]
  }
}

type MemberIndex = {
  readonly byNode: ReadonlyMap<Address, Member>
  readonly byKey: ReadonlyMap<Bytes32, Member>
}

/** The members by node and by key; the same list is gone through once. */
function memberIndex(members: () => readonly Member[]): () => MemberIndex {
  let list: readonly Member[] | undefined
  let index: MemberIndex
  return () => {
    const present = members()
    if (present !== list) {
      list = present
      index = {
        byNode: new Map(list.map((member) => [member.node, member])),
        byKey: new Map(list.map((member) => [member.transportKey, member])),
      }
    }
    return index
  }
}
