/** Probes service nodes at random times: over the overlay, and as a client would; each window it signs what it measured. */
import {
  type Address,
  type AnchorRecord,
  anchorsOf,
  type Bytes32,
  type Hex,
  hasRunningPlacement,
  type Member,
  Ping,
  Pong,
  ProbeSample,
  SAMPLES_LIMIT,
  type SignedSample,
  serviceNodesOf,
  toHex,
  ZERO_32,
} from '@smartlayer/protocol'
import type { LoadedToken } from '../context.ts'
import type { RecordBook } from '../election/record-book.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import { drawOf } from '../stream/draw.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { HealthParts } from './health-parts.ts'
import type { Heartbeats } from './heartbeats.ts'
import type { Ledger } from './ledger.ts'
import { LedgerStore, signedWrite } from './ledger-store.ts'
import { Positions } from './positions.ts'
import type { QueryProbe } from './query-probe.ts'
import { type ProbeEnd, Tally } from './tally.ts'

/** Part of the probes that go over the public API. */
const QUERY_SHARE = 0.25
/** A probe without an answer is sent again after the network's retry time, so often; then the node counts as not there. */
const TRIES = 6
/** A node is asked about one instance for so many windows: who falls behind in it is found out. */
const WINDOWS_PER_INSTANCE = 8
/** A replica has this many leases to catch up before its position counts. */
const CATCH_UP_LEASES = 2

type Probe = { readonly instance: Bytes32; readonly tries: Map<Bytes32, number>; sentAt: number }
type Watched = {
  member: Member
  tally: Tally
  nextAt: number
  probe: Probe | undefined
  asking: boolean
  token: LoadedToken | undefined
  tokenUntil: bigint
}
type Parts = {
  readonly parts: HealthParts
  readonly post: PostOffice
  readonly book: RecordBook
  readonly heartbeats: Heartbeats
  readonly ledger: Ledger
  /** Instances that this anchor keeps active. */
  readonly tokens: () => readonly LoadedToken[]
  /** Without it only the overlay is probed. */
  readonly queries: QueryProbe | undefined
}
type ServicePorts = Pick<Ports, 'clock' | 'random' | 'store' | 'telemetry'>

export class Prober {
  readonly #ports: ServicePorts
  readonly #with: Parts
  readonly #watched = new Map<Address, Watched>()
  readonly #positions = new Positions()
  readonly #store: LedgerStore
  #placed = new Map<Address, LoadedToken[]>()
  #window: bigint
  #timer: Cancel

