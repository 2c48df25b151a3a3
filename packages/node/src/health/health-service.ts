/** An anchor's part in health: it probes, keeps the ledger, certifies penalties, and says who is fit to host what. */
import {
  type Address,
  type Bytes32,
  type Fitness,
  type Home,
  type SampleConflict,
  type SignedSample,
  serviceNodesOf,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { RecordBook } from '../election/record-book.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Http } from '../ports/http.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import { HealthParts } from './health-parts.ts'
import { Heartbeats } from './heartbeats.ts'
import { Ledger } from './ledger.ts'
import { PenaltyService } from './penalty-service.ts'
import { Prober } from './prober.ts'
import { QueryProbe } from './query-probe.ts'
import { Replacer } from './replacer.ts'

/** A replica that was silent for so many leases is replaced; one that comes back sooner is not. */
const GONE_LEASES = 2

type ServicePorts = Pick<Ports, 'clock' | 'random' | 'store' | 'identity' | 'telemetry'>
type Parts = {
  readonly post: PostOffice
  readonly book: RecordBook
  readonly home: (instance: Bytes32) => Home
  readonly tokens: () => readonly LoadedToken[]
  /** How nodes are asked as clients ask; without it only over the overlay. */
  readonly http: Http | undefined
}

export class HealthService {
  readonly heartbeats: Heartbeats
  readonly ledger: Ledger
  readonly parts: HealthParts
  readonly #ports: ServicePorts
  readonly #post: PostOffice
  readonly #penalties: PenaltyService
  readonly #prober: Prober
  readonly #replacer: Replacer
  readonly #startedAt: number
  #timer: Cancel

  constructor(ports: ServicePorts, context: NodeContext, { post, book, home, tokens, http }: Parts) {
    this.#ports = ports
    this.#post = post
    this.parts = new HealthParts(ports.identity, context)
    const { parts } = this
    const ledger = new Ledger(ports, parts)
    this.ledger = ledger
    this.heartbeats = new Heartbeats(ports, context, post, (node, drain) => ledger.hear(node, drain))
    this.#penalties = new PenaltyService(ports, parts, post, ledger)
    const queries = http && new QueryProbe(ports, context, http)
    this.#prober = new Prober(ports, { parts, post, book, heartbeats: this.heartbeats, ledger, tokens, queries })
    this.#replacer = new Replacer(ports, {
      parts,
      post,
      book,
      home,
      tokens,
      fitness: (node, hosts) => this.#fitness(node, hosts),
      against: (node) => this.#against(node),
    })
    this.#startedAt = ports.clock.monotonic()
    post.on('samples', (from, { samples }) => this.#samples(from, samples))
    post.on('sample-conflict', (_, { conflict }) => this.#conflict(conflict))
    this.#timer = ports.clock.after(0, () => this.#tick())
  }

  stop(): void {
    this.#timer()
    this.#prober.stop()
    this.#replacer.stop()
  }

  /** How fit a node is to host an instance; `warm` for one that hosts it already and so needs no room. */
  fitness(node: Address, { warm }: { readonly warm: boolean }): Fitness {
    return this.#fitness(node, warm)
  }

  /** Healthy, or degraded and still of use: alive, not draining, not penalised, with room. */
  isEligible(node: Address): boolean {
    return ['eligible', 'weak'].includes(this.#fitness(node, false))
  }

  /** False for an executor that should have handed over long ago: its lease runs out. */
  mayRenew(instance: Bytes32, executor: Address): boolean {
    return this.#replacer.mayRenew(instance, executor)
  }

  #fitness(node: Address, hosts: boolean): Fitness {
    if (!this.heartbeats.isAlive(node)) return 'gone'
    const { state } = this.ledger.standing(node)
    const { instances, limit } = this.heartbeats.loadOf(node)
    const isFull = !hosts && instances >= limit
    if (isFull || state === 'draining' || state === 'penalised' || this.ledger.isPlanned(node)) return 'reluctant'
    return state === 'degraded' ? 'weak' : 'eligible'
  }

  #against(node: Address): 'gone' | 'draining' | 'penalised' | undefined {
    if (!this.heartbeats.isAlive(node)) return this.#isLongGone(node) ? 'gone' : undefined
    const { state } = this.ledger.standing(node)
    if (state === 'penalised') return 'penalised'
    return state === 'draining' || this.ledger.isPlanned(node) ? 'draining' : undefined
  }

  /** After a start nobody was heard of yet: that is no sign of anything. */
  #isLongGone(node: Address): boolean {
    const boundMs = GONE_LEASES * this.parts.context.parameters.leaseMs
    const upMs = this.#ports.clock.monotonic() - this.#startedAt
    return upMs > 2 * boundMs && this.heartbeats.silentMs(node) > boundMs
  }

  #tick(): void {
    const { windowMs } = this.parts.health
    try {
      const nodes = serviceNodesOf(this.parts.context.membership()).map(({ node }) => node)
      const judged = this.ledger.judgeDue(nodes)
      if (judged !== undefined) this.#penalties.beat(nodes, judged)
    } catch (error) {
      this.#ports.telemetry.log('warn', 'health.not_judged', { error })
    }
    this.#timer = this.#ports.clock.after(windowMs / 8, () => this.#tick())
  }

  /** A prober sends its own samples. One that contradicts what it sent before goes on to all: it is proof of a lie. */
  #samples(from: Address, samples: readonly SignedSample[]): void {
    for (const signed of samples) {
      if (signed.sample.prober !== from) return
      const known = this.ledger.conflicts().length
      const taken = this.ledger.take(signed)
      if (taken.verdict === 'reject' && taken.code === 'health.conflict' && this.ledger.conflicts().length > known) {
        this.#tell(this.ledger.conflicts().at(-1)!)
      }
    }
  }

  #conflict(conflict: SampleConflict): void {
    if (this.ledger.takeConflict(conflict)) this.#tell(conflict)
  }

  #tell(conflict: SampleConflict): void {
    const { members } = this.parts.context.membership()
    const others = members.filter(({ node, role }) => role === 'anchor' && node !== this.parts.self)
    this.#post.sendAll(
      others.map(({ node }) => node),
      { type: 'sample-conflict', conflict },
    )
  }
}
