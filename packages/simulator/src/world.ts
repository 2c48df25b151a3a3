/** A whole network from one seed: six anchors, six service nodes, epochs, an issuer, a token, an outside system, and checkers. */
import {
  AnchoringNode,
  LOCAL_PARAMETERS,
  type LoadedToken,
  type NodeContext,
  type Ports,
  ServiceNode,
  storeLog,
  type Telemetry,
} from '@smartlayer/node'
import {
  type Address,
  type Bytes32,
  domainOf,
  easDomain,
  formatTokenRef,
  type Hasher,
  type HealthParameters,
  type Homes,
  isSmartLayerError,
  LOCAL_HEALTH,
  networkIdOf,
  type Signer,
  type TokenRef,
  ZERO_32,
} from '@smartlayer/protocol'
import { Checkers, type Violation } from './checkers.ts'
import { type Skew, START_MS, simClock } from './clock.ts'
import { OutsideSystem } from './egress.ts'
import { type EpochPlan, planEpochs, viewDelayMs } from './epochs.ts'
import { KeyRing } from './identity.ts'
import type { Life } from './life.ts'
import { SimNetwork } from './network.ts'
import { drawsOf } from './random.ts'
import { counterSandbox, counterToken } from './script.ts'
import { Disk } from './store.ts'
import { Trace, VirtualTime } from './time.ts'

/** Four of them are home of a shard; who they are changes with the epochs. */
export const ANCHORS = 6
export const SERVICES = 6
/** Windows of a second: a node that is slow for some seconds is found out within a seed. */
const HEALTH: HealthParameters = {
  ...LOCAL_HEALTH,
  windowMs: 1_000,
  probesPerWindow: 1,
  objectives: { standard: { availability: 0.8, latencyMs: 512, stalenessMs: 3_000, failedCalls: 0.2 } },
  penaltyMs: 10_000,
}
const REGISTRY: Address = `0x${'a0'.repeat(20)}`

export type WorldOptions = {
  readonly keccak: Hasher
  readonly seam?: 'no-fsync' | 'clock-beyond-bound' | undefined
  /** Hears of every event, in words. */
  readonly onEvent?: ((line: string) => void) | undefined
  /** Draws the epochs: several, or one for a scene of something else. */
  readonly plan?: typeof planEpochs | undefined
}

/** One registered node: what outlives its crashes, and the life it lives now. */
export type Actor = {
  readonly name: string
  readonly role: 'anchor' | 'service'
  readonly signer: Signer
  readonly disk: Disk
  readonly skew: Skew
  /** How many epochs after the first it has seen. */
  epochsSeen: number
  life: Life | undefined
  anchor: AnchoringNode | undefined
  service: ServiceNode | undefined
}

export class World {
  readonly seed: number
  readonly time = new VirtualTime()
  readonly trace: Trace
  readonly keys: KeyRing
  readonly network: SimNetwork
  readonly outside: OutsideSystem
  readonly checkers: Checkers
  readonly actors: readonly Actor[]
  readonly byzantine = new Set<Address>()
  readonly token: LoadedToken
  readonly issuer: Signer
  readonly ref: TokenRef = { chainId: 1n, contract: `0x${'c0'.repeat(20)}`, tokenId: 7n }
  readonly context: NodeContext
  readonly epochs: EpochPlan
  crashes = 0
  violation: Violation | undefined