  constructor(ports: ServicePorts, parts: Parts) {
    this.#ports = ports
    this.#with = parts
    this.#store = new LedgerStore(ports.store)
    this.#window = this.#parts.windowOf(ports.clock.now())
    parts.post.on('pong', (from, message) => this.#pong(from, message))
    this.#timer = ports.clock.after(parts.parts.context.parameters.retryMs, () => this.#tick())
  }

  stop(): void {
    this.#timer()
  }

  #tick(): void {
    const { retryMs } = this.#parts.context.parameters
    try {
      this.#rollWindow()
      for (const watched of this.#probed()) this.#beat(watched)
    } catch (error) {
      this.#ports.telemetry.log('warn', 'health.not_probed', { error })
    }
    this.#timer = this.#ports.clock.after(retryMs, () => this.#tick())
  }

  /** The service nodes that this anchor probes. */
  #probed(): readonly Watched[] {
    const members = serviceNodesOf(this.#parts.context.membership())
    return members
      .filter(({ node }) => this.#parts.probers(node).anchors.includes(this.#parts.self))
      .map((member) => {
        const watched = this.#watched.get(member.node) ?? this.#watch(member)
        watched.member = member // it may have moved
        this.#watched.set(member.node, watched)
        return watched
      })
  }

  #watch(member: Member): Watched {
    const base = { member, tally: new Tally(), probe: undefined, asking: false, token: undefined, tokenUntil: 0n }
    return { ...base, nextAt: this.#ports.clock.monotonic() + this.#draw() * this.#pauseMs }
  }

  #beat(watched: Watched): void {
    const now = this.#ports.clock.monotonic()
    if (watched.probe) return this.#again(watched, watched.probe, now)
    if (now < watched.nextAt) return
    // Uniform around the mean: a node cannot know when it is looked at.
    watched.nextAt = now + (0.5 + this.#draw()) * this.#pauseMs
    const token = this.#tokenAt(watched)
    if (token) this.#positions.note(token.instance, this.#with.book.get(token.instance).committed.n, now)
    if (this.#with.queries && !watched.asking && this.#draw() < QUERY_SHARE) return this.#ask(watched, token)
    watched.probe = { instance: token?.instance ?? ZERO_32, tries: new Map(), sentAt: now }
    this.#ping(watched, watched.probe, now)
  }

  #again(watched: Watched, probe: Probe, now: number): void {
    if (now - probe.sentAt < this.#parts.context.parameters.retryMs) return
    if (probe.tries.size < TRIES) return this.#ping(watched, probe, now)
    if (now - probe.sentAt < this.#timeoutMs) return
    this.#ended(watched, { end: 'unanswered' })
  }

  /** Every try has its own name, so that the latency is that of the try which was answered. */
  #ping({ member }: Watched, probe: Probe, now: number): void {
    const nonce = toHex(this.#ports.random.bytes(32))
    const ping: Ping = { prober: this.#parts.self, node: member.node, nonce, instance: probe.instance }
    probe.tries.set(toHex(this.#parts.digest(Ping, ping)), now)
    probe.sentAt = now
    this.#with.post.send(member.node, { type: 'ping', ping, signature: this.#parts.sign(Ping, ping) })
  }

  #pong(from: Address, { pong, signature }: { pong: Pong; signature: Hex }): void {
    const watched = this.#watched.get(from)
    const sentAt = watched?.probe?.tries.get(pong.ping)
    if (!watched?.probe || sentAt === undefined || this.#parts.signerOf(Pong, pong, signature) !== from) return
    const now = this.#ports.clock.monotonic()
    const { instance } = watched.probe
    this.#ended(watched, {
      end: 'answered',
      latencyMs: now - sentAt,
      stalenessMs: this.#staleness(instance, pong.n, now),
    })
  }

  #ask(watched: Watched, token: LoadedToken | undefined): void {
    watched.asking = true
    const startedIn = this.#window
    this.#with.queries
      ?.ask(watched.member, token, this.#timeoutMs)
      .then((asked) => {
        if (asked.end !== 'answered') {
          // Where the others that have to confirm are gone, a refusal is not this node's fault.
          if (asked.end === 'failed' && token && !this.#isBlamable(token.instance)) return
          return watched.tally.count(asked, this.#staleLimitMs)
        }
        const now = this.#ports.clock.monotonic()
        const stalenessMs = token && asked.n !== undefined ? this.#staleness(token.instance, asked.n, now) : 0
        watched.tally.count({ end: 'answered', latencyMs: asked.latencyMs, stalenessMs }, this.#staleLimitMs)
      })
      .catch((error) => this.#ports.telemetry.log('warn', 'health.not_probed', { window: startedIn, error }))
      .finally(() => {
        watched.asking = false
      })
  }

  #ended(watched: Watched, end: ProbeEnd): void {
    watched.probe = undefined
    watched.tally.count(end, this.#staleLimitMs)
  }

  #staleness(instance: Bytes32, n: bigint, now: number): number {
    return instance !== ZERO_32 && this.#isBlamable(instance) ? this.#positions.stalenessMs(instance, n, now) : 0
  }

  /** A replica can only be as far as a majority is: while that is gone nobody is blamed for an old position. */
  #isBlamable(instance: Bytes32): boolean {
    const replicas = this.#with.book.get(instance).placement?.placement.replicas ?? []
    const alive = replicas.filter((node) => this.#with.heartbeats.isAlive(node))
    return 2 * alive.length > replicas.length
  }

  /** The instance that a node is asked about: one that has been placed on it for a while. */
  #tokenAt(watched: Watched): LoadedToken | undefined {
    const { member, token, tokenUntil } = watched
    if (token && this.#window < tokenUntil && this.#isSettled(token, member.node)) return token
    const candidates = (this.#placed.get(member.node) ?? []).filter((each) => this.#isSettled(each, member.node))
    watched.token = candidates[Math.floor(this.#draw() * candidates.length)]
    watched.tokenUntil = this.#window + BigInt(WINDOWS_PER_INSTANCE * this.#parts.health.windowMs)
    return watched.token
  }

  #isSettled({ instance }: LoadedToken, node: Address): boolean {
    const { leaseMs, epsilonMs } = this.#parts.context.parameters
    const record = this.#with.book.get(instance)
    const now = this.#ports.clock.now()
    if (!isPlacedOn(record, node) || !hasRunningPlacement(record, { now, epsilonMs: BigInt(epsilonMs) })) return false
    return now - record.placement!.placement.notBefore >= BigInt(CATCH_UP_LEASES * leaseMs)
  }

  /** Once per window: signs and spreads what was measured, and looks anew at what is placed where. */
  #rollWindow(): void {
    const next = this.#parts.windowOf(this.#ports.clock.now())
    if (next <= this.#window) return
    const start = this.#window
    this.#window = next
    this.#placed = this.#placements()
    this.#close(start)
  }

  #close(start: bigint): void {
    // A clock that was set back, or a restart, must not lead to two samples for one window.
    const already = start <= this.#store.signed
    const samples = [...this.#watched.values()]
      .filter(({ tally }) => !tally.isEmpty && !already)
      .map((watched) => this.#sign(watched, start))
    const stillProbed = new Set(this.#probed())
    for (const watched of this.#watched.values()) {
      watched.tally = new Tally()
      if (!stillProbed.has(watched)) this.#watched.delete(watched.member.node)
    }
    if (samples.length === 0) return
    this.#store
      .commit([signedWrite(start)])
      .then(() => this.#spread(samples))
      .catch((error) => this.#ports.telemetry.log('warn', 'health.not_stored', { error }))
  }

  #sign({ member, tally }: Watched, start: bigint): SignedSample {
    const lengthMs = BigInt(this.#parts.health.windowMs)
    const sample = tally.sample({ node: member.node, prober: this.#parts.self, start, lengthMs })
    return { sample, signature: this.#parts.sign(ProbeSample, sample) }
  }

  #spread(samples: readonly SignedSample[]): void {
    for (const signed of samples) this.#with.ledger.take(signed)
    const anchors = anchorsOf(this.#parts.context.membership()).map(({ node }) => node)
    const others = anchors.filter((anchor) => anchor !== this.#parts.self)
    for (let i = 0; i < samples.length; i += SAMPLES_LIMIT) {
      this.#with.post.sendAll(others, { type: 'samples', samples: samples.slice(i, i + SAMPLES_LIMIT) })
    }
  }

  #placements(): Map<Address, LoadedToken[]> {
    const placed = new Map<Address, LoadedToken[]>()
    for (const token of this.#with.tokens()) {
      for (const node of this.#with.book.get(token.instance).placement?.placement.replicas ?? []) {
        const tokens = placed.get(node)
        if (tokens) tokens.push(token)
        else placed.set(node, [token])
      }
    }
    return placed
  }

  #draw(): number {
    return drawOf(this.#ports.random)()
  }

  get #parts(): HealthParts {
    return this.#with.parts
  }

  get #pauseMs(): number {
    return this.#parts.health.windowMs / this.#parts.health.probesPerWindow
  }

  get #staleLimitMs(): number {
    return this.#parts.health.objectives.standard.stalenessMs
  }

  /** What takes twice as long as it may is no answer. */
  get #timeoutMs(): number {
    return 2 * this.#parts.health.objectives.standard.latencyMs
  }
}

function isPlacedOn({ placement }: AnchorRecord, node: Address): boolean {
  return placement?.placement.replicas.includes(node) === true
}
