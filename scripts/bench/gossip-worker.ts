/** One process of the gossip benchmark: its share of a side's nodes, the issuer's pace, and when each node had each fact. */
import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { fastCrypto } from '@smartlayer/node'
import type { StreamItem } from '@smartlayer/protocol'
import { Facts, factsContext, ISSUER_KEY } from './gossip-facts.ts'
import { DOOR, type GossipHost, type Layout, nodesOf, type StartHost } from './gossip-host.ts'
import { cpuNowS } from './row.ts'

/** How the issuer publishes: so many a second, or as fast as nodes take them with so many facts under way. */
export type Pace =
  | { readonly perS: number; readonly window?: undefined }
  | { readonly window: number; readonly forMs: number; readonly perS?: undefined }

export type Command =
  | { readonly do: 'start'; readonly module: string; readonly process: number; readonly layout: Layout; folder: string }
  | { readonly do: 'join'; readonly addresses: readonly string[] }
  /** Signs facts before the clock starts. */
  | { readonly do: 'sign'; readonly count: number; readonly batch: number }
  | { readonly do: 'begin'; readonly first: number; readonly count: number; readonly loss: number }
  | { readonly do: 'publish'; readonly pace: Pace }
  /** Waits until this process's nodes have all facts of the run, or for so long after the last one arrived. */
  | { readonly do: 'settle'; readonly published: number; readonly quietMs: number }
  | { readonly do: 'stop' }

/** Times in ms of one clock for all processes, by the fact's place in the run; 0 where it never came. */
export type Deliveries = {
  readonly nodes: readonly number[]
  readonly deliveredAt: readonly Float64Array[]
  /** Deliveries that did not follow the fact before them at their node. */
  readonly outOfOrder: number
  readonly cpuS: number
}

export type Answers = {
  readonly start: readonly string[]
  readonly join: undefined
  readonly sign: { readonly first: number }
  readonly begin: undefined
  readonly publish: { readonly publishedAt: Float64Array }
  readonly settle: Deliveries
  readonly stop: undefined
}

export type Answer = { readonly done: Answers[keyof Answers] } | { readonly failed: string }

/** A timer may fire so late without anybody being to blame; what is later counts as waiting of the fact. */
const TIMER_MS = 1
const POLL_MS = 5
/** A window that nobody moves for so long has lost facts. */
const STALL_MS = 5_000

class Worker {
  #host: GossipHost | undefined
  #facts: Facts | undefined
  #mine: readonly number[] = []
  /** What is handed to the door at once: single facts, or batches. */
  #signed: readonly (readonly StreamItem[])[] = []
  #run = newRun([], { first: 1, count: 0 })
  readonly #last = new Map<number, number>()

  async obey(command: Command): Promise<Answers[keyof Answers]> {
    switch (command.do) {
      case 'start':
        return this.#start(command)
      case 'join':
        await this.#running().join(command.addresses)
        return undefined
      case 'sign':
        return this.#sign(command)
      case 'begin':
        this.#run = newRun(this.#mine, command)
        this.#running().lose(command.loss)
        return undefined
      case 'publish':
        return this.#publish(command.pace)
      case 'settle':
        return this.#settle(command)
      case 'stop':
        await this.#running().stop()
        return undefined
    }
  }

  #running(): GossipHost {
    if (!this.#host) throw new Error('the nodes are not started')
    return this.#host
  }

