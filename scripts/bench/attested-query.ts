/** Attested queries over HTTP at one service node, beside the same Fastify route that attests nothing. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  ANY_FRESHNESS,
  type AttestedGrant,
  answerShape,
  digestOf,
  Grant,
  parseTokenRef,
  Query,
  queryRequestShape,
  textHash,
  toHex,
  tokenOf,
} from '@smartlayer/protocol'
import { query, resolve, type Site } from '@smartlayer/sdk'
import type { FlightDemo } from '../../examples/flight-ticket/src/demo.ts'
import { cpuOf, treeOf } from './processes.ts'
import { quantile, type Row, row } from './row.ts'

const SCOPES = ['flight.status:read']
/** Long enough for both sides to be compiled as far as they ever are. */
const WARM = 3_000
const ALONE = 400
const TOGETHER = 3_000
const CONCURRENCY = 16
const IDLE_MS = 2_000
const TARGET_RATIO = 0.2
const TARGET_ADDED_MS = 0.5
const TARGET_HIT_RATIO = 0.5
const TARGET_HIT_ADDED_MS = 0.3
const TARGET_PUBLIC_RATIO = 1

/** Without `bodies` the same is got again and again. */
type Load = { readonly url: string; readonly pids: readonly number[]; readonly bodies?: () => string }
type Request = { readonly url: string; readonly body: string | undefined }
type Figures = { readonly p50Ms: number; readonly perCpuS: number }

export async function benchAttestedQuery(demo: FlightDemo): Promise<readonly Row[]> {
  const { site } = demo.smartLayer
  const token = demo.token()
  const audience = site.signer.address
  const grant = await demo.consent.grant(token, { audience, origin: demo.urls.rental, scopes: SCOPES })
  await query(site, { token, method: 'status', grant }) // asks again until the replicas have confirmed a position
  const { certified } = await resolve(site, token)
  const replica = certified.placement.replicas.find((node) => node !== certified.placement.executor)
  const place = demo.network.layout.nodes.find(({ api }) => api === apiOf(site, replica))
  const pid = place && demo.network.nodes.get(place.name)?.pid
  if (!place || !pid) throw new Error('the ticket has no running replica')
  const path = `/v1/tokens/${encodeURIComponent(token)}/query`
  const url = place.api + path
  const pids = treeOf(pid)
  const kept = () => signedQuery(site, { token, grant, bypassCache: false })
  const anew = () => signedQuery(site, { token, grant, bypassCache: true })
  const sample = await send(new Agent(), { url, body: kept() })
  answerShape.parse(JSON.parse(sample), 'answer')
  const computed = await measure({ url, pids, bodies: anew })
  const cached = await measure({ url, pids, bodies: kept })
  const forAll = await measure({ url: `${place.api}/v1/tokens/${encodeURIComponent(token)}/queries/delay`, pids })
  const peer = await bareRoute(demo, { path, answer: sample, body: kept() })
  const costRow = (name: string, ours: Figures, value: number) =>
    row(name, 'per CPU s', {
      ours: ours.perCpuS,
      peer: peer.perCpuS,
      target: { of: 'ratio', at: 'least', value },
    })
  const addedRow = (name: string, ours: Figures, value: number) =>
    row(`${name} added p50`, 'ms', { ours: ours.p50Ms - peer.p50Ms, target: { of: 'ours', at: 'most', value } })
  return [
    costRow('attested-query, computed anew', computed, TARGET_RATIO),
    row('attested-query p50, one at a time', 'ms', { ours: computed.p50Ms, peer: peer.p50Ms }),
    addedRow('attested-query', computed, TARGET_ADDED_MS),
    costRow('attested-query, cache hit', cached, TARGET_HIT_RATIO),
    addedRow('attested-query, cache hit', cached, TARGET_HIT_ADDED_MS),
    costRow('attested-query, for everybody', forAll, TARGET_PUBLIC_RATIO),
    addedRow('attested-query, for everybody', forAll, TARGET_HIT_ADDED_MS),
  ]
}

