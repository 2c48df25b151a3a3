/** What goes wrong in a world of streams, and when: drawn from the seed, within what the design must survive. */
import { LOCAL_PARAMETERS } from '@smartlayer/node'
import { type Draws, drawsOf } from '../random.ts'
import { HABITS, Liar } from './liar.ts'
import type { Subscriber } from './subscriber.ts'
import type { Actor, StreamWorld } from './world.ts'

/** In so many seeds an anchor lies, in half of these to the end. */
const LIARS = 0.5
/** In so many seeds a node is away until there are checkpoints of what it missed; and where a liar spoils ranges. */
const LATE = 0.2
const LATE_MS = { least: 6_500, most: 8_000 } as const

/** Schedules faults until `untilMs`, then heals everything. At most one anchor is down, cut off, slow, full or lying at a time. */
export class StreamFaults {
  readonly #world: StreamWorld
  readonly #subscriber: Subscriber
  readonly #untilMs: number
  readonly #draws: Draws
  #weakAnchor: Actor | undefined
  partitions = 0
  steps = 0

  constructor(world: StreamWorld, { subscriber, untilMs }: { subscriber: Subscriber; untilMs: number }) {
    this.#world = world
    this.#subscriber = subscriber
    this.#untilMs = untilMs
    const draws = drawsOf(world.seed, 'faults')
    this.#draws = draws
    world.network.weather = {
      loss: draws.chance(0.3) ? draws.next() * 0.3 : draws.next() * 0.05,
      duplication: draws.next() * 0.05,
      delayed: draws.next() * 0.08,
    }
    const isLate = draws.chance(LATE) || world.liar?.has('wrong ranges')
    if (isLate) this.#missMuch(draws.pick(draws.chance(0.5) ? world.honest : world.followers))
    world.time.at(400, () => this.#next())
    world.time.at(untilMs, () => this.#heal())
  }

  #next(): void {
    const { time } = this.#world
    if (time.now >= this.#untilMs - 200) return
    this.#draws.pick([
      () => this.#crashAnchor(),
      () => this.#crashAnchor(),
      () => this.#isolateAnchor(),
      () => this.#cutAnchorOneWay(),
      () => this.#fillDisk(),
      () => this.#slowDisk(),
      () => this.#crashFollower(),
      () => this.#isolateFollower(),
      () => this.#cutFollowerOneWay(),
      () => this.#stepClock(),
      () => this.#subscriber.disconnect(),
      () => this.#crashIssuer(),
      () => this.#crashIssuer(),
    ])()
    time.at(80 + this.#draws.next() * 450, () => this.#next())
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

  #cutAnchorOneWay(): void {
    this.#weaken((anchor, whole) => {
      const { actors } = this.#world
      const isMute = this.#draws.chance(0.5)
      const others = actors.filter((other) => other !== anchor && this.#draws.chance(0.8))
      const cuts = others.map((other) => (isMute ? link(anchor, other) : link(other, anchor)))
      this.#cut(`${anchor.name} ${isMute ? 'mute' : 'deaf'}`, cuts, whole)
    })
  }