  async #start({ module, process, layout, folder }: Command & { do: 'start' }): Promise<readonly string[]> {
    const { startHost } = (await import(module)) as { readonly startHost: StartHost }
    const crypto = await fastCrypto()
    const issuer = crypto.signer(ISSUER_KEY)
    const context = factsContext(crypto.crypto, issuer)
    this.#facts = new Facts(context, issuer, randomBytes)
    this.#mine = nodesOf(process, layout)
    const delivered = (node: number, sequence: number) => this.#note(node, sequence)
    this.#host = await startHost({ layout, mine: this.#mine, crypto, context, folder, delivered })
    return this.#host.addresses
  }

  #note(node: number, sequence: number): void {
    const run = this.#run
    const at = sequence - run.first
    const times = run.times.get(node)
    if (!times || at < 0 || at >= times.length || times[at] !== 0) return
    times[at] = nowMs()
    run.delivered++
    run.movedAt = performance.now()
    if (run.delivered >= run.wakeAt) run.wake()
    if (sequence !== (this.#last.get(node) ?? 0) + 1) run.outOfOrder++
    this.#last.set(node, sequence)
  }

  #sign({ count, batch }: Command & { do: 'sign' }): Answers['sign'] {
    const facts = this.#facts!
    const first = facts.sequence + 1
    const timeS = BigInt(Math.floor(Date.now() / 1000))
    this.#signed = Array.from({ length: count / batch }, () => facts.next(batch, { batch, timeS }))
    return { first }
  }

  async #publish(pace: Pace): Promise<Answers['publish']> {
    const host = this.#running()
    const sending: Promise<void>[] = []
    const publishedAt: number[] = []
    let last: StreamItem | undefined
    const publish: Publish = (items, at) => {
      publishedAt.push(...items.map(() => at))
      last = items.at(-1)
      sending.push(host.publish(DOOR, items))
    }
    if (pace.window === undefined) await paced(this.#signed, pace.perS, publish)
    else await this.#windowed(pace, publish)
    await Promise.all(sending)
    if (last) this.#facts!.rewind(last) // the next run follows what was published, not what was signed
    return { publishedAt: Float64Array.from(publishedAt) }
  }

  /** Facts under way at this process's own nodes count: with the others' the clock stops, but they do not set the pace. */
  async #windowed({ window, forMs }: Pace & { window: number }, publish: Publish): Promise<void> {
    const run = this.#run
    const started = performance.now()
    let published = 0
    for (const items of this.#signed) {
      const hasRoom = await movedTo(run, (published + items.length - window) * this.#mine.length)
      if (!hasRoom || performance.now() - started > forMs) return
      publish(items, nowMs())
      published += items.length
    }
  }

  async #settle({ published, quietMs }: Command & { do: 'settle' }): Promise<Deliveries> {
    const run = this.#run
    const started = performance.now()
    while (run.delivered < published * this.#mine.length) {
      if (performance.now() - Math.max(run.movedAt, started) > quietMs) break
      await setTimeout(POLL_MS)
    }
    return {
      nodes: this.#mine,
      deliveredAt: this.#mine.map((node) => run.times.get(node)!.subarray(0, published)),
      outOfOrder: run.outOfOrder,
      cpuS: cpuNowS() - run.cpuS,
    }
  }
}

type Publish = (items: readonly StreamItem[], at: number) => void
type Run = ReturnType<typeof newRun>

function newRun(nodes: readonly number[], { first, count }: { first: number; count: number }) {
  return {
    first,
    times: new Map(nodes.map((node) => [node, new Float64Array(count)])),
    delivered: 0,
    movedAt: performance.now(),
    wakeAt: Number.POSITIVE_INFINITY,
    wake: () => {},
    outOfOrder: 0,
    cpuS: cpuNowS(),
  }
}

/** Resolves to false when the deliveries of this process stop for long before there are so many. */
async function movedTo(run: Run, delivered: number): Promise<boolean> {
  while (run.delivered < delivered) {
    if (performance.now() - run.movedAt > STALL_MS) return false
    await new Promise<void>((done) => {
      const timer = globalThis.setTimeout(done, STALL_MS)
      run.wakeAt = delivered
      run.wake = () => {
        clearTimeout(timer)
        run.wakeAt = Number.POSITIVE_INFINITY
        done()
      }
    })
  }
  return true
}

async function paced(signed: readonly (readonly StreamItem[])[], perS: number, publish: Publish): Promise<void> {
  const started = nowMs()
  for (const [i, items] of signed.entries()) {
    const due = started + (i * 1_000) / perS
    if (due > nowMs()) await setTimeout(due - nowMs())
    publish(items, Math.min(nowMs(), due + TIMER_MS))
  }
}

/** One clock for all processes of a machine. */
function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

const worker = new Worker()
process.on('message', async (command: Command) => {
  const answer: Answer = await worker.obey(command).then(
    (done) => ({ done }),
    (error: unknown) => ({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  )
  process.send?.(answer)
})
process.on('disconnect', () => process.exit(0))