/** The peer runs in its own process, so that both are asked in the same way. */
async function bareRoute(
  demo: FlightDemo,
  { path, answer, body }: { path: string; answer: string; body: string },
): Promise<Figures> {
  const port = demo.network.layout.controlPort + 60
  const script = fileURLToPath(new URL('bare-route.ts', import.meta.url))
  const child = spawn(
    process.execPath,
    ['--conditions=source', '--disable-warning=ExperimentalWarning', script, String(port), answer],
    { stdio: 'inherit' },
  )
  try {
    const base = `http://127.0.0.1:${port}`
    for (let tries = 0; !(await isUp(`${base}/health`)); tries++) {
      if (tries > 100 || child.exitCode !== null) throw new Error('the bare route does not start')
      await setTimeout(50)
    }
    return await measure({ url: base + path, pids: [child.pid ?? 0], bodies: () => body })
  } finally {
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
  }
}

/** Latency one at a time; CPU under concurrent load, less what the process uses without any. */
async function measure(load: Load): Promise<Figures> {
  const { pids } = load
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY })
  try {
    await ask(agent, { requests: prepare(load, WARM), concurrency: CONCURRENCY })
    const alone = await ask(agent, { requests: prepare(load, ALONE), concurrency: 1 })
    const idle = cpuOf(pids)
    await setTimeout(IDLE_MS)
    const idlePerMs = (cpuOf(pids) - idle) / IDLE_MS
    const loaded = prepare(load, TOGETHER)
    const [cpu, started] = [cpuOf(pids), performance.now()]
    await ask(agent, { requests: loaded, concurrency: CONCURRENCY })
    const used = cpuOf(pids) - cpu - idlePerMs * (performance.now() - started)
    return { p50Ms: quantile(alone, 0.5), perCpuS: TOGETHER / used }
  } finally {
    agent.destroy()
  }
}

/** Signed before the clock starts: every query is new to the node. */
function prepare({ url, bodies }: Load, count: number): Request[] {
  return Array.from({ length: count }, () => ({ url, body: bodies?.() }))
}

async function ask(
  agent: Agent,
  { requests, concurrency }: { requests: Request[]; concurrency: number },
): Promise<number[]> {
  const latencies: number[] = []
  const worker = async () => {
    for (let next = requests.pop(); next !== undefined; next = requests.pop()) {
      const started = performance.now()
      await send(agent, next)
      latencies.push(performance.now() - started)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  return latencies
}

function send(agent: Agent, { url, body }: Request): Promise<string> {
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body ?? '') }
  const options = body === undefined ? { agent } : { agent, method: 'POST', headers }
  return new Promise((done, fail) => {
    const sent = request(url, options, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => (response.statusCode === 200 ? done(text) : fail(new Error(text.slice(0, 500)))))
    })
    sent.on('error', fail)
    sent.end(body)
  })
}

function signedQuery(
  site: Site,
  { token, grant, bypassCache }: { token: string; grant: AttestedGrant; bypassCache: boolean },
): string {
  const { crypto, network, signer } = site
  const args = 'null'
  const message: Query = {
    token: tokenOf(parseTokenRef(token), crypto.keccak),
    method: 'status',
    args: textHash(args, crypto),
    audience: signer.address,
    grant: toHex(digestOf(Grant, grant.grant, network.domain, crypto.keccak)),
    nonce: toHex(site.random(32)),
    time: site.clock.now(),
    ...ANY_FRESHNESS,
    bypassCache,
  }
  const signature = signer.sign(digestOf(Query, message, network.domain, crypto.keccak))
  return JSON.stringify(queryRequestShape.toJson({ query: message, signature, args, grant }))
}

function apiOf(site: Site, node: string | undefined): string | undefined {
  return site.network.membership.members.find((member) => member.node === node)?.api
}

async function isUp(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok
  } catch {
    return false // not listening yet
  }
}
