/** What is done to the network, by a seed: one anchor at a time is weak, others are delayed, and all of it heals again. */
import { join } from 'node:path'
import type { LocalNetwork } from '@smartlayer/cli'
import { type Address, type StreamHead, statusShape, streamHeadShape } from '@smartlayer/protocol'
import { pause, type Span, shuffled } from '../soak-kit/chance.ts'
import type { Recorder } from '../soak-kit/recorder.ts'
import { Victims } from '../soak-kit/victims.ts'
import type { Plan } from './client.ts'
import { dropIndex, fillDisk, limitFiles, segmentSize, type Tear, tearTail, wipe } from './disk.ts'
import type { What } from './history.ts'

type Faults = Parameters<LocalNetwork['injectFaults']>[1]

/** How long things last, in seconds. `short` plays everything within a minute. */
const PACES = {
  long: { pauseS: [5, 30], cutS: [3, 15], downS: [0.2, 6], fullS: [4, 12], calmS: [1, 6] },
  short: { pauseS: [5, 5.5], cutS: [2, 3], downS: [0.1, 1], fullS: [2, 3], calmS: [0.2, 0.6] },
} as const
export type Pace = keyof typeof PACES

const WEATHER: Faults = { loss: 0.2, jitterMs: 50, duplicate: 0.1 }
const NO_FAULTS: Faults = { loss: 0, jitterMs: 0, duplicate: 0, cut: [] }
/** How long all anchors may take until they have what one of them had when the fault was over: one may have to read all of it. */
const HEAL_LIMIT_MS = { least: 45_000, perEntry: 2 } as const
const POLL_MS = 100
const ASK_TIMEOUT_MS = 2_000
/** Entries of each stream that are read back: more than a tear reaches. */
const READ_BACK = 128n
const COMPANION_SHARE = 0.35

export type Arena = {
  readonly network: LocalNetwork
  readonly plan: Plan
  readonly recorder: Recorder<What>
  /** Anchors that have a small disk of their own. */
  readonly disks: readonly string[]
  readonly draw: () => number
  readonly pace: Pace
  /** Names of the faults to play; all of them when it is empty. */
  readonly only: readonly string[]
  readonly signal: AbortSignal
  readonly progress: (line: string) => void
}

type Fault = {
  /** What an anchor had may be gone: no other one may be weakened before it is whole again. */
  readonly isLoss?: boolean
  readonly mayHit?: (nemesis: Nemesis, anchor: string) => boolean
  /** Returns what was done, once it is over. */
  readonly play: (nemesis: Nemesis, anchor: string) => Promise<string>
}

export const FAULTS: Readonly<Record<string, Fault>> = {
  'kill -9': { play: (nemesis, anchor) => nemesis.crash([anchor]) },
  'kill -9 of all anchors': { play: (nemesis) => nemesis.crash(nemesis.anchors) },
  'kill -9 in a row': { play: (nemesis) => nemesis.crashInARow() },
  SIGSTOP: { play: (nemesis, anchor) => nemesis.stopAndGo(anchor) },
  'cut off from all': { play: (nemesis, anchor) => nemesis.inject([[anchor, { cut: 'all' }]]) },
  'cut in two halves': { play: (nemesis) => nemesis.halve() },
  'cut off from some': { play: (nemesis, anchor) => nemesis.cutSome(anchor) },
  'one-way: hears and is not heard': { play: (nemesis, anchor) => nemesis.inject([[anchor, { loss: 1 }]]) },
  'loss, jitter and duplicates': {
    play: (nemesis) => nemesis.inject(nemesis.anchors.map((anchor) => [anchor, WEATHER] as const)),
  },
  'full disk': {
    mayHit: (nemesis, anchor) => nemesis.hasDisk(anchor),
    play: (nemesis, anchor) => nemesis.fill(anchor),
  },
  'torn tail': { isLoss: true, play: (nemesis, anchor) => nemesis.damage(anchor, (node) => nemesis.tear(node)) },
  'index deleted': { play: (nemesis, anchor) => nemesis.damage(anchor, dropIndex) },
  'data wiped, keys kept': {
    isLoss: true,
    mayHit: (nemesis, anchor) => nemesis.mayForget(anchor),
    play: (nemesis, anchor) => nemesis.forget(anchor),
  },
}

export class Nemesis {
  readonly #arena: Arena
  #started = 0
  readonly #victims: Victims
  #addresses = new Map<string, Address>()
  #forgetful: string | undefined

  constructor(arena: Arena) {
    this.#arena = arena
    this.#victims = new Victims(arena.network)
  }

  get anchors(): readonly string[] {
    return this.#arena.plan.anchors.map(({ name }) => name)
  }

  hasDisk(anchor: string): boolean {
    const { disks } = this.#arena
    return disks.length === 0 || disks.includes(anchor)
  }