  #fillDisk(): void {
    this.#weaken((anchor, whole) => {
      this.#note(`the disk of ${anchor.name} is full`)
      anchor.disk.full = true
      this.#later(this.#downMs(), () => {
        anchor.disk.full = false
        whole()
      })
    })
  }

  #slowDisk(): void {
    this.#weaken((anchor, whole) => {
      this.#note(`the disk of ${anchor.name} is slow`)
      anchor.disk.slowMs = 20 + this.#draws.next() * 250
      this.#later(this.#downMs(), () => {
        anchor.disk.slowMs = 0
        whole()
      })
    })
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

  #missMuch(actor: Actor): void {
    const { time } = this.#world
    const isAnchor = actor.role === 'anchor'
    if (isAnchor) this.#weakAnchor = actor
    time.at(200 + this.#draws.next() * 800, () => {
      this.#world.crash(actor)
      time.at(this.#draws.between(LATE_MS.least, LATE_MS.most) - time.now, () => {
        this.#world.start(actor)
        if (isAnchor) this.#weakAnchor = undefined
      })
    })
  }

  #crashFollower(): void {
    const follower = this.#draws.pick(this.#world.followers)
    this.#world.crash(follower)
    this.#later(this.#downMs(), () => this.#world.start(follower))
  }

  #isolateFollower(): void {
    this.#isolate(this.#draws.pick(this.#world.followers), () => {})
  }

  #cutFollowerOneWay(): void {
    const { anchors, followers } = this.#world
    const follower = this.#draws.pick(followers)
    const cuts = anchors.map((anchor) => (this.#draws.chance(0.5) ? link(follower, anchor) : link(anchor, follower)))
    this.#cut(`${follower.name} one-way`, cuts, () => {})
  }

  #crashIssuer(): void {
    this.#draws.pick(this.#world.issuers).crash({ losesState: this.#draws.chance(0.2) })
  }

  /** Half of the crashes are over at once, as under a supervisor. */
  #downMs(): number {
    return this.#draws.chance(0.5) ? 30 + this.#draws.next() * 300 : 300 + this.#draws.next() * 2_000
  }

  #isolate(actor: Actor, whole: () => void): void {
    const others = this.#world.actors.filter((other) => other !== actor)
    const cuts = others.flatMap((other) => [link(actor, other), link(other, actor)])
    this.#cut(`${actor.name} alone`, cuts, whole)
  }

  #cut(what: string, cuts: readonly string[], whole: () => void): void {
    const { network } = this.#world
    this.partitions++
    this.#note(`partition: ${what}`)
    const own = cuts.filter((cut) => !network.cuts.has(cut))
    for (const cut of own) network.cuts.add(cut)
    this.#later(this.#downMs(), () => {
      this.#note(`partition over: ${what}`)
      for (const cut of own) network.cuts.delete(cut)
      whole()
    })
  }

  #stepClock(): void {
    const actor = this.#draws.pick(this.#world.actors)
    actor.skew.ms = this.#draws.between(0, LOCAL_PARAMETERS.epsilonMs)
    this.steps++
    this.#note(`clock of ${actor.name} steps to ${actor.skew.ms}`)
  }

  #note(text: string): void {
    const { trace, time } = this.#world
    trace.note(time.now, text)
  }

  #later(delayMs: number, run: () => void): void {
    const { time } = this.#world
    time.at(Math.min(delayMs, this.#untilMs - time.now), run)
  }

  /** Whoever still lies then lies to the end: f anchors may. The others heal. */
  #heal(): void {
    const { network, actors, liar } = this.#world
    this.#note('healing')
    network.weather = { loss: 0, duplication: 0, delayed: 0 }
    network.cuts.clear()
    for (const { disk } of actors) {
      disk.full = false
      disk.slowMs = 0
    }
    if (liar && this.#draws.chance(0.5)) liar.isLying = false
    for (const actor of actors) this.#world.start(actor)
  }
}

/** Chooses the anchor that lies, if one does; before the world starts. */
export function chooseLiar(world: StreamWorld): void {
  const draws = drawsOf(world.seed, 'liar')
  if (!draws.chance(LIARS)) return
  const { signer } = draws.pick(world.anchors)
  const count = draws.between(2, 5)
  const habits = new Set(Array.from({ length: count }, () => draws.pick(HABITS)))
  world.byzantine.add(signer.address)
  world.liar = new Liar({
    signer,
    draws,
    now: () => world.time.now,
    domain: world.context.domain,
    keccak: world.keys.crypto.keccak,
    habits,
    anchors: world.anchors.map((anchor) => anchor.signer.address),
    followers: world.followers.map((follower) => follower.signer.address),
  })
  world.trace.note(0, `a liar: ${[...habits].join(', ')}`)
}

function link(from: Actor, to: Actor): string {
  return `${from.signer.address}>${to.signer.address}`
}
