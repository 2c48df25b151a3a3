/** A soak of the network from beginning to end: ten nodes, clients, systems outside, a nemesis, and the verdict of a checker. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
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
import { formatTokenRef, instanceOf, laneOf, statusShape, streamOf, tokenOf, tokenTypeOf } from '@smartlayer/protocol'
import type { SmartLayer } from '@smartlayer/sdk/server'
import { generator, pause, unlessAborted } from '../soak-kit/chance.ts'
import { Crew, examined } from '../soak-kit/crew.ts'
import { connected, type Order } from '../soak-kit/part.ts'
import { historyOf, Recorder } from '../soak-kit/recorder.ts'
import type { Finding } from '../soak-kit/verdict.ts'
import { ALL, askState, LANE, type Plan, type PlannedToken } from './client.ts'
import type { Figures } from './figures.ts'
import type { What } from './history.ts'
import { noteLogs, noteMemory, noteOrphans } from './inspect.ts'
import { type End, Nemesis } from './nemesis.ts'

const TOKENS = 8
const OUTSIDE = ['bank', 'phone'] as const
const READERS = ['reader-site', 'reader-board']
const CLIENTS = ['scribe', 'issuer', 'actor', ...READERS]
const KEYS = ['issuer', 'holder', 'conductor', ...OUTSIDE, 'actor', 'scribe', ...READERS]
const BEGIN_LIMIT_MS = 60_000
const FINISH_LIMIT_MS = 75_000
const MEMORY_EVERY_MS = 5_000
const POLL_MS = 500
/** A run that is shorter plays everything within a minute and a half. */
const LONG_S = 300

export type SoakOptions = End & {
  readonly folder: string
  readonly portBase: number
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
  readonly readyMs: number
}
type Stage = {
  readonly network: LocalNetwork
  readonly plan: Plan
  readonly recorder: Recorder<What>
  readonly crew: Crew
  readonly nemesis: Nemesis
  readonly smartLayer: SmartLayer
  readonly options: SoakOptions
}

/** `passed` and `failed` count the laws of the checker. */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const { folder, progress, signal } = options
  const started = performance.now()
  rmSync(folder, { recursive: true, force: true })
  try {
    const network = await LocalNetwork.start({
      folder,
      portBase: options.portBase,
      patches: options.patches ?? [],
      progress: (step, detail) => progress(`· ${step}: ${detail}`),
    })
    try {
      signal.throwIfAborted()
      return await unlessAborted(signal, soak(network, options, started))
    } finally {
      network.chain.signal('SIGCONT')
      await network.stop()
    }
  } finally {
    if (!options.keep) rmSync(folder, { recursive: true, force: true })
    progress(`· ended after ${((performance.now() - started) / 1_000).toFixed(0)} s`)
  }
}

async function soak(network: LocalNetwork, options: SoakOptions, started: number): Promise<SoakResult> {
  const { seed, signal, progress } = options
  const plan = await makePlan(network, seed)
  const planFile = join(network.layout.folder, 'plan.json')
  writeFileSync(planFile, JSON.stringify(plan), { mode: 0o600 })
  const logs = plan.histories
  const recorder = new Recorder<What>(logs, 'conductor', 1)
  const smartLayer = await connected({ plan, stopped: signal }, plan.keys.conductor!, 0)
  const ready = new Set<string>()
  const crew: Crew = new Crew({
    programs: new URL('.', import.meta.url),
    programOf,
    planFile,
    logs,
    draw: generator(seed + 1),
    progress,
    onMessage: (name, message) => {
      const { type, node } = message as { type: 'ready' | 'arrived'; node?: string }
      if (type === 'ready') ready.add(name)
      else nemesis.noteCall(node!)
    },
  })
  const pace = options.seconds < LONG_S ? 'short' : 'long'
  const parts = { network, plan, recorder, crew, smartLayer }
  const nemesis = new Nemesis({
    ...parts,
    draw: generator(seed),
    pace,
    only: options.only ?? [],
    signal,
    progress,
  })
  signal.addEventListener('abort', () => {
    crew.killAll()
    nemesis.goOn()
  })
  const watching = setInterval(() => noteMemory(network, recorder), MEMORY_EVERY_MS)
  try {
    for (const name of OUTSIDE) crew.start(name)
    await until('the systems outside', BEGIN_LIMIT_MS, async () => ready.size === OUTSIDE.length)
    for (const name of CLIENTS) crew.start(name)
    await Promise.all(plan.tokens.map((token) => begun(token, smartLayer)))
    const readyMs = Math.round(performance.now() - started)
    progress(`· clients: ${[...OUTSIDE, ...CLIENTS].join(', ')}; ${plan.tokens.length} tokens after ${readyMs} ms`)
    noteMemory(network, recorder)
    const from = performance.now()
    await nemesis.run(options)
    signal.throwIfAborted()
    const seconds = Math.round((performance.now() - from) / 1_000)
    await finish({ ...parts, nemesis, options })
    clearInterval(watching)
    recorder.close()
    const judged = await examined<Judged>(new URL('examiner.ts', import.meta.url), { planFile, logs })
    const failed = judged.findings.filter(({ faults }) => faults.length > 0).length
    return { passed: judged.findings.length - failed, failed, seed, seconds, readyMs, ...judged }
  } finally {
    clearInterval(watching)
    crew.killAll()
  }
}

