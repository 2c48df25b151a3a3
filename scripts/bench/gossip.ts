/** Gossip and order beside js-libp2p gossipsub: the same facts, checks, layouts and rates for both; `node … gossip.ts SIDE`. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GossipSide, Layout } from './gossip-host.ts'
import type { Answer, Answers, Command, Deliveries, Pace } from './gossip-worker.ts'
import { quantile, type Row, row, type Target } from './row.ts'

type Plan = {
  readonly layout: Layout
  /** Slow enough for both sides to be idle in between: this is about latency and cost, not about queues. */
  readonly perS: number
  readonly facts: number
}
type Run = {
  readonly published: number
  readonly eachMs: readonly number[]
  readonly allMs: readonly number[]
  readonly lost: number
  readonly outOfOrder: number
  /** Facts that all nodes got, from the first call to the last delivery. */
  readonly perS: number
  readonly cpuMs: number
}
export type GossipFigures = {
  readonly eachP50Ms: number
  readonly eachP99Ms: number
  readonly allP50Ms: number
  readonly allP99Ms: number
  readonly cpuMsPerDelivery: number
  /** With a share of the messages lost: deliveries that never came, and how long the others took. */
  readonly lost: number
  readonly lossyAllP99Ms: number
  readonly singlyPerS: number
  readonly singlyCpuMsPerDelivery: number
  readonly inBatchesPerS: number
  readonly inBatchesCpuMsPerDelivery: number
  /** Deliveries of all runs at nodes that did not have the fact before. */
  readonly outOfOrder: number
}

export const OURS: GossipSide = { name: 'ours', module: new URL('gossip-ours.ts', import.meta.url).href }
export const LIBP2P: GossipSide = { name: 'libp2p', module: new URL('gossip-libp2p.ts', import.meta.url).href }
export const LIBP2P_TLS: GossipSide = {
  name: 'libp2p-tls',
  module: new URL('gossip-libp2p-tls.ts', import.meta.url).href,
}
const SIDES: readonly GossipSide[] = [OURS, LIBP2P, LIBP2P_TLS]
const SMALL: Layout = { nodes: 16, processes: 1, anchors: 4 }
const PLANS: readonly Plan[] = [
  { layout: SMALL, perS: 20, facts: 120 },
  { layout: { nodes: 50, processes: 2, anchors: 4 }, perS: 5, facts: 50 },
]
/** Facts under way at full speed. */
const WINDOW = 64
const WARM = { count: 1_024, batch: 1, pace: { window: WINDOW, forMs: 2_000 } }
const FULL_SPEED = { count: 4_096, pace: { window: WINDOW, forMs: 5_000 } }
const BATCH = 32
const LOSS = 0.2
/** Longer than gossipsub remembers what it could still repair. */
const QUIET_MS = 6_000
const STOP_MS = 10_000
const TARGET_ALL_MS = 15
const TARGET_SINGLY_PER_S = 200
const TARGET_IN_BATCHES_PER_S = 400
const TARGET_CPU_RATIO = 0.25

export async function benchGossip(ours: GossipSide = OURS, peer: GossipSide = LIBP2P): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const plan of PLANS) {
    const figures = { ours: await measureGossip(ours, plan), peer: await measureGossip(peer, plan) }
    rows.push(...rowsOf(plan.layout, figures))
  }
  return rows
}

