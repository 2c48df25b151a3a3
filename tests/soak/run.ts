/** A soak from beginning to end: a network of processes, clients, a nemesis, and the verdict of an independent checker. */
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  buildToken,
  deployFlightTicket,
  keyFile,
  LocalNetwork,
  type LocalNetworkOptions,
  mintTicket,
  publishToken,
} from '@smartlayer/cli'
import { fastCrypto } from '@smartlayer/node'
import { formatTokenRef, laneOf, streamOf, subsetHeadShape, subsetOf, tokenTypeOf } from '@smartlayer/protocol'
import { generator, pause, unlessAborted } from '../soak-kit/chance.ts'
import { Crew, examined } from '../soak-kit/crew.ts'
import type { Order } from '../soak-kit/part.ts'
import { Recorder } from '../soak-kit/recorder.ts'
import type { Finding } from '../soak-kit/verdict.ts'
import { LANE, type Plan, SUBSETS } from './client.ts'
import { MOUNTS_VARIABLE, mountDisk, unmountDisk } from './disk.ts'
import type { Figures } from './figures.ts'
import type { What } from './history.ts'
import { headOf, Nemesis, type Pace } from './nemesis.ts'

const WRITERS = ['single', 'pipelined', 'batch'] as const
const CLIENTS = [
  ...WRITERS.map((writer) => `writer-${writer}`),
  'reader-events',
  'reader-sockets',
  'reader-live',
  'reader-pages',
]
/** Anchors whose data lies on a small disk of its own; the others have the disk of this machine. */
const SMALL_DISKS = ['anchor-2', 'anchor-4']
/** Service nodes that the soak keeps; the rest of the network's are ended. */
const SERVICES = ['service-1', 'service-2', 'service-3']
const FINISH_LIMIT_MS = 70_000
const TOKEN_ID = 1n
const PLACEMENT_ATTEMPTS = 100
const PLACEMENT_PAUSE_MS = 200
const KILL_EVERY_S: Readonly<Record<Pace, readonly [number, number]>> = { long: [4, 15], short: [3, 7] }
/** A run that is shorter plays everything within a minute. */
const LONG_S = 180

export type SoakOptions = {
  readonly folder: string
  readonly portBase: number
  readonly seconds: number
  readonly seed: number
  /** Bugs planted in every node: a soak that does not find them is worth nothing. */
  readonly patches?: LocalNetworkOptions['patches']
  /** Names of the faults to play; all of them when it is empty. */
  readonly only?: readonly string[]
  /** Leaves the histories where they are. */
  readonly keep?: boolean
  readonly signal: AbortSignal
  readonly progress: (line: string) => void
}
type Judged = { readonly findings: readonly Finding[]; readonly figures: Figures }
export type SoakResult = Judged & {
  readonly passed: number
  readonly failed: number
  readonly seed: number
  readonly seconds: number
  /** How a full disk was made. */
  readonly disks: string
  readonly readyMs: number
  readonly clientKills: number
}

/** `passed` and `failed` count the laws of the checker. */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const { folder, seconds, progress, signal } = options
  const started = performance.now()
  const disks = process.env[MOUNTS_VARIABLE] === undefined ? [] : SMALL_DISKS
  rmSync(folder, { recursive: true, force: true })
  for (const name of disks) mountDisk(join(folder, 'nodes', name), seconds)
  try {
    const network = await LocalNetwork.start({
      folder,
      portBase: options.portBase,
      patches: options.patches ?? [],
      progress: (step, detail) => progress(`· ${step}: ${detail}`),
    })
    try {
      signal.throwIfAborted()
      return await unlessAborted(signal, soak(network, { ...options, disks, started }))
    } finally {
      await network.stop()
    }
  } finally {
    for (const name of disks) {
      const node = join(folder, 'nodes', name)
      const log = join(node, 'node.log')
      if (options.keep && existsSync(log)) copyFileSync(log, join(folder, `${name}.log`))
      unmountDisk(node)
    }
    if (!options.keep) rmSync(folder, { recursive: true, force: true })
    progress(`· ended after ${((performance.now() - started) / 1_000).toFixed(0)} s (${seconds} s of them under way)`)
  }
}

async function soak(
  network: LocalNetwork,
  options: SoakOptions & { readonly disks: readonly string[]; readonly started: number },
): Promise<SoakResult> {
  const { seconds, seed, signal, progress, disks } = options
  const rest = network.layout.nodes.filter(({ role, name }) => role === 'service' && !SERVICES.includes(name))
  await Promise.all(rest.map(({ name }) => network.nodes.get(name)!.stop()))
  const plan = await makePlan(network)
  const planFile = join(network.layout.folder, 'plan.json')
  writeFileSync(planFile, JSON.stringify(plan), { mode: 0o600 })
  const logs = plan.histories
  const recorder = new Recorder<What>(plan.histories, 'nemesis', 1)
  const pace = seconds < LONG_S ? 'short' : 'long'
  const nemesis = new Nemesis({
    network,
    plan,
    recorder,
    disks,
    draw: generator(seed),
    pace,
    only: options.only ?? [],
    signal,
    progress,
  })
  const programs = new URL('.', import.meta.url)
  const programOf = (name: string) => (name.startsWith('writer') ? 'writer.ts' : 'reader.ts')
  const crew = new Crew({ programs, programOf, planFile, logs, draw: generator(seed + 1), progress })
  const readyMs = Math.round(performance.now() - options.started)
  const over = new AbortController()
  signal.addEventListener('abort', () => {
    crew.killAll()
    nemesis.goOn()
  })
  try {
    await activate(network, plan)
    for (const name of CLIENTS) crew.start(name)
    await firstEntries(plan, signal)
    progress(`· clients: ${CLIENTS.join(', ')}`)
    const harassed = crew.harass(KILL_EVERY_S[pace], AbortSignal.any([signal, over.signal]))
    await nemesis.run(seconds)
    over.abort()
    await harassed
    signal.throwIfAborted()
    await finish({ plan, nemesis, crew, recorder, progress })
    const judged = await examined<Judged>(new URL('examiner.ts', import.meta.url), { planFile, logs })
    const failed = judged.findings.filter(({ faults }) => faults.length > 0).length
    return {
      passed: judged.findings.length - failed,
      failed,
      seed,
      seconds,
      disks:
        disks.length > 0
          ? `small disks of their own for ${disks.join(' and ')}`
          : 'a limit on file sizes: no disk may be mounted here',
      readyMs,
      clientKills: crew.kills,
      ...judged,
    }
  } finally {
    crew.killAll()
  }
}

