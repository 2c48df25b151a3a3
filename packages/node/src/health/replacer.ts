/** A home anchor's eye on running placements: it asks their executors to release those that a new placement would mend. */
import {
  type Address,
  type AnchorRecord,
  type Bytes32,
  type Fitness,
  type Flaw,
  flawOf,
  type Home,
  hasRunningPlacement,
  Replace,
  serviceNodesOf,
} from '@smartlayer/protocol'
import type { LoadedToken } from '../context.ts'
import type { RecordBook } from '../election/record-book.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { HealthParts } from './health-parts.ts'

/** A flaw is said aloud once it has stood for this many leases, and a placement is at least this many old. */
const STANDING_LEASES = 1
export const PLACEMENT_AGE_LEASES = 2
/** An executor that does not hand over although it is asked to gets no more renewals after this many leases. */
const PATIENCE_LEASES = 3

type Noticed = { readonly placement: Bytes32; readonly flaw: Flaw; readonly since: number }
type Parts = {
  readonly parts: HealthParts
  readonly post: PostOffice
  readonly book: RecordBook
  readonly home: (instance: Bytes32) => Home
  readonly tokens: () => readonly LoadedToken[]
  readonly fitness: (node: Address, hosts: boolean) => Fitness
  readonly against: (node: Address) => 'gone' | 'draining' | 'penalised' | undefined
}

export class Replacer {
  readonly #ports: Pick<Ports, 'clock' | 'telemetry'>
  readonly #with: Parts
  readonly #noticed = new Map<Bytes32, Noticed>()
  #timer: Cancel

  constructor(ports: Pick<Ports, 'clock' | 'telemetry'>, parts: Parts) {
    this.#ports = ports
    this.#with = parts
    this.#timer = ports.clock.after(this.#leaseMs / 2, () => this.#tick())
  }

  stop(): void {
    this.#timer()
  }

  /** False for an executor that should have handed over long ago. */
  mayRenew(instance: Bytes32, executor: Address): boolean {
    const noticed = this.#noticed.get(instance)
    const record = this.#with.book.get(instance)
    if (noticed?.flaw.node !== executor || noticed.placement !== record.placement?.hash) return true
    return this.#ports.clock.monotonic() - noticed.since < PATIENCE_LEASES * this.#leaseMs
  }

  #tick(): void {
    const nodes = serviceNodesOf(this.#with.parts.context.membership()).map(({ node }) => node)
    for (const token of this.#with.tokens()) {
      try {
        this.#look(token.instance, nodes)
      } catch (error) {
        this.#ports.telemetry.log('warn', 'health.not_looked_at', { instance: token.instance, error })
      }
    }
    this.#timer = this.#ports.clock.after(this.#leaseMs / 2, () => this.#tick())
  }

  #look(instance: Bytes32, nodes: readonly Address[]): void {
    const record = this.#with.book.get(instance)
    const flaw = this.#flaw(record, nodes)
    const hash = record.placement?.hash
    if (!flaw || !hash) return void this.#noticed.delete(instance)
    const known = this.#noticed.get(instance)
    const isSame = known?.placement === hash && known.flaw.node === flaw.node && known.flaw.reason === flaw.reason
    const now = this.#ports.clock.monotonic()
    if (!known || !isSame) return void this.#noticed.set(instance, { placement: hash, flaw, since: now })
    if (now - known.since >= STANDING_LEASES * this.#leaseMs) this.#demand(record, hash, flaw)
  }

  #flaw(record: AnchorRecord, nodes: readonly Address[]): Flaw | undefined {
    const { instance, placement } = record
    const { parameters } = this.#with.parts.context
    const now = this.#ports.clock.now()
    if (!placement || !hasRunningPlacement(record, { now, epsilonMs: BigInt(parameters.epsilonMs) })) return undefined
    if (now - placement.placement.notBefore < BigInt(PLACEMENT_AGE_LEASES * parameters.leaseMs)) return undefined
    if (!this.#with.home(instance).anchors.includes(this.#with.parts.self)) return undefined
    const { replicas } = placement.placement
    return flawOf(placement.placement, {
      count: parameters.replicas,
      nodes,
      fitness: (node) => this.#with.fitness(node, replicas.includes(node)),
      against: this.#with.against,
    })
  }

  #demand({ instance, placement }: AnchorRecord, hash: Bytes32, { node, reason }: Flaw): void {
    const executor = placement!.placement.executor
    const replace: Replace = { placement: hash, node, reason }
    this.#ports.telemetry.log('info', 'health.replace_asked', { instance, node, reason, executor })
    const signature = this.#with.parts.sign(Replace, replace)
    this.#with.post.send(executor, { type: 'replace', instance, replace, signature })
  }

  get #leaseMs(): number {
    return this.#with.parts.context.parameters.leaseMs
  }
}
