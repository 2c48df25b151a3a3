/** What goes wrong in a simulated world, and when: drawn from the seed, within what the design must survive. */
import { LOCAL_PARAMETERS } from '@smartlayer/node'
import { type Address, digestOf, Entry, Executed, fromHex, toHex } from '@smartlayer/protocol'
import type { Sent, Tamper } from './network.ts'
import { type Draws, drawsOf } from './random.ts'
import type { Actor, World } from './world.ts'

/** A slow node answers late, but often enough for heartbeats and leases: what only probes find out. */
export const SLOW_MS = 320
/** Part of the seeds in which a service node is slow for a while. */
const SLOW_CHANCE = 0.3

export type FaultPlan = { readonly untilMs: number; readonly seam?: string | undefined }

/** Schedules faults until `untilMs`, then heals everything. At most one anchor is down, cut off or lying at a time. */
export class Faults {
  readonly #world: World
  readonly #plan: FaultPlan
  readonly #draws: Draws
  #weakAnchor: Actor | undefined
  partitions = 0
  steps = 0

  constructor(world: World, plan: FaultPlan) {
    this.#world = world
    this.#plan = plan
    this.#draws = drawsOf(world.seed, 'faults')
    const draws = this.#draws
    world.network.weather = {
      loss: 0.01 + draws.next() * 0.07,
      duplication: 0.02,
      delayed: draws.next() * 0.04,
    }
    this.#chooseLiars()
    this.#slowDown(drawsOf(world.seed, 'slowness'))
    world.time.at(3_500, () => this.#next())
    world.time.at(plan.untilMs, () => this.#heal())
  }

  #next(): void {
    const { time } = this.#world
    if (time.now >= this.#plan.untilMs - 500) return
    this.#draws.pick([
      () => this.#crashAnchor(),
      () => this.#crashService(),
      () => this.#crashService(),
      () => this.#isolateService(),
      () => this.#isolateService(),
      () => this.#isolateAnchor(),
      () => this.#cutOneWay(),
      () => this.#stepClock(),
    ])()
    time.at(300 + this.#draws.next() * 1_800, () => this.#next())
  }

  #crashAnchor(): void {
    this.#weaken((anchor, whole) => {
      this.#world.crash(anchor)
      this.#later(this.#downMs(), () => {
        this.#world.start(anchor)
        whole()
      })
    })
  }

  #isolateAnchor(): void {
    this.#weaken((anchor, whole) => this.#isolate(anchor, whole))
  }

  /** Only one anchor is weak at a time: f = 1 of 4. */
  #weaken(run: (anchor: Actor, whole: () => void) => void): void {
    if (this.#weakAnchor) return
    const anchor = this.#draws.pick(this.#world.anchors)
    this.#weakAnchor = anchor
    run(anchor, () => {
      this.#weakAnchor = undefined
    })
  }

  /** The executor is hit more often than the others: that is where it hurts. */
  #victim(): Actor {
    const executor = this.#world.services.find(({ service }) => service?.instances.some((hosted) => hosted.isExecutor))
    return executor && this.#draws.chance(0.7) ? executor : this.#draws.pick(this.#world.services)
  }

  #crashService(): void {
    const victim = this.#victim()
    this.#world.crash(victim)
    this.#later(this.#downMs(), () => this.#world.start(victim))
  }

  /** Half of the crashes are over at once, as under a supervisor. */
  #downMs(): number {
    return this.#draws.chance(0.5) ? 50 + this.#draws.next() * 400 : 500 + this.#draws.next() * 5_000
  }

  #isolateService(): void {
    this.#isolate(this.#victim(), () => {})
  }

  #isolate(actor: Actor, whole: () => void): void {
    const others = this.#world.actors.filter((other) => other !== actor)
    const cuts = others.flatMap((other) => [link(actor, other), link(other, actor)])
    this.#cut(`${actor.name} alone`, cuts, whole)
  }

  #cutOneWay(): void {
    const { services, anchors } = this.#world
    const from = this.#draws.pick(services)
    const cuts = anchors.map((anchor) => (this.#draws.chance(0.5) ? link(from, anchor) : link(anchor, from)))
    this.#cut(`${from.name} one-way`, cuts, () => {})
  }

  #cut(what: string, cuts: readonly string[], whole: () => void): void {
    const { network, trace, time } = this.#world
    this.partitions++
    trace.note(time.now, `partition: ${what}`)
    const own = cuts.filter((cut) => !network.cuts.has(cut))
    for (const cut of own) network.cuts.add(cut)
    this.#later(500 + this.#draws.next() * 5_000, () => {
      trace.note(time.now, `partition over: ${what}`)
      for (const cut of own) network.cuts.delete(cut)
      whole()
    })
  }

  #stepClock(): void {
    const { actors, trace, time } = this.#world
    const actor = this.#draws.pick(actors)
    const { epsilonMs } = LOCAL_PARAMETERS
    if (this.#plan.seam === 'clock-beyond-bound') return this.#leaveExecutorBehind()
    actor.skew.ms = this.#draws.between(0, epsilonMs)
    this.steps++
    trace.note(time.now, `clock of ${actor.name} steps to ${actor.skew.ms}`)
  }

  /** The planted bug: all clocks but the executor's run ahead, far beyond ε. */
  #leaveExecutorBehind(): void {
    const executor = this.#victim()
    for (const actor of this.#world.actors) if (actor !== executor) actor.skew.ms += 5_000
  }

  /** For some seconds one service node is slow, the executor perhaps. */
  #slowDown(draws: Draws): void {
    const { time, services } = this.#world
    if (!draws.chance(SLOW_CHANCE)) return
    time.at(4_000 + draws.next() * 2_000, () => {
      const actor = draws.pick(services)
      this.#world.slow(actor, SLOW_MS)
      this.#later(4_000 + draws.next() * 6_000, () => this.#world.slow(actor, 0))
    })
  }

  #later(delayMs: number, run: () => void): void {
    const { time } = this.#world
    time.at(Math.min(delayMs, this.#plan.untilMs - time.now), run)
  }

  #heal(): void {
    const { network, outside, trace, time, actors } = this.#world
    trace.note(time.now, 'healing')
    network.weather = { loss: 0, duplication: 0, delayed: 0 }
    network.cuts.clear()
    network.slow.clear()
    const liars = actors.filter((actor) => network.tampers.has(actor.signer.address))
    network.tampers.clear()
    outside.faulty = false
    const latest = Math.max(...actors.map(({ skew }) => skew.ms))
    for (const { skew } of actors) if (latest - skew.ms > LOCAL_PARAMETERS.epsilonMs) skew.ms = latest
    // A liar does not come back with the memory of its lies: it is replaced on the same disk.
    for (const liar of liars) this.#world.crash(liar)
    for (const actor of actors) this.#world.start(actor)
  }

  #chooseLiars(): void {
    const { services, anchors, byzantine, network } = this.#world
    const kind = this.#draws.pick(['none', 'none', 'root', 'executor', 'proposer'] as const)
    if (kind === 'none') return
    const liar = kind === 'proposer' ? this.#draws.pick(anchors) : this.#draws.pick(services)
    if (kind === 'proposer') this.#weakAnchor = liar
    byzantine.add(liar.signer.address)
    const tamper = { root: wrongRoot, executor: equivocation, proposer: twoPlacements }[kind]
    network.tampers.set(liar.signer.address, tamper(this.#world, liar))
  }
}