function programOf(name: string): string {
  if (name.startsWith('reader')) return 'reader.ts'
  return name === 'bank' || name === 'phone' ? 'outside.ts' : `${name}.ts`
}

/** Clients end, effects settle, journals come to rest; whoever cannot is a fault like any other. */
async function finish({ network, plan, recorder, crew, nemesis, smartLayer, options }: Stage): Promise<void> {
  const wrong = (detail: string) => recorder.write(0, { kind: 'info', f: 'wrong', detail })
  const told: Order = { type: 'stop', heads: {} }
  const end = async (name: string) => {
    for (const late of await crew.finish(name, told, FINISH_LIMIT_MS)) wrong(`${late} could not finish`)
  }
  await nemesis.heal().catch((error: Error) => wrong(error.message))
  await Promise.all([end('issuer'), end('actor')])
  await until('every fact to be applied', FINISH_LIMIT_MS, () => hasApplied(plan, smartLayer)).catch((error: Error) =>
    wrong(error.message),
  )
  await until('every effect to end', FINISH_LIMIT_MS, () => hasSettled(plan)).catch((error: Error) =>
    wrong(error.message),
  )
  await end('reader')
  await Promise.all(plan.tokens.map((token) => askLast(token, { recorder, smartLayer })))
  await end('scribe')
  await Promise.all(OUTSIDE.map(end))
  options.progress('· healed, clients ended, journals at rest')
  noteMemory(network, recorder)
  noteOrphans(network, recorder)
  noteLogs(network, recorder)
}

/** What a site sees in the end, after all that was acknowledged. */
async function askLast(token: PlannedToken, { recorder, smartLayer }: Pick<Stage, 'recorder' | 'smartLayer'>) {
  const asked = { how: 'linearizable', minN: 0 } as const
  const op = recorder.invoke({ kind: 'invoke', f: 'query', token: token.name, ...asked })
  try {
    const { value, answer, stale } = await askState(token, smartLayer, { ...asked, totalMs: BEGIN_LIMIT_MS })
    recorder.write(op, {
      kind: 'ok',
      f: 'query',
      n: Number(answer.n),
      root: answer.stateRoot,
      stale,
      shown: value,
    })
  } catch (error) {
    const detail = `nobody answers for ${token.name} in the end: ${(error as Error).message}`
    recorder.write(0, { kind: 'info', f: 'wrong', detail })
  }
}

/** True once every token took every fact that was published. */
async function hasApplied({ histories, tokens }: Plan, smartLayer: SmartLayer): Promise<boolean> {
  const last = new Map<string, number>()
  for (const line of historyOf<What>(histories, 'issuer')) {
    if (line.f === 'publish' && line.kind === 'invoke') last.set(line.topic, line.index)
  }
  const shown = await Promise.all(tokens.map((token) => askState(token, smartLayer, { how: 'plain', minN: 0 })))
  return shown.every(
    ({ value }, i) => value.own.last >= (last.get(tokens[i]!.name) ?? 0) && value.all.last >= (last.get(ALL) ?? 0),
  )
}