/** Writers finish what they signed, readers read what there is; who cannot is a fault like any other. */
async function finish({
  plan,
  nemesis,
  crew,
  recorder,
  progress,
}: {
  plan: Plan
  nemesis: Nemesis
  crew: Crew
  recorder: Recorder<What>
  progress: (line: string) => void
}): Promise<void> {
  const wrong = (detail: string) => recorder.write(0, { kind: 'info', f: 'wrong', detail })
  await nemesis.heal().catch((error: Error) => wrong(error.message))
  const nowhere: Order = { type: 'stop', heads: {} }
  for (const name of await crew.finish('writer', nowhere, FINISH_LIMIT_MS)) wrong(`${name} could not finish`)
  await nemesis.heal().catch((error: Error) => wrong(error.message))
  const heads = await headsOf(plan)
  progress(
    `· healed, writers ended: ${plan.streams.map(({ writer, stream }) => `${writer} ${heads[stream]}`).join(', ')}`,
  )
  for (const name of await crew.finish('reader', { type: 'stop', heads }, FINISH_LIMIT_MS))
    wrong(`${name} could not finish`)
  await nemesis.heal().catch((error: Error) => wrong(error.message))
  recorder.close()
}

/** A token type whose three issuers have a stream each. */
async function makePlan(network: LocalNetwork): Promise<Plan> {
  const { layout, file, chain } = network
  const places = layout.nodes.map(({ name, api }) => ({ name, api }))
  const anchors = places.filter(({ name }) => name.startsWith('anchor'))
  const { crypto, signer } = await fastCrypto()
  const { keccak } = crypto
  const owner = await network.account('owner')
  const contract = await deployFlightTicket(owner)
  await mintTicket(owner, contract, owner.address, TOKEN_ID)
  const keys = WRITERS.map((writer) => ({ writer, key: keyFile(join(layout.folder, 'keys', `${writer}.key`)) }))
  const issuers = Object.fromEntries(keys.map(({ writer, key }) => [writer, signer(key).address]))
  const built = await buildToken({
    source: fileURLToPath(new URL('token.ts', import.meta.url)),
    label: 'Soak',
    contract: { chainId: file.chainId, address: contract },
    issuers,
    outside: {},
    privateKey: keyFile(join(layout.folder, 'keys', 'owner.key')),
  })
  const { tokenRegistry, nodeRegistry } = file.contracts
  await publishToken({ built, contract, tokenRegistry, owner, anchors: anchors.map(({ api }) => api) })
  const tokenType = tokenTypeOf({ chainId: BigInt(file.chainId), contract }, keccak)
  const histories = join(layout.folder, 'histories')
  mkdirSync(histories, { recursive: true })
  return {
    histories,
    outboxes: join(layout.folder, 'outboxes'),
    anchors,
    services: places.filter(({ name }) => SERVICES.includes(name)),
    chain: { id: file.chainId, rpcUrl: chain.url, registry: nodeRegistry },
    contract,
    streams: keys.map(({ writer, key }) => {
      const issuer = signer(key).address
      return { writer, key, issuer, stream: streamOf(issuer, tokenType, laneOf(LANE, keccak), keccak) }
    }),
  }
}

/** An instance that follows a subset of each stream: service nodes are readers as well. */
async function activate({ file }: LocalNetwork, { anchors, contract }: Plan): Promise<void> {
  const token = formatTokenRef({ chainId: BigInt(file.chainId), contract, tokenId: TOKEN_ID })
  for (let attempt = 0; attempt < PLACEMENT_ATTEMPTS; attempt++) {
    const answer = await fetch(`${anchors[0]!.api}/v1/tokens/${encodeURIComponent(token)}/placement`)
    if (answer.ok) return
    await pause(PLACEMENT_PAUSE_MS)
  }
  throw new Error('no executor was elected')
}

/** Faults begin when every stream has begun. */
async function firstEntries({ anchors, streams }: Plan, signal: AbortSignal): Promise<void> {
  for (const { stream } of streams) {
    for (;;) {
      signal.throwIfAborted()
      const head = await headOf(anchors[0]!.api, stream)
      if (head && head.certified > 0n) break
      await pause(50)
    }
  }
}

/** How far each stream goes, and each subset of it. */
async function headsOf({ anchors, streams }: Plan): Promise<Record<string, number>> {
  const { crypto } = await fastCrypto()
  const heads: Record<string, number> = {}
  const { api } = anchors[0]!
  for (const { stream } of streams) {
    heads[stream] = Number((await headOf(api, stream))?.certified ?? 0n)
    for (const key of SUBSETS) {
      const subset = subsetOf(key, crypto.keccak)
      const answer = await fetch(`${api}/v1/streams/${stream}/subsets/${subset}`)
      heads[`${stream}/${subset}`] = Number(subsetHeadShape.parse(await answer.json(), 'head').sequence)
    }
  }
  return heads
}
