/** What is done to the network, by a seed: executors most of all, replicas, one anchor at a time, the chain, and what is outside. */
import type { LocalNetwork } from '@smartlayer/cli'
import {
  type Address,
  type Bytes32,
  placementInfoShape,
  statusShape,
  subsetHeadShape,
  subsetOf,
} from '@smartlayer/protocol'
import type { SmartLayer } from '@smartlayer/sdk/server'
import { pause, type Span, shuffled } from '../soak-kit/chance.ts'
import type { Crew } from '../soak-kit/crew.ts'
import type { Recorder } from '../soak-kit/recorder.ts'
import { Victims } from '../soak-kit/victims.ts'
import { ALL, type Plan, type PlannedToken, subsetKey } from './client.ts'
import type { Shown, What } from './history.ts'

/** How long things last, in seconds; a lease is 3 s. */
const PACES = {
  long: { withinS: [0.4, 2.4], beyondS: [3.6, 8], backS: [0.1, 1.5], lateS: [3.6, 8], awayS: [2, 6], calmS: [0.3, 2] },
  short: {
    withinS: [0.4, 1.5],
    beyondS: [3.4, 4],
    backS: [0.1, 0.5],
    lateS: [3.4, 4],
    awayS: [1, 2],
    calmS: [0.1, 0.4],
  },
} as const satisfies Record<string, Readonly<Record<string, Span>>>
export type Pace = keyof typeof PACES
type Lasting = keyof (typeof PACES)['long']

/** From the end of a fault until every instance took a fact that was published after it. */
const WHOLE_LIMIT_MS = 60_000
const ASK_TOTAL_MS = 4_000
const ASK_TIMEOUT_MS = 2_000
const ARRIVAL_LIMIT_MS = 10_000
const POLL_MS = 100
/** Strikes that follow each other without rest. */
const ROW = 4

export type Arena = {
  readonly network: LocalNetwork
  readonly plan: Plan
  readonly recorder: Recorder<What>
  readonly crew: Crew
  readonly smartLayer: SmartLayer
  readonly draw: () => number
  readonly pace: Pace
  /** Names of the faults to play; all of them when it is empty. */
  readonly only: readonly string[]
  readonly signal: AbortSignal
  readonly progress: (line: string) => void
}
/** A run ends with the time, or when so many processes were struck. */
export type End = { readonly seconds: number; readonly struck: number }
/** Returns what was done, once it is over. */
type Fault = (nemesis: Nemesis) => Promise<string>

export const FAULTS: Readonly<Record<string, Fault>> = {
  'kill -9 of an executor': (nemesis) => nemesis.killExecutor(),
  'kill -9 of an executor that comes back late': async (nemesis) => nemesis.kill([await nemesis.executor()], 'lateS'),
  'kill -9 of an executor in a call': async (nemesis) => nemesis.kill([await nemesis.caller()], 'backS'),
  'kill -9 of an executor in a call, back late': async (nemesis) => nemesis.kill([await nemesis.caller()], 'lateS'),
  'kill -9 of a replica': async (nemesis) => nemesis.kill([await nemesis.replica()], 'lateS'),
  'kill -9 of two service nodes': async (nemesis) => nemesis.kill(nemesis.pick('service', 2), 'backS'),
  'kill -9 of an anchor': async (nemesis) => nemesis.kill(nemesis.pick('anchor', 1), 'backS'),
  'kill -9 of an anchor that comes back late': async (nemesis) => nemesis.kill(nemesis.pick('anchor', 1), 'lateS'),
  'kill -9 of an executor and an anchor': async (nemesis) =>
    nemesis.kill([await nemesis.executor(), ...nemesis.pick('anchor', 1)], 'backS'),
  'kill -9 of executors in a row': (nemesis) => nemesis.inARow((each) => each.killExecutor()),
  'kill -9 of all anchors in turn': (nemesis) => nemesis.killAnchorsInTurn(),
  'SIGSTOP of executors in a row': (nemesis) => nemesis.inARow((each) => each.stopExecutor()),
  'SIGSTOP of an executor within a lease': (nemesis) => nemesis.stopExecutor(),
  'SIGSTOP of an executor beyond a lease': async (nemesis) => nemesis.stop([await nemesis.executor()], 'beyondS'),
  'SIGSTOP of an executor in a call': async (nemesis) => nemesis.stop([await nemesis.caller()], 'beyondS'),
  'SIGSTOP of a replica': async (nemesis) => nemesis.stop([await nemesis.replica()], 'beyondS'),
  'SIGSTOP of two service nodes': async (nemesis) => nemesis.stop(nemesis.pick('service', 2), 'beyondS'),
  'SIGSTOP of an anchor': async (nemesis) => nemesis.stop(nemesis.pick('anchor', 1), 'beyondS'),
  'SIGSTOP of an executor, kill -9 of an anchor': async (nemesis) => nemesis.stopAndKill(),
  'SIGSTOP of the chain': async (nemesis) => nemesis.stopChain(),
  'kill -9 of the chain': async (nemesis) => nemesis.killChain(),
  'kill -9 of the bank': async (nemesis) => nemesis.killOutside('bank'),
  'kill -9 of the phone': async (nemesis) => nemesis.killOutside('phone'),
}