  constructor(seed: number, { keccak, seam, onEvent, plan = planEpochs }: WorldOptions) {
    this.seed = seed
    this.trace = new Trace(onEvent)
    this.keys = new KeyRing(keccak)
    const { time, trace } = this
    const draws = drawsOf(seed, 'network')
    const domain = domainOf({ name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: REGISTRY }, keccak)
    this.issuer = this.keys.signer('issuer')
    this.token = counterToken(this.ref, this.issuer.address, keccak)
    this.network = new SimNetwork({
      time,
      trace,
      draws,
      observe: (life, _, message) => this.checkers.sent(life, message),
    })
    this.outside = new OutsideSystem({
      time,
      trace,
      draws: drawsOf(seed, 'outside'),
      observe: (life, request) => this.checkers.requested(life, request),
    })
    this.actors = Array.from({ length: ANCHORS + SERVICES }, (_, i) => this.#actor(i, seam))
    this.checkers = new Checkers({
      time,
      domain,
      keccak,
      leaseMs: LOCAL_PARAMETERS.leaseMs,
      epsilonMs: LOCAL_PARAMETERS.epsilonMs,
      skewOf: (node) => this.actorOf(node).skew,
      byzantine: this.byzantine,
      failed: (violation) => {
        trace.note(time.now, `VIOLATION ${violation.invariant}: ${violation.detail}`)
        this.violation ??= violation
      },
    })
    const addresses = (actors: readonly Actor[]) => actors.map(({ signer }) => signer.address)
    const members = { anchors: addresses(this.anchors), services: addresses(this.services) }
    this.epochs = plan(members, drawsOf(seed, 'epochs'), keccak)
    this.context = this.#contextOf(domain, keccak)
    this.#scheduleEpochs()
  }

  get anchors(): readonly Actor[] {
    return this.actors.slice(0, ANCHORS)
  }

  get services(): readonly Actor[] {
    return this.actors.slice(ANCHORS)
  }

  /** The homes as they are now, for whoever reads the chain in time. */
  get homes(): Homes {
    const { startsAt, views } = this.epochs
    return views[startsAt.filter((at) => at <= this.time.now).length]!
  }

  /** The anchors that are home of a subject now. */
  homeOf(subject: Bytes32): readonly Actor[] {
    return this.homes.of(subject).anchors.map((node) => this.actorOf(node))
  }

  /** What one node knows: the same as all others, but of the epochs only what it has seen. */
  contextFor(actor: Actor): NodeContext {
    const homes = () => this.epochs.views[actor.epochsSeen]!
    return { ...this.context, homes, membership: () => homes().membership }
  }

  actorOf(node: Address): Actor {
    return this.actors.find((actor) => actor.signer.address === node)!
  }

  /** Brings a node up from what its disk holds. */
  start(actor: Actor): void {
    if (actor.life) return
    const life: Life = { node: actor.signer.address, name: actor.name, bornAt: this.time.now, alive: true }
    this.trace.note(this.time.now, `${actor.name} starts`)
    actor.life = life
    const ports = this.#ports(actor, life)
    const broken = (error: unknown) => this.checkers.fail('NO-BUGS', `${actor.name}: ${stackOf(error)}`)
    const endOfTurn = (run: () => void) => void this.time.at(0, run)
    if (actor.role === 'anchor') {
      actor.anchor = new AnchoringNode(ports, this.contextFor(actor), { endOfTurn })
      actor.anchor.start().catch(broken)
    } else {
      actor.service = new ServiceNode(ports, this.contextFor(actor), { secrets: { get: () => undefined }, endOfTurn })
      actor.service.start().catch(broken)
    }
  }

  crash(actor: Actor): void {
    const { life } = actor
    if (!life) return
    this.crashes++
    this.trace.note(this.time.now, `${actor.name} crashes`)
    life.alive = false
    actor.life = undefined
    actor.anchor = undefined
    actor.service = undefined
    actor.disk.crash()
    this.checkers.crashed(life, actor.disk)
  }

  /** From now on every message from and to a node is late by so much; 0 ends it. */
  slow(actor: Actor, ms: number): void {
    this.trace.note(this.time.now, ms > 0 ? `${actor.name} is slow by ${ms}` : `${actor.name} is quick again`)
    if (ms > 0) this.network.slow.set(actor.signer.address, ms)
    else this.network.slow.delete(actor.signer.address)
  }

  /** Asks every anchor for the placement, which makes them activate the token. */
  activate(): void {
    for (const { anchor } of this.anchors) anchor?.placement(formatTokenRef(this.ref)).catch(() => {})
  }

  #actor(index: number, seam: WorldOptions['seam']): Actor {
    const role = index < ANCHORS ? 'anchor' : 'service'
    const name = role === 'anchor' ? `anchor-${index}` : `service-${index - ANCHORS}`
    const draws = drawsOf(this.seed, `disk of ${name}`)
    const options = { time: this.time, draws, waitsForFsync: seam !== 'no-fsync' }
    const wrote = (writes: Parameters<Checkers['wrote']>[1]) => {
      if (role === 'anchor') this.checkers.wrote(name, writes)
    }
    const disk = new Disk({ ...options, wrote })
    const skew = { ms: Math.floor(drawsOf(this.seed, `clock of ${name}`).next() * LOCAL_PARAMETERS.epsilonMs) }
    const signer = this.keys.signer(name)
    return { name, role, signer, disk, skew, epochsSeen: 0, life: undefined, anchor: undefined, service: undefined }
  }

