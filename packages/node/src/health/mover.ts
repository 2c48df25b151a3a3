/** Gives leases back where a placement should be made anew: this node goes into maintenance, or more than f home anchors ask. */
import { type Address, type Bytes32, type Hex, type Home, Replace } from '@smartlayer/protocol'
import type { HostedInstance } from '../execution/hosted-instance.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { HealthParts } from './health-parts.ts'
import type { Maintenance } from './maintenance.ts'
import { PLACEMENT_AGE_LEASES } from './replacer.ts'

/** Leases after which a node in maintenance tries again to give an instance back that came back to it. */
const TRY_AGAIN_LEASES = 10
const DEMAND_LIMIT = 10_000

type Demand = { readonly placement: Bytes32; readonly by: Map<Address, { node: Address; reason: string }> }

export class Mover {
  readonly #ports: Pick<Ports, 'clock' | 'identity' | 'telemetry'>
  readonly #parts: HealthParts
  readonly #maintenance: Maintenance
  readonly #hosted: ReadonlyMap<Bytes32, HostedInstance>
  readonly #demands = new Map<Bytes32, Demand>()
  readonly #gaveBack = new Map<Bytes32, number>()
  #goingSince: number | undefined

  constructor(
    ports: Pick<Ports, 'clock' | 'identity' | 'telemetry'>,
    parts: HealthParts,
    {
      post,
      maintenance,
      hosted,
    }: { post: PostOffice; maintenance: Maintenance; hosted: ReadonlyMap<Bytes32, HostedInstance> },
  ) {
    this.#ports = ports
    this.#parts = parts
    this.#maintenance = maintenance
    this.#hosted = hosted
    post.on('replace', (from, message) => this.#demand(from, message))
  }

  /** With every heartbeat: one instance at a time, so that not everything is elected anew at once. */
  beat(): void {
    const now = this.#ports.clock.monotonic()
    this.#goingSince = this.#maintenance.isGoing ? (this.#goingSince ?? now) : undefined
    const hosted = [...this.#hosted.values()].find((each) => this.#isDue(each, now))
    if (!hosted) return
    const { instance } = hosted.token
    this.#gaveBack.set(instance, now)
    this.#demands.delete(instance)
    void hosted.leave().catch((error) => this.#ports.telemetry.log('warn', 'mover.not_left', { instance, error }))
  }

  #demand(
    from: Address,
    { instance, replace, signature }: { instance: Bytes32; replace: Replace; signature: Hex },
  ): void {
    const hosted = this.#hosted.get(instance)
    if (!hosted?.isExecutor || hosted.placementHash !== replace.placement) return
    if (!this.#home(hosted).anchors.includes(from)) return
    if (this.#parts.signerOf(Replace, replace, signature) !== from) return
    const known = this.#demands.get(instance)
    const demand = known?.placement === replace.placement ? known : { placement: replace.placement, by: new Map() }
    if (!known && this.#demands.size >= DEMAND_LIMIT) return
    demand.by.set(from, { node: replace.node, reason: replace.reason })
    this.#demands.set(instance, demand)
  }

  #isDue(hosted: HostedInstance, now: number): boolean {
    if (!hosted.isExecutor || hosted.isCalling) return false // a call in flight ends first
    const { instance } = hosted.token
    const reason = this.#asked(hosted) ?? this.#isLeaving(instance, now)
    if (!reason) return false
    this.#ports.telemetry.log('info', 'mover.gives_back', { instance, reason })
    return true
  }

  /** Why more than f home anchors want this placement to be made anew: one of them at least is honest. */
  #asked(hosted: HostedInstance): string | undefined {
    const { instance } = hosted.token
    const demand = this.#demands.get(instance)
    const placement = hosted.placement?.placement
    if (!demand || !placement || demand.placement !== hosted.placementHash) return undefined
    const age = this.#ports.clock.now() - placement.notBefore
    if (age < BigInt(PLACEMENT_AGE_LEASES * this.#leaseMs)) return undefined
    const { anchors, quorum } = this.#home(hosted)
    const wishes = [...demand.by.values()]
    const most = wishes.find(({ node }) => wishes.filter((each) => each.node === node).length > anchors.length - quorum)
    return most?.reason
  }

  /** Anchors must have heard of the maintenance first, or they would choose this node again. */
  #isLeaving(instance: Bytes32, now: number): string | undefined {
    if (this.#goingSince === undefined || now - this.#goingSince < 2 * this.#heartbeatMs) return undefined
    const last = this.#gaveBack.get(instance)
    return last === undefined || now - last >= TRY_AGAIN_LEASES * this.#leaseMs ? 'maintenance' : undefined
  }

  #home({ token }: Pick<HostedInstance, 'token'>): Home {
    return this.#parts.context.homes().of(token.token)
  }

  get #leaseMs(): number {
    return this.#parts.context.parameters.leaseMs
  }

  get #heartbeatMs(): number {
    return this.#parts.context.parameters.heartbeatMs
  }
}
