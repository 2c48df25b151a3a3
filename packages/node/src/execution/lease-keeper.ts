/** The executor's lease: asked for, counted, renewed at a third of its length, and given back at the end. */
import {
  type Address,
  type Bytes32,
  type CertifiedPlacement,
  digestOf,
  type Hex,
  type Home,
  type Lease,
  mayAct,
  type Placement,
  Renew,
  recoverShared,
  renewalDue,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'

type Asked = { readonly renew: Renew; readonly asked: number; readonly votes: Map<Address, Hex> }
type ServicePorts = Pick<Ports, 'clock' | 'identity'>

export class LeaseKeeper {
  readonly placement: Placement
  readonly votes: readonly Hex[]
  readonly hash: Bytes32
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #home: Home
  #asked: Asked | undefined
  #lease: Lease | undefined

  constructor(
    ports: ServicePorts,
    context: NodeContext,
    { post, home, certified, hash }: { post: PostOffice; home: Home; certified: CertifiedPlacement; hash: Bytes32 },
  ) {
    this.#ports = ports
    this.#context = context
    this.#post = post
    this.#home = home
    this.placement = certified.placement
    this.votes = certified.votes
    this.hash = hash
  }

  get lease(): Lease | undefined {
    return this.#lease
  }

  /** True when a step of at most `longestMs` may begin now. An executor holds no lease before a renewal it asked for itself. */
  mayAct(longestMs: number): boolean {
    const { leaseMs, epsilonMs } = this.#context.parameters
    const limits = { leaseMs: BigInt(leaseMs), epsilonMs: BigInt(epsilonMs) }
    return this.#lease !== undefined && mayAct(this.#lease, this.#now, limits, longestMs)
  }

  /** Asks for the lease, or for more of it, when that is due; repeats what has no quorum yet. */
  keep(): void {
    const { leaseMs, epsilonMs, retryMs } = this.#context.parameters
    const limits = { leaseMs: BigInt(leaseMs), epsilonMs: BigInt(epsilonMs) }
    if (this.#lease && !renewalDue(this.#lease, this.#now, limits)) return
    const waiting = this.#asked && this.#now.monotonic - this.#asked.asked < 4 * retryMs
    if (!waiting) {
      const renew: Renew = { placement: this.hash, expires: this.#now.now + BigInt(leaseMs) }
      this.#asked = { renew, asked: this.#now.monotonic, votes: new Map() }
    }
    const { renew, votes } = this.#asked!
    const missing = this.#home.anchors.filter((anchor) => !votes.has(anchor))
    this.#post.sendAll(missing, { type: 'renew-request', instance: this.placement.instance, renew })
  }

  /** Counts one anchor's renewal. True when the lease became longer. */
  count(from: Address, renew: Renew, signature: Hex): boolean {
    const asked = this.#asked
    if (!asked || asked.renew.placement !== renew.placement || asked.renew.expires !== renew.expires) return false
    const { crypto } = this.#ports.identity
    if (!this.#home.anchors.includes(from)) return false
    const digest = digestOf(Renew, renew, this.#context.domain, crypto.keccak)
    if (recoverShared(digest, signature, crypto) !== from) return false
    asked.votes.set(from, signature)
    if (asked.votes.size < this.#home.quorum) return false
    this.#lease = { placement: this.placement, hash: this.hash, expires: renew.expires, asked: asked.asked }
    this.#asked = undefined
    const certified = { renew, votes: [...asked.votes.values()] }
    const readers = [...new Set([...this.#home.anchors, ...this.placement.replicas])]
    this.#post.sendAll(readers, { type: 'lease', instance: this.placement.instance, certified })
    return true
  }

  get #now() {
    return { now: this.#ports.clock.now(), monotonic: this.#ports.clock.monotonic() }
  }
}