  #scheduleEpochs(): void {
    const draws = drawsOf(this.seed, 'views of epochs')
    for (const [i, at] of this.epochs.startsAt.entries()) {
      this.time.at(at, () => this.trace.note(this.time.now, `epoch ${i + 2} begins`))
      for (const actor of this.actors) {
        const see = () => {
          if (actor.epochsSeen < i + 1) actor.epochsSeen = i + 1
        }
        this.time.at(at + viewDelayMs(draws), see)
      }
    }
  }

  #contextOf(domain: NodeContext['domain'], keccak: Hasher): NodeContext {
    const { token } = this
    return {
      networkId: networkIdOf(1n, REGISTRY, keccak),
      domain,
      easDomain: easDomain({ chainId: 1n, eas: `0x${'42'.repeat(20)}` }, keccak),
      parameters: { ...LOCAL_PARAMETERS, checkpointEvery: 12, health: HEALTH },
      membership: () => this.homes.membership,
      homes: () => this.homes,
      tokens: {
        byInstance: (instance) => (instance === token.instance ? token : undefined),
        byContract: (contract) => ({ contract, rules: token.rules, checkFact: () => undefined }),
        load: async () => token,
        loadType: async (contract) => ({ contract, rules: token.rules, checkFact: () => undefined }),
      },
    }
  }

  #ports(actor: Actor, life: Life): Ports {
    const draws = drawsOf(this.seed, `${actor.name} born ${life.bornAt}`)
    const store = actor.disk.mount(life)
    return {
      clock: simClock(this.time, life, actor.skew),
      random: { bytes: (length) => draws.bytes(length) },
      store,
      log: storeLog(store),
      network: this.network.portFor(life),
      chain: this.#chain(),
      sandbox: counterSandbox(this.time, life, drawsOf(this.seed, `sandbox of ${actor.name} born ${life.bornAt}`)),
      egress: this.outside.portFor(life),
      identity: { signer: actor.signer, crypto: this.keys.crypto },
      telemetry: this.#telemetry(life),
    }
  }

  /** A chain that stands still: these members, this token, this owner. */
  #chain(): Ports['chain'] {
    const block = { number: 1n, hash: ZERO_32, timestamp: START_MS / 1000n }
    return {
      members: async () => this.homes.membership.members,
      registration: async (contract) => ({
        contract,
        owner: this.issuer.address,
        scriptHash: this.token.rules.scriptHash,
        scriptUri: '',
        registeredAt: 0n,
      }),
      ownerOf: async () => ({ owner: this.issuer.address, block }),
    }
  }

  /** What nodes tell their operator is part of the trace; an error that is not a typed refusal is a bug. */
  #telemetry(life: Life): Telemetry {
    return {
      log: (level, event, facts) => {
        if (!life.alive || level === 'debug') return
        const error = facts?.error
        this.trace.note(this.time.now, `${life.name} ${event} ${briefly(facts)}`)
        if (error instanceof Error && !isSmartLayerError(error)) {
          this.checkers.fail('NO-BUGS', `${life.name} ${event}: ${stackOf(error)}`)
        }
      },
      count: () => {},
    }
  }
}

function briefly(facts: Readonly<Record<string, unknown>> = {}): string {
  return Object.entries(facts)
    .map(
      ([key, value]) => `${key}=${value instanceof Error ? value.message.slice(0, 120) : String(value).slice(0, 24)}`,
    )
    .join(' ')
}

function stackOf(error: unknown): string {
  return String((error as Error)?.stack ?? error)
}
