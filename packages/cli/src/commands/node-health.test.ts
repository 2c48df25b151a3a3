/** `sl node status` and `sl node drain` against anchors that say what real ones say, and a node that takes what it is told. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type Address,
  digestOf,
  domainOf,
  drainInfoShape,
  isSmartLayerError,
  LOCAL_DIRECTORY,
  type NodeInfo,
  networkInfoShape,
  nobleCrypto,
  nobleSigner,
  nodeHealthShape,
  nodePageShape,
  ReadWeights,
  ZERO_32,
} from '@smartlayer/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { runCommand } from '../program.ts'
import { durationOf, middleOf, statusRows } from './node-health.ts'

const SERVICE: Address = `0x${'5e'.repeat(20)}`
const ANCHOR = nobleSigner(`0x${'0a'.repeat(32)}`)
const DOMAIN = domainOf(
  { name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: `0x${'a0'.repeat(20)}` },
  nobleCrypto.keccak,
)
const OBJECTIVES = { availability: 9_000, latencyMs: 512, stalenessMs: 3_000, failedCalls: 1_000 }

function infoOf(change: Partial<NodeInfo> = {}): NodeInfo {
  return {
    node: SERVICE,
    operator: ZERO_32,
    platform: ZERO_32,
    alive: true,
    state: 'degraded',
    score: 8_215,
    weight: 4_000,
    reasons: [{ objective: 'latencyMs', measured: 1_024, wanted: 512 }],
    missed: 2,
    outlook: { degraded: 0, draining: 2, penalty: 4 },
    until: 0n,
    drain: undefined,
    instances: 3,
    limit: 10_000,
    ...change,
  }
}

let servers: Server[]
let told: unknown[]
let out: string
let err: string

beforeEach(() => {
  servers = []
  told = []
  out = ''
  err = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
  for (const server of servers) server.close()
})

/** A network of one anchor and one service node; the URL of the anchor. */
async function network(info = infoOf()): Promise<string> {
  const apis: string[] = []
  const node = (i: number) => ({
    node: i === 0 ? ANCHOR.address : SERVICE,
    role: i === 0 ? ('anchor' as const) : ('service' as const),
    transportKey: ZERO_32,
    overlay: '',
    api: apis[i]!,
    operator: ZERO_32,
    platform: ZERO_32,
    stake: 1n,
  })
  const routes: Record<string, () => unknown> = {
    '/v1/network': () =>
      networkInfoShape.toJson({
        networkId: ZERO_32,
        chainId: 1n,
        registry: DOMAIN.verifyingContract,
        tokenRegistry: DOMAIN.verifyingContract,
        eas: DOMAIN.verifyingContract,
        easVersion: '1.0.1',
        epoch: 1n,
        beacon: ZERO_32,
        earlierBeacons: [],
        directory: LOCAL_DIRECTORY,
        members: [node(0), node(1)],
        parameters: { leaseMs: 3_000n, epsilonMs: 200n, staleReadsMs: 60_000n, replicas: 3 },
      } as never),
    '/v1/nodes': () => nodePageShape.toJson(pageOf([info])),
    [`/v1/nodes/${SERVICE}/health`]: () =>
      nodeHealthShape.toJson({
        time: 5_000n,
        windowMs: 5_000n,
        objectives: OBJECTIVES,
        node: info,
        windows: [
          {
            start: 0n,
            verdict: 'missed',
            probers: 4,
            score: 5_000,
            measure: { ...OBJECTIVES, latencyMs: 1_024 },
            reasons: info.reasons,
          },
        ],
        periods: [],
        penalties: [],
        drains: [],
      }),
  }
  const drain = (body: string) => {
    told.push(JSON.parse(body))
    const { forMs } = JSON.parse(body) as { forMs: number }
    return drainInfoShape.toJson({
      drain: { node: SERVICE, issued: 1_000n, from: 1_000n, until: 1_000n + BigInt(forMs) },
    })
  }
  apis.push(await serve((path) => routes[path]?.()))
  apis.push(await serve((path, body) => (path === '/v1/development/drain' ? drain(body) : undefined)))
  return apis[0]!
}

function serve(answer: (path: string, body: string) => unknown): Promise<string> {
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const json = answer(request.url!, body)
    response.writeHead(json === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(json ?? { code: 'api.not_found', facts: { path: request.url } }))
  })
  servers.push(server)
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
  })
}

