/** The ledger of one anchor: samples as they come, the judgement of every window, planned maintenance and penalties. */
import {
  type Address,
  accept,
  accepted,
  afterPenalty,
  type CertifiedPenalty,
  checkConflict,
  checkSample,
  checkTimely,
  compareSamples,
  drainAhead,
  HEALTH_LIMITS,
  type HeardDrain,
  hearDrain,
  isExcused,
  isPlanned,
  type Judgement,
  judge,
  memberOf,
  NEWCOMER,
  type PenaltyContext,
  type PeriodInfo,
  penalise,
  type SampleConflict,
  type SignedDrain,
  type SignedSample,
  type Standing,
  standingPenalties,
  type Verdict,
} from '@smartlayer/protocol'
import type { Ports } from '../ports/ports.ts'
import type { Write } from '../ports/store.ts'
import type { HealthParts } from './health-parts.ts'
import { conflictWrite, LedgerStore, nodeWrite, periodWrite } from './ledger-store.ts'

/** Judged windows of one node that are kept one by one. */
const WINDOWS_SHOWN = 64
const PARTS = 10_000

export type JudgedWindow = Omit<Judgement, 'standing'> & { readonly start: bigint; readonly probers: number }

type Account = {
  standing: Standing
  drains: readonly HeardDrain[]
  penalties: readonly CertifiedPenalty[]
  /** By window, then by prober. */
  readonly samples: Map<bigint, Map<Address, SignedSample>>
  readonly windows: JudgedWindow[]
  period: PeriodInfo | undefined
}

export class Ledger {
  readonly #ports: Pick<Ports, 'clock' | 'telemetry'>
  readonly #parts: HealthParts
  readonly #store: LedgerStore
  readonly #accounts = new Map<Address, Account>()
  readonly #conflicts = new Map<Address, SampleConflict>()
  #next: bigint