function link(from: Actor, to: Actor): string {
  return `${from.signer.address}>${to.signer.address}`
}

/** A replica that signs another root than it computed. */
function wrongRoot({ context, keys }: World, { signer }: Actor): Tamper {
  return (_, message) => {
    if (message.type !== 'executed') return [message]
    const root = flipped(message.executed.root)
    const executed = { ...message.executed, root }
    const digest = digestOf(Executed, Executed.parse(executed, 'executed'), context.domain, keys.crypto.keccak)
    return [{ type: 'executed', executed, signature: signer.sign(digest) }]
  }
}

/** An executor that tells half of the anchors another entry. */
function equivocation({ context, keys, anchors }: World, { signer }: Actor): Tamper {
  const half = new Set<Address>(anchors.slice(0, 2).map((anchor) => anchor.signer.address))
  return (to, message) => {
    if (message.type !== 'proposal' || !half.has(to)) return [message]
    const { proposed } = message
    if (BigInt(proposed.entry.n) % 4n !== 0n) return [message]
    const entry = { ...proposed.entry, time: String(BigInt(proposed.entry.time) + 1n) }
    const digest = digestOf(Entry, Entry.parse(entry, 'entry'), context.domain, keys.crypto.keccak)
    return [{ ...message, proposed: { ...proposed, entry, executorSignature: signer.sign(digest) } }, message]
  }
}

/** A proposer that offers every anchor two placements with different executors for one term. */
function twoPlacements({ anchors }: World, _: Actor): Tamper {
  return (to, message) => {
    if (message.type !== 'placement-proposal') return [message]
    const { executor, replicas } = message.placement as { executor: Address; replicas: readonly Address[] }
    const rival = replicas.find((node) => node !== executor) ?? executor
    const other: Sent = { ...message, placement: { ...message.placement, executor: rival } }
    const first = anchors.findIndex(({ signer }) => signer.address === to) % 2 === 0
    return first ? [message, other] : [other, message]
  }
}

function flipped(hex: string): string {
  const bytes = fromHex(hex as `0x${string}`)
  bytes[0]! ^= 1
  return toHex(bytes)
}
