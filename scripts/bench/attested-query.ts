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
import { resolve, type Site } from '@smartlayer/sdk'
import type { FlightDemo } from '../../examples/flight-ticket/src/demo.ts'
import { cpuOf, treeOf } from './processes.ts'
import { quantile, type Row, row } from './row.ts'

const SCOPES = ['flight.status:read']
const WARM = 300
const ALONE = 400
const TOGETHER = 3_000
const CONCURRENCY = 16
const IDLE_MS = 2_000
const TARGET_RATIO = 0.2
const TARGET_ADDED_MS = 0.5

type Load = { readonly url: string; readonly pids: readonly number[]; readonly bodies: () => string }
type Figures = { readonly p50Ms: number; readonly perCpuS: number }

export async function benchAttestedQuery(demo: FlightDemo): Promise<readonly Row[]> {
  const { site } = demo.smartLayer
  const token = demo.token()
  const audience = site.signer.address
  const grant = await demo.consent.grant(token, { audience, origin: demo.urls.rental, scopes: SCOPES })
  const { certified } = await resolve(site, token)
  const replica = certified.placement.replicas.find((node) => node !== certified.placement.executor)
  const place = demo.network.layout.nodes.find(({ api }) => api === apiOf(site, replica))
  const pid = place && demo.network.nodes.get(place.name)?.pid
  if (!place || !pid) throw new Error('the ticket has no running replica')
  const path = `/v1/tokens/${encodeURIComponent(token)}/query`
  const body = () => signedQuery(site, token, grant)
  const url = place.api + path
  const sample = await post(new Agent(), url, body())
  answerShape.parse(JSON.parse(sample), 'answer')
  const ours = await measure({ url, pids: treeOf(pid), bodies: body })
  const peer = await bareRoute(demo, { path, answer: sample, body: body() })
  return [
    row('attested-query', 'per CPU s', {
      ours: ours.perCpuS,
      peer: peer.perCpuS,
      target: { of: 'ratio', at: 'least', value: TARGET_RATIO },
    }),
    row('attested-query p50, one at a time', 'ms', { ours: ours.p50Ms, peer: peer.p50Ms }),
    row('attested-query added p50', 'ms', {
      ours: ours.p50Ms - peer.p50Ms,
      target: { of: 'ours', at: 'most', value: TARGET_ADDED_MS },
    }),
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
async function measure({ url, pids, bodies }: Load): Promise<Figures> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY })
  try {
    await ask(agent, url, { bodies: prepare(bodies, WARM), concurrency: CONCURRENCY })
    const alone = await ask(agent, url, { bodies: prepare(bodies, ALONE), concurrency: 1 })
    const idle = cpuOf(pids)
    await setTimeout(IDLE_MS)
    const idlePerMs = (cpuOf(pids) - idle) / IDLE_MS
    const loaded = prepare(bodies, TOGETHER)
    const [cpu, started] = [cpuOf(pids), performance.now()]
    await ask(agent, url, { bodies: loaded, concurrency: CONCURRENCY })
    const used = cpuOf(pids) - cpu - idlePerMs * (performance.now() - started)
    return { p50Ms: quantile(alone, 0.5), perCpuS: TOGETHER / used }
  } finally {
    agent.destroy()
  }
}

/** Signed before the clock starts: every query is new to the node. */
function prepare(bodies: () => string, count: number): string[] {
  return Array.from({ length: count }, bodies)
}

async function ask(
  agent: Agent,
  url: string,
  { bodies, concurrency }: { bodies: string[]; concurrency: number },
): Promise<number[]> {
  const latencies: number[] = []
  const worker = async () => {
    for (let body = bodies.pop(); body !== undefined; body = bodies.pop()) {
      const started = performance.now()
      await post(agent, url, body)
      latencies.push(performance.now() - started)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  return latencies
}

function post(agent: Agent, url: string, body: string): Promise<string> {
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  return new Promise((done, fail) => {
    const sent = request(url, { agent, method: 'POST', headers }, (response) => {
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

function signedQuery(site: Site, token: string, grant: AttestedGrant): string {
  const { crypto, network, signer } = site
  const args = 'null'
  const query: Query = {
    token: tokenOf(parseTokenRef(token), crypto.keccak),
    method: 'status',
    args: textHash(args, crypto),
    audience: signer.address,
    grant: toHex(digestOf(Grant, grant.grant, network.domain, crypto.keccak)),
    nonce: toHex(site.random(32)),
    time: site.clock.now(),
    ...ANY_FRESHNESS,
    bypassCache: false,
  }
  const signature = signer.sign(digestOf(Query, query, network.domain, crypto.keccak))
  return JSON.stringify(queryRequestShape.toJson({ query, signature, args, grant }))
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