  constructor(ports: Pick<Ports, 'clock' | 'telemetry' | 'store'>, parts: HealthParts) {
    this.#ports = ports
    this.#parts = parts
    this.#store = new LedgerStore(ports.store)
    this.#next = parts.windowOf(ports.clock.now())
    for (const [node, row] of this.#store.nodes()) {
      const period = this.#store.periods(node).at(-1)
      this.#accounts.set(node, { ...row, samples: new Map(), windows: [], period })
    }
    for (const conflict of this.#store.conflicts()) this.#conflicts.set(conflict.first.sample.prober, conflict)
  }

  standing(node: Address): Standing {
    return afterPenalty(this.#accounts.get(node)?.standing ?? NEWCOMER, this.#ports.clock.now())
  }

  isPlanned(node: Address): boolean {
    return isPlanned(this.drains(node), this.#ports.clock.now())
  }

  /** Maintenance that goes on or is ahead. */
  drainOf(node: Address) {
    return drainAhead(this.drains(node), this.#ports.clock.now())
  }

  drains(node: Address): readonly HeardDrain[] {
    return this.#accounts.get(node)?.drains ?? []
  }

  penalties(node: Address): readonly CertifiedPenalty[] {
    return this.#accounts.get(node)?.penalties ?? []
  }

  /** The last judged windows, in order. */
  windows(node: Address): readonly JudgedWindow[] {
    return this.#accounts.get(node)?.windows ?? []
  }

  periods(node: Address): readonly PeriodInfo[] {
    const { period } = this.#accounts.get(node) ?? {}
    const stored = this.#store.periods(node).filter(({ start }) => start !== period?.start)
    return [...stored, ...(period ? [period] : [])].slice(-HEALTH_LIMITS.periods)
  }

  conflicts(): readonly SampleConflict[] {
    return [...this.#conflicts.values()]
  }

  /** Samples of a node that are kept, by window; those of anchors that were caught lying are left out. */
  samples(node: Address): readonly SignedSample[] {
    const kept = this.#accounts.get(node)?.samples ?? new Map<bigint, Map<Address, SignedSample>>()
    return [...kept.values()].flatMap((window) =>
      [...window.values()].filter(({ sample }) => this.#isTrusted(sample.prober)),
    )
  }

  /** Takes a sample into its window. The verdict of a second, different one is a conflict, which is kept as proof. */
  take(signed: SignedSample): Verdict<SignedSample> {
    const { node, prober, start } = signed.sample
    if (!this.#isService(node)) return { verdict: 'ignore', code: 'health.node_unknown', facts: { node } }
    const { clock } = this.#ports
    const late = checkTimely(signed.sample, { now: clock.now(), epsilonMs: this.#parts.epsilonMs })
    if (late) return late
    const checked = checkSample(signed, this.#parts.about(node))
    if (!accepted(checked)) return checked
    const { samples } = this.#account(node)
    const window = samples.get(start) ?? new Map<Address, SignedSample>()
    const known = window.get(prober)
    const compared = compareSamples(known, signed)
    if (!accepted(compared)) {
      if (compared.code === 'health.conflict' && known) this.takeConflict({ first: known, second: signed })
      return compared
    }
    samples.set(start, window)
    window.set(prober, signed)
    const starts = [...samples.keys()].sort((a, b) => (a < b ? -1 : 1))
    for (const old of starts.slice(0, -HEALTH_LIMITS.windows)) samples.delete(old)
    return accept(signed)
  }

  /** Keeps the proof that a prober signed two samples for one window: it is not listened to any more. True when it is new. */
  takeConflict(conflict: SampleConflict): boolean {
    const { prober, node } = conflict.first.sample
    if (this.#conflicts.has(prober) || this.#conflicts.size >= HEALTH_LIMITS.conflicts) return false
    if (!accepted(checkConflict(conflict, this.#parts.about(node)))) return false
    this.#conflicts.set(prober, conflict)
    this.#ports.telemetry.log('warn', 'health.conflict', { prober, node, start: conflict.first.sample.start })
    this.#commit([conflictWrite(conflict)])
    return true
  }

  hear(node: Address, signed: SignedDrain): void {
    if (signed.drain.node !== node || !this.#isService(node)) return
    const known = this.drains(node)
    if (known.at(-1)?.signed.signature === signed.signature) return // said again with every heartbeat
    const { domain, crypto } = this.#parts.about(node)
    const { health, epsilonMs } = this.#parts
    const heard = hearDrain(known, signed, { domain, crypto, health, epsilonMs, now: this.#ports.clock.now() })
    if (!accepted(heard)) return
    const account = this.#account(node)
    account.drains = heard.value
    const { from, until } = signed.drain
    this.#ports.telemetry.log('info', 'health.drain', { node, from, until })
    this.#commit([nodeWrite(node, account)])
  }

  /** Notes a penalty whose signatures were checked. True when it is new. */
  penalise(certified: CertifiedPenalty): boolean {
    const { node, until, first, last } = certified.record
    const account = this.#account(node)
    if (account.penalties.some(({ record }) => record.first === first && record.last === last)) return false
    const now = this.#ports.clock.now()
    account.penalties = [...standingPenalties(account.penalties, now), certified].slice(-HEALTH_LIMITS.penalties)
    if (until > now) account.standing = penalise(account.standing, until)
    this.#ports.telemetry.log('warn', 'health.penalised', { node, until })
    this.#commit([nodeWrite(node, account)])
    return true
  }

  /** In which a penalty of this node is composed or checked. */
  penaltyContext(node: Address): PenaltyContext {
    const penalties = standingPenalties(this.penalties(node), this.#ports.clock.now())
    return {
      ...this.#parts.about(node),
      objectives: this.#parts.health.objectives.standard,
      after: penalties.reduce((last, { record }) => (record.last > last ? record.last : last), 0n),
      repeat: penalties.length,
      planned: (start) => isExcused(this.drains(node), start, this.#parts.health.windowMs),
    }
  }

  /**
   * Judges the windows that are over for long enough that samples of them are here: half a window. Returns the start of the
   * last one when there was any.
   */
  judgeDue(nodes: readonly Address[]): bigint | undefined {
    const windowMs = BigInt(this.#parts.health.windowMs)
    const due = this.#parts.windowOf(this.#ports.clock.now() - windowMs / 2n) - windowMs
    const oldest = due - BigInt(HEALTH_LIMITS.lateWindows) * windowMs
    if (due < this.#next) return undefined
    if (this.#next < oldest) this.#next = oldest // the node slept: what is long over cannot be judged any more
    for (; this.#next <= due; this.#next += windowMs) this.#judge(nodes, this.#next)
    return due
  }

  #judge(nodes: readonly Address[], start: bigint): void {
    const writes = nodes.flatMap((node) => this.#judgeNode(node, start))
    if (writes.length > 0) this.#commit(writes)
  }

  #judgeNode(node: Address, start: bigint): readonly Write[] {
    const account = this.#account(node)
    const before = this.standing(node)
    if (start <= before.window) return []
    const spoken = [...(account.samples.get(start)?.values() ?? [])].filter(({ sample }) =>
      this.#isTrusted(sample.prober),
    )
    const { windowMs, objectives } = this.#parts.health
    const context = {
      start,
      quorum: this.#parts.probers(node).quorum,
      objectives: objectives.standard,
      planned: isExcused(account.drains, start, windowMs),
    }
    const { standing, ...judged } = judge(
      spoken.map(({ sample }) => sample),
      context,
      before,
    )
    account.standing = standing
    account.windows.push({ start, probers: spoken.length, ...judged })
    if (account.windows.length > WINDOWS_SHOWN) account.windows.shift()
    if (standing.state !== before.state) this.#changed(node, before, account)
    const changed =
      standing.misses !== before.misses || standing.state !== before.state || standing.score !== before.score
    return [...this.#periodWrites(node, account, start, judged), ...(changed ? [nodeWrite(node, account)] : [])]
  }

  #changed(node: Address, before: Standing, { standing, windows }: Account): void {
    const reasons = (windows.at(-1)?.reasons ?? []).map(
      ({ objective, measured, wanted }) => `${objective} ${measured}, wanted ${wanted}`,
    )
    const facts = { node, from: before.state, to: standing.state, reason: reasons.join('; ') }
    this.#ports.telemetry.log('info', 'health.state', facts)
  }

  /** A period is written when it misses something, and when it is over. */
  #periodWrites(
    node: Address,
    account: Account,
    start: bigint,
    { verdict, score }: Omit<Judgement, 'standing'>,
  ): readonly Write[] {
    const length = BigInt(HEALTH_LIMITS.periodMs)
    const periodStart = start - (start % length)
    const before = account.period
    const known =
      before?.start === periodStart
        ? before
        : { start: periodStart, windows: 0, missed: 0, unknown: 0, excused: 0, score: PARTS }
    const period: PeriodInfo = {
      ...known,
      windows: known.windows + 1,
      missed: known.missed + (verdict === 'missed' ? 1 : 0),
      unknown: known.unknown + (verdict === 'unknown' ? 1 : 0),
      excused: known.excused + (verdict === 'excused' ? 1 : 0),
      score: Math.min(known.score, Math.round(score * PARTS)),
    }
    account.period = period
    if (before && before.start !== periodStart) return [periodWrite(node, before), ...this.#store.surplus(node)]
    return verdict === 'missed' ? [periodWrite(node, period)] : []
  }

  #account(node: Address): Account {
    const known = this.#accounts.get(node)
    if (known) return known
    const made: Account = {
      standing: NEWCOMER,
      drains: [],
      penalties: [],
      samples: new Map(),
      windows: [],
      period: undefined,
    }
    if (this.#accounts.size >= HEALTH_LIMITS.nodes) this.#forgetOne()
    this.#accounts.set(node, made)
    return made
  }

  /** A node that left makes room; while none did, the one that was here first. */
  #forgetOne(): void {
    const nodes = [...this.#accounts.keys()]
    const node = nodes.find((each) => !this.#isService(each)) ?? nodes[0]
    if (node !== undefined) this.#accounts.delete(node)
  }

  #isTrusted(prober: Address): boolean {
    return !this.#conflicts.has(prober)
  }

  /** Accounts are kept of registered service nodes alone: that bounds them. */
  #isService(node: Address): boolean {
    return memberOf(this.#parts.context.membership(), node)?.role === 'service'
  }

  #commit(writes: readonly Write[]): void {
    this.#store.commit(writes).catch((error) => this.#ports.telemetry.log('warn', 'health.not_stored', { error }))
  }
}