function pageOf(nodes: readonly NodeInfo[]) {
  const weights: ReadWeights = {
    anchor: ANCHOR.address,
    time: 5_000n,
    nodes: nodes.map(({ node }) => node),
    weights: nodes.map(({ weight }) => BigInt(weight)),
  }
  const signature = ANCHOR.sign(digestOf(ReadWeights, weights, DOMAIN, nobleCrypto.keccak))
  return { time: 5_000n, windowMs: 5_000n, objectives: OBJECTIVES, nodes, weights, signature, next: undefined }
}

describe('sl node status', () => {
  it('says of every node how it stands, why, and what would come next', async () => {
    expect(await runCommand(['node', 'status', '--network', await network()])).toBe(0)
    const [head, line] = out.split('\n')
    expect(head).toMatch(/^NODE +STATE +SCORE +READS +PLACED +LAST MISSED +NEXT$/)
    expect(line).toContain('degraded')
    expect(line).toContain('82.2 %')
    expect(line).toContain('3 of 10000')
    expect(line).toContain('latency 1024 ms, wanted 512 ms')
    expect(line).toContain('drained after 2 missed windows, penalised after 4 missed windows')
  })

  it('shows the windows of one node beside what is wanted', async () => {
    expect(await runCommand(['node', 'status', '--node', SERVICE, '--network', await network()])).toBe(0)
    expect(out).toMatch(/START +VERDICT +PROBERS +AVAILABLE +LATENCY +STALENESS +FAILED/)
    expect(out).toMatch(/00:00:00 +missed +4 +90 % +1024 ms/)
    expect(out).toContain('No penalties.')
  })

  it('gives the same as JSON', async () => {
    expect(await runCommand(['node', 'status', '--json', '--network', await network()])).toBe(0)
    expect(JSON.parse(out)).toMatchObject([{ node: SERVICE, state: 'degraded', outlook: { penalty: 4 } }])
  })

  it('says when no anchor answers', async () => {
    expect(await runCommand(['node', 'status', '--network', 'http://127.0.0.1:9'])).toBe(6)
    expect(err).toContain('code: network.unreachable')
  })

  it.each<[string, Partial<NodeInfo>, readonly string[]]>([
    [
      'a node in maintenance',
      { drain: { node: SERVICE, issued: 0n, from: 0n, until: 60_000n } },
      ['maintenance until 00:01:00', 'excused'],
    ],
    ['a penalised one', { state: 'penalised', until: 60_000n }, ['penalised until 00:01:00', 'on probation']],
    ['a silent one', { alive: false }, ['degraded, silent']],
    ['one whose penalty is due', { outlook: { degraded: 0, draining: 0, penalty: 0 } }, ['a penalty is due']],
    ['one that missed nothing', { reasons: [] }, ['–']],
  ])('tells apart %s', (_, change, words) => {
    const [, row] = statusRows([{ name: 'service-1', info: infoOf(change) }])
    for (const word of words) expect(row!.join(' ')).toContain(word)
  })

  it('believes the judgement in the middle: one anchor alone paints nobody black or white', () => {
    const said = [0, 8_000, 8_100, 10_000].map((score) => [infoOf({ score })])
    expect(middleOf(said).map(({ score }) => score)).toEqual([8_100])
    expect(middleOf([...said.slice(1), [infoOf({ score: 0 })]])[0]!.score).toBe(8_100)
  })
})

describe('sl node drain', () => {
  it('asks the node itself, for as long as is wanted', async () => {
    const url = await network()
    expect(await runCommand(['node', 'drain', 'service-1', '--for', '30m', '--network', url])).toBe(0)
    expect(told).toEqual([{ forMs: 1_800_000 }])
    expect(out).toContain('service-1 drains until 1970-01-01T00:30:01.000Z')
  })

  it('takes it back', async () => {
    expect(await runCommand(['node', 'drain', 'service-1', '--cancel', '--network', await network()])).toBe(0)
    expect(told).toEqual([{ forMs: 0 }])
    expect(out).toContain('service-1 takes part again')
  })

  it('names the nodes that there are when another is meant', async () => {
    expect(await runCommand(['node', 'drain', 'service-9', '--network', await network()])).toBe(2)
    expect(err).toContain('there are anchor-1, service-1')
    expect(told).toEqual([])
  })

  it('reads durations', () => {
    expect(['90s', '10m', '2h'].map(durationOf)).toEqual([90_000, 600_000, 7_200_000])
    for (const text of ['', '10', '0m', '25h', '1d', '-5m']) {
      let code: string | undefined
      try {
        durationOf(text)
      } catch (error) {
        code = isSmartLayerError(error) ? error.code : 'other'
      }
      expect(code, text).toBe('cli.usage')
    }
  })
})
