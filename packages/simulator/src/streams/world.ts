/** Home anchors of streams, followers and a subscriber from one seed: the real services, without elections and journals. */
import {
  EntryDoor,
  InputBuffer,
  LOCAL_PARAMETERS,
  type Network,
  type NodeContext,
  type Ports,
  PostOffice,
  RevocationBook,
  Standings,
  type StreamLog,
  StreamService,
  storeLog,
  type Telemetry,
} from '@smartlayer/node'
import {
  type Address,
  type Bytes32,
  domainOf,
  easDomain,
  type Hasher,
  homesOver,
  isSmartLayerError,
  KEEP_ALL,
  LOCAL_DIRECTORY,
  laneOf,
  type Membership,
  networkIdOf,
  type Signer,
  streamOf,
  subsetOf,
  tokenTypeOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { type Skew, START_MS, simClock } from '../clock.ts'
import { KeyRing } from '../identity.ts'
import type { Life } from '../life.ts'
import { type Sent, SimNetwork } from '../network.ts'
import { drawsOf } from '../random.ts'
import { Disk, logOn } from '../store.ts'
import { Trace, VirtualTime } from '../time.ts'
import { StreamCheckers, type StreamViolation } from './checkers.ts'
import { type FollowedSubset, FollowerNode } from './follower.ts'
import { Issuer, type IssuerPlan } from './issuer.ts'
import type { Liar } from './liar.ts'
import { StreamWriter } from './writer.ts'

export const ANCHORS = 4
/** 2f + 1 of them. */
export const QUORUM = 3
const REGISTRY: Address = `0x${'a0'.repeat(20)}`
const CONTRACT: Address = `0x${'c0'.repeat(20)}`
/** Readable keys of the subsets that issuers write into. */
export const SUBSETS = ['flight/LH454', 'flight/LH455', 'flight/LH456'] as const
export const REVOCATIONS = '~revocations'
const STREAMS_AT_START = 64
const ENTRIES_AT_START = 4_096

export type Actor = {
  readonly name: string
  readonly role: 'anchor' | 'follower'
  readonly signer: Signer
  readonly disk: Disk
  readonly skew: Skew
  readonly follows: readonly FollowedSubset[]
  life: Life | undefined
  service: StreamService | undefined
  follower: FollowerNode | undefined
}

export type StreamWorldOptions = {
  readonly keccak: Hasher
  readonly followers: number
  readonly issuers: readonly IssuerPlan[]
  /** Hears of every event, in words. */
  readonly onEvent?: ((line: string) => void) | undefined
}

export class StreamWorld {
  readonly seed: number
  readonly time = new VirtualTime()
  readonly trace: Trace
  readonly keys: KeyRing
  readonly network: SimNetwork
  readonly checkers: StreamCheckers
  readonly actors: readonly Actor[]
  readonly issuers: readonly Issuer[]
  readonly byzantine = new Set<Address>()
  readonly context: NodeContext
  /** Lies for the one anchor that does. */
  liar: Liar | undefined
  crashes = 0
  violation: StreamViolation | undefined

  constructor(seed: number, { keccak, followers, issuers, onEvent }: StreamWorldOptions) {
    this.seed = seed
    this.trace = new Trace(onEvent)
    this.keys = new KeyRing(keccak)
    const { time, trace } = this
    this.network = new SimNetwork({
      time,
      trace,
      draws: drawsOf(seed, 'network'),
      observe: (life, to, message) => this.checkers.sent(life, to, message),
    })
    const streams = issuers.map((_, i) => this.#streamOf(i))
    const follows = followedBy(seed, { followers, streams, keccak })
    this.actors = Array.from({ length: ANCHORS + followers }, (_, i) => this.#actor(i, follows[i - ANCHORS] ?? []))
    const domain = domainOf({ name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: REGISTRY }, keccak)
    this.context = this.#contextOf(domain, issuers.length)
    this.checkers = new StreamCheckers({
      time,
      domain,
      crypto: this.keys.crypto,
      membership: this.context.membership(),
      anchors: new Set(this.anchors.map(({ signer }) => signer.address)),
      byzantine: this.byzantine,
      failed: (violation) => {
        trace.note(time.now, `VIOLATION ${violation.invariant}: ${violation.detail}`)
        this.violation ??= violation
      },
    })
    this.issuers = issuers.map((plan, i) => this.#issuer(i, plan))
  }

  get anchors(): readonly Actor[] {
    return this.actors.slice(0, ANCHORS)
  }

  get followers(): readonly Actor[] {
    return this.actors.slice(ANCHORS)
  }

  /** Anchors that do not lie. */
  get honest(): readonly Actor[] {
    return this.anchors.filter(({ signer }) => !this.byzantine.has(signer.address))
  }

  /** Brings a node up from what its disk holds. */
  start(actor: Actor): void {
    if (actor.life) return
    const life: Life = { node: actor.signer.address, name: actor.name, bornAt: this.time.now, alive: true }
    this.trace.note(this.time.now, `${actor.name} starts`)
    actor.life = life
    const ports = this.#ports(actor, life)
    const post = new PostOffice(ports)
    if (actor.role === 'anchor') this.#startAnchor(actor, ports, post)
    else actor.follower = this.#follower(actor, ports, post)
  }

  crash(actor: Actor): void {
    const { life } = actor
    if (!life) return
    this.crashes++
    this.trace.note(this.time.now, `${actor.name} crashes`)
    life.alive = false
    actor.life = undefined
    actor.service = undefined
    actor.follower = undefined
    actor.disk.crash()
  }

  #startAnchor(actor: Actor, ports: Ports, post: PostOffice): void {
    this.checkers.started(actor.signer.address, actor.name, entriesOn(actor.disk))
    const service = new StreamService(ports, this.context, {
      post: post,
      standings: new Standings(ports, this.context),
    })
    post.on('refused', (from, { instance, about, code, facts }) => {
      if (about === 'publish') service.refused(from, instance, { code, facts: JSON.parse(facts) })
    })
    actor.service = service
    service.start()
  }

  #follower(actor: Actor, ports: Ports, post: PostOffice): FollowerNode {
    const revocations = new RevocationBook(ports.store, this.keys.crypto.keccak)
    const door = new EntryDoor(ports, this.context, revocations)
    return new FollowerNode(ports, {
      name: actor.name,
      follows: actor.follows,
      disk: actor.disk,
      door,
      revocations,
      inputs: (onArrival) => new InputBuffer(ports, this.context, { post, door, revocations }, onArrival),
      anchors: () => this.anchors,
      byzantine: this.byzantine,
      keccak: this.keys.crypto.keccak,
      checkers: this.checkers,
      note: (text) => this.trace.note(this.time.now, text),
    })
  }

  #issuer(index: number, plan: IssuerPlan): Issuer {
    const { networkId, easDomain: domain } = this.context
    const { crypto } = this.keys
    const draws = drawsOf(this.seed, `issuer ${index}`)
    const writer = new StreamWriter({
      crypto,
      draws,
      networkId,
      domain,
      tokenType: tokenTypeFor(crypto.keccak),
      recipient: CONTRACT,
      lane: laneOf('facts', crypto.keccak),
      stream: this.#streamOf(index),
      signer: this.#issuerKey(index),
      now: () => (START_MS + BigInt(Math.floor(this.time.now)) - 1_000n) / 1_000n,
      made: (made) => this.checkers.chains.add(made),
    })
    return new Issuer({
      name: `issuer-${index}`,
      time: this.time,
      trace: this.trace,
      draws,
      keccak: crypto.keccak,
      writer,
      subsets: [...SUBSETS, REVOCATIONS],
      plan,
      signer: (name) => this.keys.signer(`issuer ${index} ${name}`),
      anchors: () => this.anchors,
      liar: () => this.liar,
      checkers: this.checkers,
    })
  }

  #issuerKey(index: number): Signer {
    return this.keys.signer(`issuer ${index}`)
  }

  #streamOf(index: number): Bytes32 {
    const { keccak } = this.keys.crypto
    return streamOf(this.#issuerKey(index).address, tokenTypeFor(keccak), laneOf('facts', keccak), keccak)
  }

  #actor(index: number, follows: readonly FollowedSubset[]): Actor {
    const role = index < ANCHORS ? 'anchor' : 'follower'
    const name = role === 'anchor' ? `anchor-${index}` : `follower-${index - ANCHORS}`
    const { time } = this
    const disk = new Disk({ time, draws: drawsOf(this.seed, `disk of ${name}`), waitsForFsync: true, wrote: () => {} })
    const skew = { ms: Math.floor(drawsOf(this.seed, `clock of ${name}`).next() * LOCAL_PARAMETERS.epsilonMs) }
    const nothing = { life: undefined, service: undefined, follower: undefined }
    return { name, role, signer: this.keys.signer(name), disk, skew, follows, ...nothing }
  }

  #contextOf(domain: NodeContext['domain'], issuers: number): NodeContext {
    const { keccak } = this.keys.crypto
    const membership: Membership = {
      epoch: 1n,
      beacon: `0x${'be'.repeat(32)}`,
      earlierBeacons: [],
      directory: { ...LOCAL_DIRECTORY, shardCount: 16, homeSize: 31 },
      members: this.actors.map(({ signer, role }) => ({
        node: signer.address,
        role: role === 'anchor' ? 'anchor' : 'service',
        transportKey: ZERO_32,
        overlay: '',
        api: '',
        operator: ZERO_32,
        platform: ZERO_32,
        stake: 1n,
      })),
    }
    const lane = laneOf('facts', keccak)
    const rules = Array.from({ length: issuers }, (_, i) => ({
      issuer: this.#issuerKey(i).address,
      lane,
      retention: KEEP_ALL,
    }))
    const type = {
      contract: CONTRACT,
      rules: {
        tokenType: tokenTypeFor(keccak),
        scriptHash: ZERO_32,
        inputs: Object.fromEntries(rules.map((rule, i) => [`facts${i}`, rule])),
        actions: {},
        effects: {},
      },
      checkFact: () => undefined,
    }
    const homes = homesOver([membership], keccak)
    return {
      networkId: networkIdOf(1n, REGISTRY, keccak),
      domain,
      easDomain: easDomain({ chainId: 1n, eas: `0x${'42'.repeat(20)}` }, keccak),
      parameters: LOCAL_PARAMETERS,
      membership: () => membership,
      homes: () => homes,
      tokens: {
        byInstance: () => undefined,
        byContract: (contract) => (contract === CONTRACT ? type : undefined),
        load: () => Promise.reject(new Error('there are no instances here')),
        loadType: async () => type,
      },
    }
  }

  #ports(actor: Actor, life: Life): Ports {
    const draws = drawsOf(this.seed, `${actor.name} born ${life.bornAt}`)
    const store = actor.disk.mount(life)
    const unused = undefined as never
    return {
      clock: simClock(this.time, life, actor.skew),
      random: { bytes: (length) => draws.bytes(length) },
      store,
      log: this.#watchedLog(life, storeLog(store)),
      network: this.#networkOf(life),
      chain: unused,
      sandbox: unused,
      egress: unused,
      identity: { signer: actor.signer, crypto: this.keys.crypto },
      telemetry: this.#telemetry(life),
    }
  }

  /** The log of an anchor, with the checkers between it and the service: they hear first of what is durable. */
  #watchedLog(life: Life, log: StreamLog): StreamLog {
    const { checkers } = this
    return {
      ...log,
      append: (entries) => log.append(entries).then(() => checkers.appended(life.node, entries)),
      truncate: (stream, after) => {
        checkers.truncating(life.node, stream, after)
        return log.truncate(stream, after).then(() => checkers.truncated(life.node, stream, after))
      },
    }
  }

  #networkOf(life: Life): Network {
    const port = this.network.portFor(life)
    if (this.byzantine.has(life.node) && this.liar) return this.liar.speakingThrough(port)
    return {
      ...port,
      receive: (handle) =>
        port.receive((from, message) => {
          this.checkers.heard(life.node, message as Sent)
          handle(from, message)
        }),
    }
  }

  /** What nodes tell their operator is part of the trace; an error that is not a typed refusal is a bug. */
  #telemetry(life: Life): Telemetry {
    return {
      log: (level, event, facts = {}) => {
        if (!life.alive || level === 'debug') return
        const { error } = facts
        this.trace.note(this.time.now, `${life.name} ${event} ${briefly(facts)}`)
        const isBug = (error instanceof Error && !isSmartLayerError(error)) || level === 'error'
        if (isBug) this.checkers.fail('NO-BUGS', `${life.name} ${event}: ${String((error as Error)?.stack ?? error)}`)
      },
      count: () => {},
    }
  }
}