/** True once no replica that is in place knows of an effect that is still to be performed. */
async function hasSettled({ services, tokens }: Plan): Promise<boolean> {
  const statuses = await Promise.all(
    services.map(async ({ api }) => {
      const answer = await fetch(`${api}/v1/status`, { signal: AbortSignal.timeout(FINISH_LIMIT_MS) })
      return statusShape.parse(await answer.json(), 'status')
    }),
  )
  return tokens.every(({ instance }) => {
    const hosted = statuses.flatMap((status) => status.instances.filter((each) => each.instance === instance))
    const newest = hosted.reduce((best, each) => (each.committed > best.committed ? each : best))
    return newest.effects.every(({ status }) => status !== 'pending' && status !== 'attempting')
  })
}

/** Faults begin when every token answers and has taken its first fact. */
async function begun(token: PlannedToken, smartLayer: SmartLayer): Promise<void> {
  await until(`token ${token.name} to take a fact`, BEGIN_LIMIT_MS, async () => {
    const { value } = await askState(token, smartLayer, { how: 'plain', minN: 0 })
    return value.own.last > 0
  })
}

async function until(what: string, limitMs: number, isSo: () => Promise<boolean>): Promise<void> {
  let why: unknown
  for (const deadline = performance.now() + limitMs; performance.now() < deadline; await pause(POLL_MS)) {
    try {
      if (await isSo()) return
    } catch (error) {
      why = error
    }
  }
  throw new Error(`waited ${limitMs} ms for ${what}`, { cause: why })
}

/** A token type with one issuer, and a few tokens of one holder. */
async function makePlan(network: LocalNetwork, seed: number): Promise<Plan> {
  const { layout, file, chain } = network
  const places = layout.nodes.map(({ name, api }) => ({ name, api }))
  const anchors = places.filter(({ name }) => name.startsWith('anchor'))
  const { crypto, signer } = await fastCrypto()
  const { keccak } = crypto
  const keys = Object.fromEntries(
    KEYS.map((name) => [name, keyFile(join(layout.folder, 'keys', `${name}.key`))] as const),
  )
  const owner = await network.account('owner')
  const contract = await deployFlightTicket(owner)
  const holder = signer(keys.holder!).address
  const issuer = signer(keys.issuer!).address
  const ports = { bank: layout.hotelPort, phone: layout.airlinePort }
  const built = await buildToken({
    source: fileURLToPath(new URL('token.ts', import.meta.url)),
    label: 'Network soak',
    contract: { chainId: file.chainId, address: contract },
    issuers: { teller: issuer },
    outside: {
      bank: { url: `http://127.0.0.1:${ports.bank}`, signer: signer(keys.bank!).address },
      phone: { url: `http://127.0.0.1:${ports.phone}` },
    },
    privateKey: keyFile(join(layout.folder, 'keys', 'owner.key')),
  })
  const { tokenRegistry, nodeRegistry } = file.contracts
  const { scriptHash } = await publishToken({
    built,
    contract,
    tokenRegistry,
    owner,
    anchors: anchors.map(({ api }) => api),
  })
  const chainId = BigInt(file.chainId)
  const tokens: PlannedToken[] = []
  for (let tokenId = 1n; tokenId <= TOKENS; tokenId++) {
    await mintTicket(owner, contract, holder, tokenId)
    const ref = { chainId, contract, tokenId }
    const instance = instanceOf(tokenOf(ref, keccak), scriptHash, keccak)
    tokens.push({ name: String(tokenId), token: formatTokenRef(ref), instance })
  }
  const histories = join(layout.folder, 'histories')
  mkdirSync(histories, { recursive: true })
  return {
    histories,
    outboxFile: join(layout.folder, 'outboxes', 'issuer.json'),
    anchors,
    services: places.filter(({ name }) => name.startsWith('service')),
    chain: { id: file.chainId, rpcUrl: chain.url, registry: nodeRegistry },
    contract,
    tokens,
    stream: streamOf(issuer, tokenTypeOf({ chainId, contract }, keccak), laneOf(LANE, keccak), keccak),
    keys,
    ports,
    seed,
  }
}