  /** Plays every fault once in some order, then in another order again, until time is over. */
  async run(seconds: number): Promise<void> {
    const { signal, pace, only } = this.#arena
    const names = only.length > 0 ? only : Object.keys(FAULTS)
    this.#started = performance.now()
    const deadline = this.#started + 1_000 * seconds
    await this.#learnAddresses()
    for (;;) {
      for (const name of this.#shuffled(names)) {
        await this.#sleep(PACES[pace].calmS)
        if (signal.aborted || performance.now() > deadline) return
        await this.#play(name)
      }
    }
  }

  /** Ends everything that is still going on and waits until all anchors have the same. */
  async heal(): Promise<number> {
    this.goOn()
    await Promise.all(this.anchors.map((anchor) => this.#change(anchor, NO_FAULTS)))
    return this.#healed()
  }

  async crash(victims: readonly string[]): Promise<string> {
    await Promise.all(victims.map((victim) => this.#victims.kill(victim)))
    await this.#sleep(PACES[this.#arena.pace].downS)
    await this.#victims.restart(victims)
    return `${victims.length} killed and started again`
  }

  /** Each is killed as soon as the one before it is up, whether it has caught up or not: what they have is on their disks. */
  async crashInARow(): Promise<string> {
    for (const victim of this.#shuffled(this.anchors)) {
      await this.#victims.kill(victim)
      await this.#victims.restart([victim])
    }
    return 'each killed as soon as the one before was up'
  }

  async stopAndGo(anchor: string): Promise<string> {
    this.#victims.stop(anchor)
    const ms = await this.#sleep(PACES[this.#arena.pace].pauseS)
    this.goOn()
    return `for ${(ms / 1_000).toFixed(1)} s`
  }

  async inject(changes: readonly (readonly [string, Faults])[]): Promise<string> {
    for (const [anchor, faults] of changes) await this.#change(anchor, faults)
    const ms = await this.#sleep(PACES[this.#arena.pace].cutS)
    for (const [anchor] of changes) await this.#change(anchor, NO_FAULTS)
    return `for ${(ms / 1_000).toFixed(1)} s`
  }

  /** Two and two: nobody has a quorum. */
  halve(): Promise<string> {
    const mixed = this.#shuffled(this.anchors)
    const half = mixed.length / 2
    const [left, right] = [mixed.slice(0, half), mixed.slice(half)]
    return this.inject([...left.map((each) => this.#cut(each, right)), ...right.map((each) => this.#cut(each, left))])
  }

  cutSome(anchor: string): Promise<string> {
    const others = this.#shuffled(this.anchors.filter((other) => other !== anchor))
    return this.inject([this.#cut(anchor, others.slice(0, 1 + Math.floor(this.#arena.draw() * (others.length - 1))))])
  }

  /** When there is room again, the node goes on by itself. */
  async fill(anchor: string): Promise<string> {
    const { disks, network, pace } = this.#arena
    if (disks.length === 0) return this.#limit(anchor)
    const free = fillDisk(this.#folderOf(anchor))
    const ms = await this.#sleep(PACES[pace].fullS)
    free()
    if (network.nodes.get(anchor)!.running) return `for ${(ms / 1_000).toFixed(1)} s`
    await network.restart(anchor)
    throw new Error('it ended because its disk was full')
  }

  /** Does something to the data of a node that was killed, and starts it again. */
  async damage(anchor: string, how: (folder: string) => string): Promise<string> {
    await this.#victims.kill(anchor)
    const done = how(this.#folderOf(anchor))
    await this.#victims.restart([anchor])
    return done
  }

  /**
   * Streams come back to an anchor that lost them, journals of instances do not: for those it is one of the f that may be
   * lost, until the end. So it is always the same one.
   */
  mayForget(anchor: string): boolean {
    return this.#forgetful === undefined || this.#forgetful === anchor
  }

  forget(anchor: string): Promise<string> {
    this.#forgetful = anchor
    return this.damage(anchor, wipe)
  }

  tear(folder: string): string {
    const tears: readonly Tear[] = ['cut', 'flip', 'garbage']
    const { draw } = this.#arena
    return tearTail(folder, tears[Math.floor(draw() * tears.length)]!, draw)
  }

  async #play(name: string): Promise<void> {
    const { recorder, draw, progress } = this.#arena
    const fault = FAULTS[name]!
    const hit = this.anchors.filter((anchor) => fault.mayHit?.(this, anchor) ?? true)
    const anchor = hit[Math.floor(draw() * hit.length)]!
    const op = recorder.invoke({ kind: 'invoke', f: 'fault', name, detail: anchor })
    const at = `${((performance.now() - this.#started) / 1_000).toFixed(1).padStart(6)} s`
    try {
      const [done, companion] = await Promise.all([
        fault.play(this, anchor),
        fault.isLoss ? this.#accompany(anchor) : '',
      ])
      const ms = await this.heal()
      const detail = `${anchor}: ${done}${companion}; whole again after ${ms.toFixed(0)} ms`
      recorder.write(op, { kind: 'ok', f: 'fault', name, detail })
      progress(`${at}  ${name} · ${detail}`)
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error)
      recorder.write(op, { kind: 'fail', f: 'fault', name, detail: `${anchor}: ${detail}` })
      progress(`${at}  ${name} · ${anchor} · ✖ ${detail}`)
    }
  }

  /** While one anchor has lost something, another is sometimes slow to help: that loses nothing. */
  async #accompany(weak: string): Promise<string> {
    const { draw } = this.#arena
    if (draw() > COMPANION_SHARE) return ''
    const [other] = this.#shuffled(this.anchors.filter((anchor) => anchor !== weak))
    const done = await (draw() < 0.5 ? this.stopAndGo(other!) : this.inject([[other!, { cut: 'all' }]]))
    return `, with ${other} away ${done}`
  }

  /** Milliseconds until every anchor has, readable, what any of them had certified when this began. Throws when it takes too long. */
  async #healed(): Promise<number> {
    const { plan } = this.#arena
    const started = performance.now()
    const targets = new Map<string, bigint>()
    for (let missing = 'nobody answers'; ; await pause(POLL_MS)) {
      const known = await Promise.all(
        plan.anchors.flatMap(({ name, api }) =>
          plan.streams.map(async ({ stream }) => ({ name, api, stream, head: await headOf(api, stream) })),
        ),
      )
      if (known.every(({ head }) => head !== undefined)) {
        for (const { stream, head } of targets.size === 0 ? known : []) {
          const before = targets.get(stream) ?? 0n
          targets.set(stream, head!.certified > before ? head!.certified : before)
        }
        const behind = known.find(({ stream, head }) => head!.certified < targets.get(stream)!)
        const torn = behind ? undefined : await this.#unreadable(targets)
        if (!behind && !torn) return performance.now() - started
        missing = behind ? `${behind.name} is at ${behind.head!.certified} of ${targets.get(behind.stream)}` : torn!
      } else missing = `${known.find(({ head }) => !head)!.name} does not answer`
      const entries = Number([...targets.values()].reduce((sum, target) => sum + target, 0n))
      const limitMs = HEAL_LIMIT_MS.least + HEAL_LIMIT_MS.perEntry * entries
      if (performance.now() - started > limitMs) throw new Error(`not whole after ${limitMs} ms: ${missing}`)
    }
  }

  /** The newest entries of every anchor are read back: what is counted may still be damaged. */
  async #unreadable(targets: ReadonlyMap<string, bigint>): Promise<string | undefined> {
    for (const { name, api } of this.#arena.plan.anchors) {
      for (const [stream, target] of targets) {
        for (let after = target > READ_BACK ? target - READ_BACK : 0n; after < target; ) {
          const count = await countAfter(`${api}/v1/streams/${stream}/entries?after=${after}`)
          if (count === 0) return `${name} cannot read what follows ${after} of ${target}`
          after += BigInt(count)
        }
      }
    }
    return undefined
  }

  /** A file that may not grow is no full disk for those who write it: they trust it again only after a new start. */
  async #limit(anchor: string): Promise<string> {
    const { network, pace } = this.#arena
    const bytes = segmentSize(this.#folderOf(anchor))
    limitFiles(network.nodes.get(anchor)!.pid!, bytes)
    const ms = await this.#sleep(PACES[pace].fullS)
    await network.restart(anchor)
    return `no file beyond ${bytes} bytes for ${(ms / 1_000).toFixed(1)} s, then started again`
  }

  async #learnAddresses(): Promise<void> {
    const known = this.#arena.plan.anchors.map(async ({ name, api }) => {
      const answer = await fetch(`${api}/v1/status`)
      return [name, statusShape.parse(await answer.json(), 'status').node] as const
    })
    this.#addresses = new Map(await Promise.all(known))
  }

  #cut(anchor: string, others: readonly string[]): readonly [string, Faults] {
    return [anchor, { cut: others.map((other) => this.#addresses.get(other)!) }]
  }

  /** A node that was started meanwhile has no faults; one that is down gets none. */
  async #change(anchor: string, faults: Faults): Promise<void> {
    await this.#arena.network.injectFaults(anchor, faults).catch(() => undefined)
  }

  goOn(): void {
    this.#victims.goOn()
  }

  async #sleep([least, most]: Span): Promise<number> {
    const ms = 1_000 * (least + this.#arena.draw() * (most - least))
    await pause(ms, this.#arena.signal)
    return ms
  }

  #shuffled<T>(values: readonly T[]): readonly T[] {
    return shuffled(values, this.#arena.draw)
  }

  #folderOf(anchor: string): string {
    return join(this.#arena.network.layout.folder, 'nodes', anchor)
  }
}

/** Entries that an anchor gives for a page; 0 when it gives none or does not answer. */
async function countAfter(url: string): Promise<number> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) })
    return answer.ok ? ((await answer.json()) as { items: readonly unknown[] }).items.length : 0
  } catch {
    return 0
  }
}

export async function headOf(api: string, stream: string): Promise<StreamHead | undefined> {
  try {
    const answer = await fetch(`${api}/v1/streams/${stream}`, { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) })
    return answer.ok ? streamHeadShape.parse(await answer.json(), 'head') : undefined
  } catch {
    return undefined // it is down, or stopped
  }
}