function tokenTypeFor(keccak: Hasher): Bytes32 {
  return tokenTypeOf({ chainId: 1n, contract: CONTRACT }, keccak)
}

/** Followers follow some subsets each; the first one a whole stream. */
function followedBy(
  seed: number,
  { followers, streams, keccak }: { followers: number; streams: readonly Bytes32[]; keccak: Hasher },
): readonly (readonly FollowedSubset[])[] {
  const draws = drawsOf(seed, 'followers')
  const names = [...SUBSETS, REVOCATIONS]
  return Array.from({ length: followers }, (_, i) => {
    if (i === 0) return streams.slice(0, 1).map((stream) => ({ stream, subset: stream }))
    const all = streams.flatMap((stream) => names.map((name) => ({ stream, subset: subsetOf(name, keccak) })))
    return all.filter(() => draws.chance(0.4))
  })
}

function entriesOn(disk: Disk) {
  const log = logOn(disk)
  return log
    .streams({ after: undefined, limit: STREAMS_AT_START })
    .flatMap((stream) => log.read(stream, { after: 0n, limit: ENTRIES_AT_START }))
}

function briefly(facts: Readonly<Record<string, unknown>>): string {
  return Object.entries(facts)
    .map(
      ([key, value]) => `${key}=${value instanceof Error ? value.message.slice(0, 120) : String(value).slice(0, 24)}`,
    )
    .join(' ')
}
