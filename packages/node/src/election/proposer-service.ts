/** A home anchor's turn as proposer: when an instance has no running lease, it prepares a term and asks for votes. */
import {
  type Address,
  type AnchorContext,
  type AnchorRecord,
  type Bytes32,
  type CertifiedPlacement,
  chooseReplicas,
  digestOf,
  epochOfTerm,
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
  recoverShared,
  rendezvousOrder,
  type SignedReport,
  saltOf,
  serviceNodesOf,
  termReached,
  type VerifiedReport,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { QuorumDoor } from '../directory/quorum-door.ts'
import type { HealthService } from '../health/health-service.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { ElectionService } from './election-service.ts'
import type { RecordBook } from './record-book.ts'

/** One election that this anchor runs. */
type Attempt = {
  readonly term: bigint
  readonly reports: Map<Address, { signed: SignedReport; verified: VerifiedReport }>
  /** When the turn is over, by the monotonic clock. */
  deadline: number
  /** The end of the last lease that binds one of the reporting anchors, as they say. */
  leasedUntil: bigint
  placement: Placement | undefined
  hash: Bytes32 | undefined
  readonly votes: Map<Address, Hex>
}

type Parts = { post: PostOffice; book: RecordBook; door: QuorumDoor; election: ElectionService; health: HealthService }

export class ProposerService {
  readonly #ports: Pick<Ports, 'clock' | 'identity' | 'telemetry'>
  readonly #context: NodeContext
  readonly #parts: Parts
  readonly #attempts = new Map<Bytes32, Attempt>()
  /** Since when an instance stands without a placement at the term it has now. */
  readonly #vacancies = new Map<Bytes32, { readonly term: bigint; readonly since: number }>()
  readonly #vacantSince = new Map<Bytes32, number>()
  readonly #watched = new Map<Bytes32, LoadedToken>()
  #timer: Cancel

  constructor(ports: Pick<Ports, 'clock' | 'identity' | 'telemetry'>, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    parts.post.on('report', (from, message) => this.#report(from, message.signed, message.leasedUntil))
    parts.post.on('vote', (from, message) => this.#vote(from, message))
    this.#timer = ports.clock.after(0, () => this.#tick())
  }

  /** Keeps this instance placed from now on. */
  watch(token: LoadedToken): void {
    if (this.#watched.has(token.instance)) return
    this.#watched.set(token.instance, token)
    this.#tryConsider(token)
  }

  /** It sleeps: nobody has to execute it. */
  unwatch(instance: Bytes32): void {
    this.#watched.delete(instance)
    this.#attempts.delete(instance)
    this.#vacancies.delete(instance)
    this.#vacantSince.delete(instance)
  }

  stop(): void {
    this.#timer()
  }

  #tick(): void {
    const { retryMs } = this.#context.parameters
    for (const token of this.#watched.values()) this.#tryConsider(token)
    this.#timer = this.#ports.clock.after(retryMs / 2, () => this.#tick())
  }

  #tryConsider(token: LoadedToken): void {
    try {
      this.#consider(token)
    } catch (error) {
      this.#ports.telemetry.log('warn', 'proposer.skipped', { instance: token.instance, error })
    }
  }

  #consider(token: LoadedToken): void {
    const { instance } = token
    const context = this.#parts.book.anchorContext(instance)
    const record = this.#parts.book.get(instance)
    const now = this.#ports.clock.monotonic()
    const home = this.#parts.door.home(token)
    const isHome = home.anchors.includes(this.#ports.identity.signer.address)
    if (!isHome || context.epoch !== home.epoch) return void this.#attempts.delete(instance) // not home, or it has not taken over yet
    if (hasRunningPlacement(record, context)) {
      this.#vacancies.delete(instance)
      this.#vacantSince.delete(instance)
      this.#attempts.delete(instance)
      return
    }
    if (!this.#vacantSince.has(instance)) this.#vacantSince.set(instance, now)
    const attempt = this.#attempts.get(instance)
    if (attempt && now < attempt.deadline && epochOfTerm(attempt.term) === home.epoch) return this.#push(token, attempt)
    // A lease that this anchor voted for may run although it never saw a certificate: until it is over, nobody can win.
    const until = leasedUntil(record)
    if (until > 0n && !isOver(until, context)) return
    const known = this.#vacancies.get(instance)
    const vacancy = known?.term === record.term ? known : { term: record.term, since: now }
    this.#vacancies.set(instance, vacancy)
    this.#attempts.delete(instance)
    const { term, turns } = this.#nextTurn(token, record, context)
    // When a later term than that of the last placement was prepared, its proposer is at work: it gets its turn first.
    const running = record.term > (record.placement?.placement.term ?? 0n) ? 1 : 0
    if (now - vacancy.since >= (turns + running) * this.#turnMs) this.#begin(token, term)
  }

  /** A proposer that does not finish in this time loses its turn to the next in rank. */
  get #turnMs(): number {
    return this.#context.parameters.leaseMs / 3
  }

  /**
   * The next term that is this anchor's, and how many ranks come before it. One that it prepared and nobody voted in is
   * prepared again: who climbs alone gets out of reach of the others.
   */
  #nextTurn(token: LoadedToken, record: AnchorRecord, context: AnchorContext): { term: bigint; turns: number } {
    const home = this.#parts.door.home(token)
    const self = this.#ports.identity.signer.address
    const { report, voted } = record
    const highest = termReached(record, context)
    const isOwn = highest === record.term && proposerOf(home, highest) === self
    if (isOwn && report && !voted) return { term: highest, turns: 0 }
    let turns = 0
    while (proposerOf(home, highest + 1n + BigInt(turns)) !== self && turns < home.anchors.length) turns++
    return { term: highest + 1n + BigInt(turns), turns }
  }

  #begin(token: LoadedToken, term: bigint): void {
    const attempt: Attempt = {
      term,
      reports: new Map(),
      deadline: this.#ports.clock.monotonic() + this.#turnMs,
      leasedUntil: 0n,
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
    const { anchors, quorum } = this.#parts.door.home(token)
    const reports = [...attempt.reports.values()].map(({ signed }) => signed)
    if (attempt.reports.size < quorum) {
      return this.#parts.post.sendAll(anchors, { type: 'prepare', instance, term: attempt.term, reports })
    }
    attempt.placement ??= this.#compose(token, attempt)
    if (!attempt.placement) return
    attempt.hash ??= placementHash(attempt.placement, this.#context.domain, this.#ports.identity.crypto.keccak)
    this.#parts.post.sendAll(anchors, { type: 'placement-proposal', placement: attempt.placement, reports })
  }

  #report(from: Address, signed: SignedReport, leased: bigint): void {
    const { instance, term } = signed.report
    const attempt = this.#attempts.get(instance)
    const token = this.#watched.get(instance)
    if (!attempt || !token || attempt.term !== term) return
    const home = this.#parts.door.home(token)
    const verified = attempt.reports.size < home.quorum && this.#parts.election.verifyReport(token, signed, home)
    if (!verified || verified.anchor !== from) return
    attempt.reports.set(from, { signed, verified })
    this.#noteLease(attempt, leased)
    if (attempt.reports.size < home.quorum) return
    const waitMs = Math.max(0, Number(this.#readyAt(attempt) - this.#ports.clock.now()))
    attempt.deadline = this.#ports.clock.monotonic() + waitMs + this.#turnMs
    this.#push(token, attempt)
  }

  /** A proposal that comes while one of its voters is still bound would split the votes, and bind the others for nothing. */
  #noteLease(attempt: Attempt, leased: bigint): void {
    const { leaseMs, epsilonMs } = this.#context.parameters
    const longest = this.#ports.clock.now() + BigInt(leaseMs + 2 * epsilonMs) // no honest anchor is bound for longer
    const until = leased < longest ? leased : longest
    if (until > attempt.leasedUntil) attempt.leasedUntil = until
  }

  /** From then on every reporting anchor sees its leases over, however its clock differs from ours. */
  #readyAt({ leasedUntil: until }: Attempt): bigint {
    return until === 0n ? 0n : until + BigInt(2 * this.#context.parameters.epsilonMs) + 1n
  }

  /** Undefined while leases may still run, and while no service node is healthy. */
  #compose({ instance }: LoadedToken, attempt: Attempt): Placement | undefined {
    const { term, reports } = attempt
    const { leaseMs } = this.#context.parameters
    const now = this.#ports.clock.now()
    if (now < this.#readyAt(attempt)) return undefined
    const replicas = this.#eligible(instance)
    const executor = replicas[0]
    if (!executor || this.#shouldWait(instance, replicas.length)) return undefined
    const record = this.#parts.book.get(instance)
    const head = headOfReports(
      [...reports.values()].map((r) => r.verified),
      term,
    )
    return {
      instance,
      term,
      incarnation: record.incarnation,
      proposer: this.#ports.identity.signer.address,
      executor,
      replicas,
      headTerm: head.term,
      headN: head.n,
      headHash: head.hash,
      notBefore: now,
      expires: now + BigInt(leaseMs),
    }
  }

  /** After a start, heartbeats come in one by one: fewer replicas than wanted are taken only when no more have come for a lease. */
  #shouldWait(instance: Bytes32, found: number): boolean {
    const { replicas, leaseMs } = this.#context.parameters
    const mayCome = (node: Address) => this.#parts.health.fitness(node, { warm: true }) !== 'reluctant'
    const others = serviceNodesOf(this.#context.membership()).filter(({ node }) => mayCome(node))
    const wanted = Math.min(replicas, others.length)
    const vacant = this.#vacantSince.get(instance) ?? this.#ports.clock.monotonic()
    return found < wanted && this.#ports.clock.monotonic() - vacant < leaseMs
  }

  /** The fittest in the instance's own rendezvous order, warm ones first; never by the nodes' wish. */
  #eligible(instance: Bytes32): readonly Address[] {
    const membership = this.#context.membership()
    const { keccak } = this.#ports.identity.crypto
    const salt = saltOf('replicas', membership.beacon, instance, keccak)
    const warm = this.#parts.book.get(instance).placement?.placement.replicas ?? []
    return chooseReplicas(rendezvousOrder(serviceNodesOf(membership), salt, keccak), {
      count: this.#context.parameters.replicas,
      state: (node) => this.#parts.health.fitness(node, { warm: warm.includes(node) }),
      warm,
    })
  }

  #vote(
    from: Address,
    { instance, placement, signature }: { instance: Bytes32; placement: Bytes32; signature: Hex },
  ): void {
    const attempt = this.#attempts.get(instance)
    const token = this.#watched.get(instance)
    if (!attempt?.placement || !token || attempt.hash !== placement) return
    const { crypto } = this.#ports.identity
    const home = this.#parts.door.home(token)
    const digest = digestOf(Placement, attempt.placement, this.#context.domain, crypto.keccak)
    const signer = recoverShared(digest, signature, crypto)
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
