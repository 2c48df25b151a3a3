/** Home anchors and followers of streams in memory, on a virtual clock and a network that can lose messages and be cut. */
import {
  type Address,
  domainOf,
  type Hex,
  homesOver,
  KEEP_ALL,
  LOCAL_DIRECTORY,
  type Membership,
  nobleSigner,
  type Retention,
  type WireMessage,
  ZERO_32,
} from '@smartlayer/protocol'
import { TEST } from '@smartlayer/protocol/testing'
import { fastCrypto } from '../adapters/fast-crypto.ts'
import { storeLog } from '../adapters/store-log.ts'
import { LOCAL_PARAMETERS, type NodeContext } from '../context.ts'
import { Standings } from '../directory/standings.ts'
import { InputBuffer } from '../execution/input-buffer.ts'
import type { Network } from '../ports/network.ts'
import type { Ports } from '../ports/ports.ts'
import { EntryDoor } from '../stream/entry-door.ts'
import { RevocationBook } from '../stream/revocation-book.ts'
import { StreamService } from '../stream/stream-service.ts'
import { PostOffice } from '../wire/post-office.ts'
import { memoryStore, VirtualTime } from './memory-world.ts'

export type StreamWorldOptions = {
  readonly anchors?: number
  readonly followers?: number
  readonly issuers: readonly Address[]
  readonly retention?: Retention
  readonly hotS?: bigint
  /** Takes the place of the log on a store. */
  readonly logOf?: (store: Ports['store']) => Ports['log']
}
type Anchor = { readonly node: Address; service: StreamService; readonly store: { current: Ports['store'] } }
type FollowerNode = {
  readonly node: Address
  readonly inputs: InputBuffer
  readonly revocations: RevocationBook
  readonly cursors: Map<Hex, bigint>
}

export class StreamWorld {
  readonly time = new VirtualTime()
  readonly anchors: Anchor[] = []
  readonly followers: FollowerNode[] = []
  readonly membership: Membership
  readonly context: NodeContext
  /** Bytes that reached each node, by wire type. */
  readonly received = new Map<Address, Map<string, number>>()
  /** Nodes that nothing reaches and that reach nobody. */
  readonly cut = new Set<Address>()
  loss = 0
  /** Hears of every message that is sent. */
  observe: (message: object) => void = () => {}
  readonly #crypto: Awaited<ReturnType<typeof fastCrypto>>
  readonly #handlers = new Map<Address, (from: Address, message: unknown) => void>()
  readonly #logOf: (store: Ports['store']) => Ports['log']
  #seed = 1

  private constructor(crypto: Awaited<ReturnType<typeof fastCrypto>>, options: StreamWorldOptions) {
    this.#crypto = crypto
    const { anchors = 4, followers = 0, issuers, retention = KEEP_ALL } = options
    this.#logOf = options.logOf ?? storeLog
    const keys = Array.from({ length: anchors + followers }, (_, i) => keyOf(i + 1))
    this.membership = {
      epoch: 1n,
      beacon: `0x${'be'.repeat(32)}`,
      earlierBeacons: [],
      directory: { ...LOCAL_DIRECTORY, shardCount: 16, homeSize: 31 },
      members: keys.map((key, i) => ({
        node: nobleSigner(key).address,
        role: i < anchors ? 'anchor' : 'service',
        transportKey: ZERO_32,
        overlay: '',
        api: '',
        operator: ZERO_32,
        platform: ZERO_32,
        stake: 1n,
      })),
    }
    this.context = this.#contextOf(issuers, { retention, hotS: options.hotS })
    for (const key of keys.slice(0, anchors)) this.#addAnchor(key)
    for (const key of keys.slice(anchors)) this.#addFollower(key)
  }

  static async open(options: StreamWorldOptions): Promise<StreamWorld> {
    return new StreamWorld(await fastCrypto(), options)
  }

  /** Starts an anchor anew, on its disk or, `wiped`, on an empty one. */
  restart(index: number, { wiped = false } = {}): void {
    const anchor = this.anchors[index]!
    anchor.service.stop()
    if (wiped) anchor.store.current = memoryStore(this.time)
    anchor.service = this.#service(keyOf(index + 1), anchor.store.current)
  }