/** All runs of one side in one layout, on one network of it. */
export async function measureGossip(side: GossipSide, { layout, perS, facts }: Plan): Promise<GossipFigures> {
  const folder = mkdtempSync(join(tmpdir(), 'smart-layer-gossip-'))
  const network = new WorkerNetwork(side, layout, folder)
  try {
    await network.start()
    await network.run(WARM)
    const calm = await network.run({ count: facts, batch: 1, pace: { perS } })
    const lossy = await network.run({ count: facts, batch: 1, pace: { perS }, loss: LOSS })
    const singly = await network.run({ ...FULL_SPEED, batch: 1 })
    const inBatches = await network.run({ ...FULL_SPEED, batch: BATCH })
    return {
      eachP50Ms: quantile(calm.eachMs, 0.5),
      eachP99Ms: quantile(calm.eachMs, 0.99),
      allP50Ms: quantile(calm.allMs, 0.5),
      allP99Ms: quantile(calm.allMs, 0.99),
      cpuMsPerDelivery: cpuMsPerDelivery(calm),
      lost: lossy.lost,
      lossyAllP99Ms: quantile(lossy.allMs, 0.99),
      singlyPerS: singly.perS,
      singlyCpuMsPerDelivery: cpuMsPerDelivery(singly),
      inBatchesPerS: inBatches.perS,
      inBatchesCpuMsPerDelivery: cpuMsPerDelivery(inBatches),
      outOfOrder: [calm, lossy, singly, inBatches].reduce((sum, { outOfOrder }) => sum + outOfOrder, 0),
    }
  } finally {
    await network.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

function cpuMsPerDelivery({ cpuMs, eachMs }: Run): number {
  return cpuMs / eachMs.length
}

/** The absolute goals are for the small layout. */
function rowsOf(
  { nodes, processes }: Layout,
  { ours, peer }: { readonly ours: GossipFigures; readonly peer: GossipFigures },
): readonly Row[] {
  const of = (name: string, unit: string, figure: keyof GossipFigures, target?: Target) =>
    row(`gossip, ${nodes} in ${processes}: ${name}`, unit, {
      ours: ours[figure],
      peer: peer[figure],
      ...(target ? { target } : {}),
    })
  const none: Target = { of: 'ours', at: 'most', value: 0 }
  const inSmall = (at: Target['at'], value: number): Target | undefined =>
    nodes === SMALL.nodes ? { of: 'ours', at, value } : undefined
  return [
    of('to all, p50', 'ms', 'allP50Ms', inSmall('most', TARGET_ALL_MS)),
    of('to all, p99', 'ms', 'allP99Ms'),
    of('to each, p50', 'ms', 'eachP50Ms'),
    of('to each, p99', 'ms', 'eachP99Ms'),
    of('CPU', 'ms/delivery', 'cpuMsPerDelivery', { of: 'ratio', at: 'most', value: TARGET_CPU_RATIO }),
    of('signed singly', '/s', 'singlyPerS', inSmall('least', TARGET_SINGLY_PER_S)),
    of('signed singly, CPU', 'ms/delivery', 'singlyCpuMsPerDelivery'),
    of('in issuer batches', '/s', 'inBatchesPerS', inSmall('least', TARGET_IN_BATCHES_PER_S)),
    of('in issuer batches, CPU', 'ms/delivery', 'inBatchesCpuMsPerDelivery'),
    of(`lost at ${LOSS * 100} % drop`, 'deliveries', 'lost', none),
    of(`to all at ${LOSS * 100} % drop, p99`, 'ms', 'lossyAllP99Ms'),
    of('out of order', 'deliveries', 'outOfOrder', none),
  ]
}

/** A side's nodes in processes of their own, so that their CPU time is theirs alone. */
class WorkerNetwork {
  readonly #side: GossipSide
  readonly #layout: Layout
  readonly #folder: string
  readonly #workers: ChildProcess[] = []

  constructor(side: GossipSide, layout: Layout, folder: string) {
    this.#side = side
    this.#layout = layout
    this.#folder = folder
  }

  async start(): Promise<void> {
    const { nodes, processes } = this.#layout
    const script = fileURLToPath(new URL('gossip-worker.ts', import.meta.url))
    const addresses: string[] = []
    for (let process = 0; process < processes; process++) {
      const worker = fork(script, { serialization: 'advanced' })
      this.#workers.push(worker)
      const folder = join(this.#folder, String(process))
      mkdirSync(folder)
      const start = { do: 'start', module: this.#side.module, process, layout: this.#layout, folder } as const
      const own = await ask(worker, start)
      own.forEach((address, i) => {
        addresses[process + i * processes] = address
      })
    }
    if (addresses.filter(Boolean).length !== nodes) throw new Error(`${this.#side.name} did not start ${nodes} nodes`)
    await this.#askAll({ do: 'join', addresses })
  }

  /** The first process holds the door, so it publishes. */
  async run({
    loss = 0,
    count,
    batch,
    pace,
  }: {
    loss?: number
    count: number
    batch: number
    pace: Pace
  }): Promise<Run> {
    const publisher = this.#workers[0]!
    const { first } = await ask(publisher, { do: 'sign', count, batch })
    await this.#askAll({ do: 'begin', first, count, loss })
    const { publishedAt } = await ask(publisher, { do: 'publish', pace })
    const published = publishedAt.length
    return runOf(publishedAt, await this.#askAll({ do: 'settle', published, quietMs: QUIET_MS }))
  }

  async stop(): Promise<void> {
    const stopping = this.#workers.filter(isAlive).map((worker) => ask(worker, { do: 'stop' }))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise((done) => {
      timer = setTimeout(done, STOP_MS)
    })
    await Promise.race([Promise.allSettled(stopping), late])
    clearTimeout(timer)
    for (const worker of this.#workers) worker.kill('SIGKILL')
    await Promise.all(this.#workers.filter(isAlive).map((worker) => once(worker, 'exit')))
  }

  #askAll<C extends Command>(command: C): Promise<readonly Answers[C['do']][]> {
    return Promise.all(this.#workers.map((worker) => ask(worker, command)))
  }
}

function isAlive({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null
}

/** Sends a command and waits for its answer: one at a time for each worker. */
async function ask<C extends Command>(worker: ChildProcess, command: C): Promise<Answers[C['do']]> {
  const answer = await new Promise<Answer>((done, fail) => {
    const gone = () => fail(new Error(`a process of the gossip benchmark ended during "${command.do}"`))
    worker.once('exit', gone)
    worker.once('message', (message: Answer) => {
      worker.off('exit', gone)
      done(message)
    })
    worker.send(command)
  })
  if ('failed' in answer) throw new Error(answer.failed)
  return answer.done as Answers[C['do']]
}

function runOf(publishedAt: Float64Array, records: readonly Deliveries[]): Run {
  const times = records.flatMap(({ deliveredAt }) => deliveredAt)
  const eachMs: number[] = []
  const allMs: number[] = []
  let last = 0
  publishedAt.forEach((at, i) => {
    const delivered = times.map((node) => node[i]!).filter((time) => time > 0)
    eachMs.push(...delivered.map((time) => time - at))
    if (delivered.length === times.length) allMs.push(Math.max(...delivered) - at)
    last = Math.max(last, ...delivered)
  })
  return {
    published: publishedAt.length,
    eachMs,
    allMs,
    lost: publishedAt.length * times.length - eachMs.length,
    outOfOrder: records.reduce((sum, { outOfOrder }) => sum + outOfOrder, 0),
    perS: (allMs.length * 1_000) / (last - (publishedAt[0] ?? 0)),
    cpuMs: records.reduce((sum, { cpuS }) => sum + cpuS * 1_000, 0),
  }
}

if (import.meta.main) {
  const side = SIDES.find(({ name }) => name === process.argv[2])
  if (!side) {
    console.error(`✖ Which side?\n  fix: Use one of ${SIDES.map(({ name }) => name).join(', ')}.\n  code: cli.usage`)
    process.exit(2)
  }
  for (const plan of PLANS) {
    const { nodes, processes } = plan.layout
    console.log(`${side.name}, ${nodes} nodes in ${processes}`)
    console.table(await measureGossip(side, plan))
  }
}
