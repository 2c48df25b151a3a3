import {
  type Address,
  digestOf,
  drainInfoShape,
  nobleCrypto,
  nodeHealthShape,
  nodePageShape,
  ReadWeights,
  samplePageShape,
  WEIGHT_TOTAL,
} from '@smartlayer/protocol'
import { beforeAll, expect, test } from 'vitest'
import { HealthView } from '../health/health-view.ts'
import { MemoryWorld } from '../testing/memory-world.ts'
import { healthRoutes, maintenanceRoutes } from './health-routes.ts'
import { type Api, createApi } from './server.ts'

const SERVICES = 5

let world: MemoryWorld
let anchor: Api
let service: Api
let nodes: readonly Address[]

beforeAll(async () => {
  world = new MemoryWorld({ serviceCount: SERVICES })
  await world.start()
  await world.time.run(14_000)
  const ports = world.portsOf(0)
  nodes = world.serviceMembers.map(({ node }) => node).toSorted()
  anchor = createApi(ports.telemetry)
  healthRoutes(anchor, new HealthView(ports, world.anchors[0]!.health))
  service = createApi(ports.telemetry)
  maintenanceRoutes(service, world.services[0]!.maintenance)
})

async function get(path: string): Promise<{ status: number; json: unknown }> {
  const { statusCode, body } = await anchor.inject({ method: 'GET', url: path })
  return { status: statusCode, json: JSON.parse(body) }
}

test('all service nodes come by address, page by page', async () => {
  const first = nodePageShape.parse((await get('/v1/nodes?limit=3')).json, 'page')
  expect(first.nodes.map(({ node }) => node)).toEqual(nodes.slice(0, 3))
  const second = nodePageShape.parse((await get(`/v1/nodes?limit=3&after=${first.next}`)).json, 'page')
  expect(second.nodes.map(({ node }) => node)).toEqual(nodes.slice(3))
  expect(second.next).toBeUndefined()
})

test('the weights of a page sum to the whole and are signed by the anchor', async () => {
  const { weights, signature } = nodePageShape.parse((await get('/v1/nodes')).json, 'page')
  expect(weights.nodes).toEqual(nodes)
  expect(weights.weights.reduce((sum, weight) => sum + Number(weight), 0)).toBe(WEIGHT_TOTAL)
  const digest = digestOf(ReadWeights, weights, world.domain, nobleCrypto.keccak)
  expect(nobleCrypto.recover(digest, signature)).toBe(world.anchorMembers[0]!.node)
})

test('the history of a node names its judged windows, and the signed samples they rest on are public', async () => {
  const health = nodeHealthShape.parse((await get(`/v1/nodes/${nodes[0]}/health`)).json, 'health')
  expect(health.node).toMatchObject({ node: nodes[0], state: 'healthy', alive: true })
  expect(health.windows.at(-1)).toMatchObject({ verdict: 'met', probers: 4 })
  const { samples } = samplePageShape.parse((await get(`/v1/nodes/${nodes[0]}/samples`)).json, 'samples')
  const { start } = health.windows.at(-1)!
  expect(samples.filter(({ sample }) => sample.start === start)).toHaveLength(4)
})

test.each([
  ['an anchor', () => world.anchorMembers[0]!.node, 404],
  ['a stranger', () => `0x${'77'.repeat(20)}`, 404],
  ['no address', () => 'service-1', 404],
])('there is no history of %s', async (_, node, status) => {
  expect(await get(`/v1/nodes/${node()}/health`)).toMatchObject({ status, json: { code: 'health.node_unknown' } })
})

test('a page after something that is no address is refused', async () => {
  expect(await get('/v1/nodes?after=service-1')).toMatchObject({ status: 400, json: { code: 'api.body_invalid' } })
})

test('a node goes into maintenance when it is told to, within its bound', async () => {
  const drain = async (forMs: unknown) => {
    const asked = service.inject({ method: 'POST', url: '/v1/development/drain', payload: { forMs } })
    for (let i = 0; i < 20; i++) {
      await new Promise((resolve) => setImmediate(resolve))
      await world.time.run(1)
    }
    return asked
  }
  const { node } = world.serviceMembers[0]!
  const planned = await drain(1_000_000)
  expect(drainInfoShape.parse(JSON.parse(planned.body), 'drain').drain).toMatchObject({ node })
  await world.time.run(1_000)
  const page = nodePageShape.parse((await get('/v1/nodes')).json, 'page')
  expect(page.nodes.find((each) => each.node === node)).toMatchObject({ weight: 0, drain: { node } })
  expect(JSON.parse((await drain(4_000_000)).body)).toMatchObject({ code: 'health.drain_budget' })
  expect((await drain('long')).statusCode).toBe(400)
})