  /** Brings a message to a node as if it came over the network. */
  deliver(from: Address, to: Address, message: unknown): void {
    this.#handlers.get(to)?.(from, message)
  }

  bytesAt(node: Address, type?: WireMessage['type']): number {
    const counted = this.received.get(node)
    if (type) return counted?.get(type) ?? 0
    return [...(counted?.values() ?? [])].reduce((sum, bytes) => sum + bytes, 0)
  }

  #addAnchor(key: Hex): void {
    const store = { current: memoryStore(this.time) }
    this.anchors.push({ node: nobleSigner(key).address, store, service: this.#service(key, store.current) })
  }

  #service(key: Hex, store: Ports['store']): StreamService {
    const ports = this.#ports(key, store)
    const service = new StreamService(ports, this.context, {
      post: new PostOffice(ports),
      standings: new Standings(ports, this.context),
    })
    service.start()
    return service
  }

  #addFollower(key: Hex): void {
    const ports = this.#ports(key, memoryStore(this.time))
    const revocations = new RevocationBook(ports.store, this.#crypto.crypto.keccak)
    const door = new EntryDoor(ports, this.context, revocations)
    const inputs = new InputBuffer(ports, this.context, { post: new PostOffice(ports), door, revocations }, () => {})
    this.followers.push({ node: ports.identity.signer.address, inputs, revocations, cursors: new Map() })
  }

  #ports(key: Hex, store: Ports['store']): Ports {
    const signer = this.#crypto.signer(key)
    const { time } = this
    const ports = {
      clock: {
        now: () => TEST.timeS * 1_000n + BigInt(Math.floor(time.now)),
        monotonic: () => time.now,
        after: (delayMs: number, run: () => void) => time.at(delayMs, run),
      },
      random: { bytes: (length: number) => Uint8Array.from({ length }, () => Math.floor(this.#draw() * 256)) },
      store,
      log: this.#logOf(store),
      network: this.#network(signer.address),
      identity: { signer, crypto: this.#crypto.crypto },
      telemetry: {
        log: (level: string, event: string, facts?: Readonly<Record<string, unknown>>) => {
          if (level === 'error') throw new Error(`${event} ${String((facts?.error as Error)?.stack)}`)
          if (process.env.TRACE) console.log(time.now, signer.address.slice(0, 6), level, event, facts)
        },
        count: () => {},
      },
    }
    return ports as unknown as Ports
  }

  #network(self: Address): Network {
    return {
      self,
      send: (to, message) => {
        this.observe(message as object)
        if (this.cut.has(self) || this.cut.has(to) || this.#draw() < this.loss) return
        const text = JSON.stringify(message)
        this.time.at(1 + this.#draw() * 4, () => {
          const { type } = message as { type: string }
          const counted = this.received.get(to) ?? new Map<string, number>()
          this.received.set(to, counted.set(type, (counted.get(type) ?? 0) + text.length))
          this.#handlers.get(to)?.(self, JSON.parse(text))
        })
      },
      receive: (handle) => void this.#handlers.set(self, handle),
    }
  }

  #contextOf(
    issuers: readonly Address[],
    { retention, hotS }: { retention: Retention; hotS: bigint | undefined },
  ): NodeContext {
    const { networkId, easDomain, tokenType, lane, contract, registry } = TEST
    const inputs = Object.fromEntries(issuers.map((issuer, i) => [`input${i}`, { issuer, lane, retention }]))
    const rules = { tokenType, scriptHash: ZERO_32, inputs, actions: {}, effects: {} }
    const type = { contract, rules, checkFact: () => undefined }
    const { keccak } = this.#crypto.crypto
    const homes = homesOver([this.membership], keccak)
    return {
      networkId,
      domain: domainOf({ name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: registry }, keccak),
      easDomain,
      parameters: { ...LOCAL_PARAMETERS, hotS },
      membership: () => this.membership,
      homes: () => homes,
      tokens: {
        byInstance: () => undefined,
        byContract: (asked) => (asked === contract ? type : undefined),
        load: () => Promise.reject(new Error('no tokens here')),
        loadType: async () => type,
      },
    }
  }

  /** Mulberry32: the same numbers in every run. */
  #draw(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0
    let t = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

function keyOf(n: number): Hex {
  return `0x${n.toString(16).padStart(64, '0')}`
}