export class Nemesis {
  readonly #arena: Arena
  readonly #victims: Victims
  readonly #names = new Map<string, string>()
  #started = 0
  #struck = 0
  #arrived: (node: string) => void = () => {}

  constructor(arena: Arena) {
    this.#arena = arena
    this.#victims = new Victims(arena.network)
  }

  /** Plays every fault once in some order, then in another order again, until the end. */
  async run({ seconds, struck }: End): Promise<void> {
    const { signal, only, draw } = this.#arena
    const names = only.length > 0 ? only : Object.keys(FAULTS)
    this.#started = performance.now()
    const deadline = this.#started + 1_000 * seconds
    await this.#learnNames()
    for (;;) {
      for (const name of shuffled(names, draw)) {
        await this.#sleep('calmS')
        if (signal.aborted || performance.now() > deadline || this.#struck >= struck) return
        await this.#play(name)
      }
    }
  }

  /** A request of this node reached a system outside. */
  noteCall(node: string): void {
    this.#arrived(node)
  }

  goOn(): void {
    this.#victims.goOn()
    this.#arena.network.chain.signal('SIGCONT')
  }

  /** Ends all that is still going on; returns the milliseconds until every token took a fact that was published afterwards. */
  async heal(): Promise<number> {
    this.goOn()
    await this.#victims.revive()
    const { plan, crew } = this.#arena
    const started = performance.now()
    const sequence = (await this.#headOfAll()) + 1n
    crew.send('issuer', { type: 'publish' })
    await Promise.all(plan.tokens.map((token) => this.#takesNewFact(token, { sequence, started })))
    return performance.now() - started
  }

  async kill(names: readonly string[], lasting: Lasting): Promise<string> {
    this.#struck += names.length
    await Promise.all(names.map((name) => this.#victims.kill(name)))
    const seconds = await this.#sleep(lasting)
    await this.#victims.restart(names)
    return `${names.join(', ')} down for ${seconds} s`
  }

  async stop(names: readonly string[], lasting: Lasting): Promise<string> {
    this.#struck += names.length
    for (const name of names) this.#victims.stop(name)
    const seconds = await this.#sleep(lasting)
    this.#victims.goOn(names)
    return `${names.join(', ')} stopped for ${seconds} s`
  }

  async killExecutor(): Promise<string> {
    return this.kill([await this.executor()], 'backS')
  }

  async stopExecutor(): Promise<string> {
    return this.stop([await this.executor()], 'withinS')
  }

  /** Each as soon as the one before it is back, whether instances have come to rest or not. */
  async inARow(strike: (nemesis: Nemesis) => Promise<string>): Promise<string> {
    const done: string[] = []
    while (done.length < ROW) done.push(await strike(this))
    return done.join(', ')
  }

  /** One at a time, each as soon as the one before it is up: what they have is on their disks. */
  async killAnchorsInTurn(): Promise<string> {
    const anchors = this.pick('anchor', this.#arena.plan.anchors.length)
    for (const anchor of anchors) await this.kill([anchor], 'backS')
    return anchors.join(', ')
  }

  async stopAndKill(): Promise<string> {
    const [stopped, killed] = [await this.executor(), this.pick('anchor', 1)]
    return (await Promise.all([this.stop([stopped], 'beyondS'), this.kill(killed, 'backS')])).join(', ')
  }

  async stopChain(): Promise<string> {
    const { chain } = this.#arena.network
    this.#struck++
    chain.signal('SIGSTOP')
    const seconds = await this.#sleep('awayS')
    chain.signal('SIGCONT')
    return `for ${seconds} s`
  }

  /** Its supervisor starts it again, from its last snapshot. */
  async killChain(): Promise<string> {
    this.#struck++
    this.#arena.network.chain.signal('SIGKILL')
    return `away for ${await this.#sleep('awayS')} s`
  }

  async killOutside(name: 'bank' | 'phone'): Promise<string> {
    this.#struck++
    await this.#arena.crew.kill(name)
    const seconds = await this.#sleep('backS')
    this.#arena.crew.start(name)
    return `down for ${seconds} s`
  }

  pick(role: 'anchor' | 'service', count: number): readonly string[] {
    const { plan, draw } = this.#arena
    const places = role === 'anchor' ? plan.anchors : plan.services
    return shuffled(places, draw)
      .slice(0, count)
      .map(({ name }) => name)
  }

  /** The executor of some token. */
  async executor(): Promise<string> {
    const { executor } = await this.#placed()
    return this.#names.get(executor)!
  }

  /** A replica of some token that does not execute it. */
  async replica(): Promise<string> {
    const { executor, replicas } = await this.#placed()
    const others = shuffled(replicas, this.#arena.draw).filter((node) => node !== executor)
    return this.#names.get(others[0] ?? executor)!
  }

  /** A node whose call is under way outside; the executor of some token when none comes. */
  async caller(): Promise<string> {
    const { signal } = this.#arena
    const node = await new Promise<string | undefined>((resolve) => {
      this.#arrived = resolve
      pause(ARRIVAL_LIMIT_MS, signal).then(() => resolve(undefined))
    })
    return (node && this.#names.get(node)) || this.executor()
  }

  async #play(name: string): Promise<void> {
    const { recorder, progress } = this.#arena
    const op = recorder.invoke({ kind: 'invoke', f: 'fault', name, detail: '' })
    const at = `${((performance.now() - this.#started) / 1_000).toFixed(1).padStart(6)} s`
    const before = this.#struck
    const end = (kind: 'ok' | 'fail', detail: string, wholeMs: number) => {
      recorder.write(op, { kind, f: 'fault', name, detail, struck: this.#struck - before, wholeMs })
      progress(`${at}  ${String(this.#struck).padStart(3)}  ${name} · ${kind === 'ok' ? '' : '✖ '}${detail}`)
    }
    try {
      const done = await FAULTS[name]!(this)
      const wholeMs = Math.round(await this.heal())
      end('ok', `${done}; whole again after ${wholeMs} ms`, wholeMs)
    } catch (error) {
      end('fail', error instanceof Error ? error.message : String(error), WHOLE_LIMIT_MS)
    }
  }

  /** Publisher, home anchors, executor and a majority of the replicas did their part, and the answer is verified. */
  async #takesNewFact(
    token: PlannedToken,
    { sequence, started }: { sequence: bigint; started: number },
  ): Promise<void> {
    const { plan, smartLayer } = this.#arena
    const subset = this.#subsetOfAll
    for (let why = ''; ; await pause(POLL_MS)) {
      if (performance.now() - started > WHOLE_LIMIT_MS)
        throw new Error(`token ${token.name} took no new fact within ${WHOLE_LIMIT_MS} ms: ${why}`)
      try {
        const minSequence = { stream: plan.stream, subset, sequence }
        await smartLayer.token(token.token).call<Shown>('state', null, { minSequence, totalMs: ASK_TOTAL_MS })
        return
      } catch (error) {
        why = error instanceof Error ? error.message : String(error)
      }
    }
  }

  get #subsetOfAll(): Bytes32 {
    return subsetOf(subsetKey(ALL), this.#arena.smartLayer.site.crypto.keccak)
  }

  /** The furthest place that any anchor has in the subset which all tokens follow. */
  async #headOfAll(): Promise<bigint> {
    const { plan } = this.#arena
    const subset = this.#subsetOfAll
    const heads = await Promise.all(
      plan.anchors.map(async ({ api }) => {
        const answer = await read(`${api}/v1/streams/${plan.stream}/subsets/${subset}`)
        return answer === undefined ? 0n : subsetHeadShape.parse(answer, 'head').sequence
      }),
    )
    return heads.reduce((most, head) => (head > most ? head : most), 0n)
  }

  async #placed(): Promise<{ readonly executor: Address; readonly replicas: readonly Address[] }> {
    const { plan, draw, signal } = this.#arena
    for (;;) {
      signal.throwIfAborted()
      const token = plan.tokens[Math.floor(draw() * plan.tokens.length)]!
      const anchor = plan.anchors[Math.floor(draw() * plan.anchors.length)]!
      const answer = await read(`${anchor.api}/v1/tokens/${encodeURIComponent(token.token)}/placement`)
      if (answer !== undefined) return placementInfoShape.parse(answer, 'placement').certified.placement
      await pause(POLL_MS)
    }
  }

  async #learnNames(): Promise<void> {
    const { plan } = this.#arena
    for (const { name, api } of [...plan.anchors, ...plan.services]) {
      const answer = await read(`${api}/v1/status`)
      if (answer !== undefined) this.#names.set(statusShape.parse(answer, 'status').node, name)
    }
  }

  /** Returns the seconds that passed, as text. */
  async #sleep(lasting: Lasting): Promise<string> {
    const [least, most] = PACES[this.#arena.pace][lasting]
    const seconds = least + this.#arena.draw() * (most - least)
    await pause(1_000 * seconds, this.#arena.signal)
    return seconds.toFixed(1)
  }
}

async function read(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) })
    return response.ok ? await response.json() : undefined
  } catch {
    return undefined // it is down, or stopped
  }
}
