/** A home anchor's turn as proposer: when an instance has no running lease, it prepares a term and asks for votes. */
import {
  type Address,
  type Bytes32,
  type CertifiedPlacement,
  digestOf,
  formatTokenRef,
  type Hex,
  type Home,
  hasRunningPlacement,
  headOfReports,
  isOver,
  leasedUntil,
  Placement,
  placementHash,
  proposerOf,
  rendezvousOrder,
  type SignedReport,
  saltOf,
  serviceNodesOf,
  type VerifiedReport,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { ElectionService } from './election-service.ts'
import type { Health } from './health.ts'
import type { RecordBook } from './record-book.ts'

/** One election that this anchor runs. */
type Attempt = {
  readonly term: bigint
  readonly startedAt: number
  readonly reports: Map<Address, { signed: SignedReport; verified: VerifiedReport }>
  placement: Placement | undefined
  hash: Bytes32 | undefined
  readonly votes: Map<Address, Hex>
}

type Parts = { post: PostOffice; book: RecordBook; election: ElectionService; health: Health }

export class ProposerService {
  readonly #ports: Pick<Ports, 'clock' | 'identity' | 'telemetry'>
  readonly #context: NodeContext
  readonly #parts: Parts
  readonly #attempts = new Map<Bytes32, Attempt>()
  /** Since when an instance stands without a placement at the term it has now. */
  readonly #vacancies = new Map<Bytes32, { readonly term: bigint; readonly since: number }>()
  readonly #watched = new Map<Bytes32, LoadedToken>()
  #timer: Cancel

  constructor(ports: Pick<Ports, 'clock' | 'identity' | 'telemetry'>, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    parts.post.on('report', (from, message) => this.#report(from, message.signed))
    parts.post.on('vote', (from, message) => this.#vote(from, message))
    this.#timer = ports.clock.after(0, () => this.#tick())
  }

  /** Keeps this instance placed from now on. */
  watch(token: LoadedToken): void {
    this.#watched.set(token.instance, token)
  }

  stop(): void {
    this.#timer()
  }

  #tick(): void {
    const { retryMs } = this.#context.parameters
    for (const token of this.#watched.values()) {
      try {
        this.#consider(token)
      } catch (error) {
        this.#ports.telemetry.log('warn', 'proposer.skipped', { instance: token.instance, error })
      }
    }
    this.#timer = this.#ports.clock.after(retryMs / 2, () => this.#tick())
  }

  #consider(token: LoadedToken): void {
    const { instance } = token
    const context = this.#parts.book.anchorContext()
    const record = this.#parts.book.get(instance)
    const now = this.#ports.clock.monotonic()
    if (hasRunningPlacement(record, context)) {
      this.#vacancies.delete(instance)
      this.#attempts.delete(instance)
      return
    }
    // A lease that this anchor voted for may run although it never saw a certificate: until it is over, nobody can win.
    const until = leasedUntil(record)
    if (until > 0n && !isOver(until, context)) return
    const known = this.#vacancies.get(instance)
    const vacancy = known?.term === record.term ? known : { term: record.term, since: now }
    this.#vacancies.set(instance, vacancy)
    const attempt = this.#attempts.get(instance)
    if (attempt && now - attempt.startedAt < this.#turnMs) return this.#push(token, attempt)
    this.#attempts.delete(instance)
    const { term, turns } = this.#nextTurn(instance, record.term)
    // When a later term than that of the last placement was prepared, its proposer is at work: it gets its turn first.
    const running = record.term > (record.placement?.placement.term ?? 0n) ? 1 : 0
    if (now - vacancy.since >= (turns + running) * this.#turnMs) this.#begin(token, term)
  }

  /** A proposer that does not finish in this time loses its turn to the next in rank. */
  get #turnMs(): number {
    return this.#context.parameters.leaseMs / 3
  }

  #nextTurn(instance: Bytes32, highest: bigint): { term: bigint; turns: number } {
    const home = this.#parts.election.home(instance)
    const self = this.#ports.identity.signer.address
    let turns = 0
    while (proposerOf(home, highest + 1n + BigInt(turns)) !== self && turns < home.anchors.length) turns++
    return { term: highest + 1n + BigInt(turns), turns }
  }

  #begin(token: LoadedToken, term: bigint): void {
    const startedAt = this.#ports.clock.monotonic()
    const attempt: Attempt = {
      term,
      startedAt,
      reports: new Map(),
      placement: undefined,
      hash: undefined,
      votes: new Map(),
    }
    this.#attempts.set(token.instance, attempt)
    this.#push(token, attempt)
  }

  /** Sends what the attempt still waits for; repeating it is harmless. */
  #push(token: LoadedToken, attempt: Attempt): void {
    const { instance } = token
    const { anchors } = this.#parts.election.home(instance)
    if (!attempt.placement) return this.#parts.post.sendAll(anchors, { type: 'prepare', instance, term: attempt.term })
    const reports = [...attempt.reports.values()].map(({ signed }) => signed)
    this.#parts.post.sendAll(anchors, { type: 'placement-proposal', placement: attempt.placement, reports })
  }

  #report(from: Address, signed: SignedReport): void {
    const { instance, term } = signed.report
    const attempt = this.#attempts.get(instance)
    const token = this.#watched.get(instance)
    if (!attempt || !token || attempt.term !== term || attempt.placement) return
    const home = this.#parts.election.home(instance)
    const verified = this.#parts.election.verifyReport(signed, home)
    if (!verified || verified.anchor !== from) return
    attempt.reports.set(from, { signed, verified })
    if (attempt.reports.size < home.quorum) return
    attempt.placement = this.#compose(token, attempt)
    if (!attempt.placement) return
    const { domain } = this.#context
    attempt.hash = placementHash(attempt.placement, domain, this.#ports.identity.crypto.keccak)
    this.#push(token, attempt)
  }

  #compose({ instance }: LoadedToken, { term, reports }: Attempt): Placement | undefined {
    const { epsilonMs, leaseMs } = this.#context.parameters
    const replicas = this.#eligible(instance)
    const executor = replicas[0]
    if (!executor) return undefined
    const record = this.#parts.book.get(instance)
    const head = headOfReports(
      [...reports.values()].map((r) => r.verified),
      term,
    )
    const now = this.#ports.clock.now()
    const until = leasedUntil(record)
    const earliest = until === 0n ? now : until + BigInt(epsilonMs) + 1n
    const notBefore = earliest > now ? earliest : now
    return {
      instance,
      term,
      incarnation: record.placement?.placement.incarnation ?? 0n,
      proposer: this.#ports.identity.signer.address,
      executor,
      replicas,
      headTerm: head.term,
      headN: head.n,
      headHash: head.hash,
      notBefore,
      expires: notBefore + BigInt(leaseMs),
    }
  }

  /** The first healthy service nodes in the instance's own rendezvous order; never by the nodes' wish. */
  #eligible(instance: Bytes32): readonly Address[] {
    const membership = this.#context.membership()
    const { keccak } = this.#ports.identity.crypto
    const salt = saltOf('replicas', membership.beacon, instance, keccak)
    return rendezvousOrder(serviceNodesOf(membership), salt, keccak)
      .map((member) => member.node)
      .filter((node) => this.#parts.health.isHealthy(node))
      .slice(0, this.#context.parameters.replicas)
  }

  #vote(
    from: Address,
    { instance, placement, signature }: { instance: Bytes32; placement: Bytes32; signature: Hex },
  ): void {
    const attempt = this.#attempts.get(instance)
    const token = this.#watched.get(instance)
    if (!attempt?.placement || !token || attempt.hash !== placement) return
    const { keccak, recover } = this.#ports.identity.crypto
    const home: Home = this.#parts.election.home(instance)
    const signer = recover(digestOf(Placement, attempt.placement, this.#context.domain, keccak), signature)
    if (signer !== from || !home.anchors.includes(from)) return
    attempt.votes.set(from, signature)
    if (attempt.votes.size < home.quorum) return
    this.#announce(token, { placement: attempt.placement, votes: [...attempt.votes.values()] }, home)
    this.#attempts.delete(instance)
  }

  #announce(token: LoadedToken, certified: CertifiedPlacement, home: Home): void {
    const { executor, term, replicas } = certified.placement
    this.#ports.telemetry.log('info', 'election.placed', { instance: token.instance, term, executor, replicas })
    const message = { type: 'placement', token: formatTokenRef(token.ref), certified } as const
    this.#parts.post.sendAll([...new Set([...home.anchors, ...replicas])], message)
  }
}
