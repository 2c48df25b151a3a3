/** Subscriptions at real anchors of a network in memory: real receipts, real logs, the SDK over real HTTP. */
import type { AddressInfo } from 'node:net'
import {
  type Hex,
  LOCAL_DIRECTORY,
  type Member,
  networkIdOf,
  nobleCrypto,
  nobleSigner,
  ZERO_32,
} from '@smartlayer/protocol'
import { afterEach, expect, it } from 'vitest'
import { type Api, createApi } from '../../node/src/api/server.ts'
import { streamRoutes } from '../../node/src/api/stream-routes.ts'
import { MemoryWorld } from '../../node/src/testing/memory-world.ts'
import { networkOf } from './network.ts'
import { ReplicaBoard } from './replica-board.ts'
import type { Site } from './site.ts'
import { type Subscribed, subscribe } from './subscribe.ts'

const REGISTRY = `0x${'a0'.repeat(20)}` as const
const NODES = 7
const ANCHORS = 4
const telemetry = { log: () => {}, count: () => {} }
const clock = {
  now: () => BigInt(Date.now()),
  monotonic: () => performance.now(),
  after: (ms: number, run: () => void) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}
const apis: Api[] = []

afterEach(() => Promise.all(apis.splice(0).map((api) => api.close())))

function keyOf(n: number): Hex {
  return `0x${n.toString(16).padStart(64, '0')}`
}

async function serve(world: MemoryWorld): Promise<readonly string[]> {
  for (const { streams } of world.anchors) {
    const api = createApi(telemetry)
    streamRoutes(api, streams, { clock, telemetry })
    await api.listen({ host: '127.0.0.1', port: 0 })
    apis.push(api)
  }
  return apis.map(({ server }) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

function siteOf(anchors: readonly string[]): Site {
  const rest = { transportKey: ZERO_32, overlay: '', api: '', operator: ZERO_32, platform: ZERO_32, stake: 1n }
  const members = Array.from({ length: NODES }, (_, i): Member => {
    return { node: nobleSigner(keyOf(i + 1)).address, role: i < ANCHORS ? 'anchor' : 'service', ...rest }
  })
  const info = {
    networkId: networkIdOf(1n, REGISTRY, nobleCrypto.keccak),
    chainId: 1n,
    registry: REGISTRY,
    tokenRegistry: REGISTRY,
    eas: `0x${'42'.repeat(20)}` as const,
    easVersion: '1.0.1',
    schedule: { genesisS: 0n, lengthS: 9_000_000_000_000n, closingS: 0n },
    epoch: 1n,
    beacon: `0x${'be'.repeat(32)}` as const,
    earlierBeacons: [],
    directory: { ...LOCAL_DIRECTORY, shardCount: 16, homeSize: 31 },
    members,
    parameters: { leaseMs: 3_000n, epsilonMs: 200n, staleReadsMs: 60_000n, replicas: 3 },
  }
  return {
    anchors,
    network: networkOf(info, nobleCrypto),
    signer: nobleSigner(keyOf(55)),
    crypto: nobleCrypto,
    clock: { now: () => BigInt(Date.now()) },
    random: (bytes) => new Uint8Array(bytes),
    placements: new Map(),
    loadAnew: () => Promise.reject(new Error('nobody asks for it')),
    board: new ReplicaBoard({ now: () => performance.now(), random: Math.random }),
  }
}

it.each([undefined, 'facts/one'])(
  'follows a stream of real anchors, whole or subset (%s), over the loss of one',
  async (subset) => {
    const world = new MemoryWorld()
    await world.start()
    await world.time.run(600)
    const anchors = await serve(world)
    for (let i = 1; i <= 5; i++) await world.publish({ add: i })
    const parameters = {
      issuer: world.issuer.address,
      contract: world.ref.contract,
      chainId: 1n,
      lane: 'facts',
      subset,
      after: 0n,
    }
    const entries: Subscribed[] = []
    for await (const entry of subscribe(siteOf(anchors), parameters, { backOffMs: { first: 5, most: 20 } })) {
      entries.push(entry)
      if (entries.length === 5) {
        await apis[0]!.close()
        for (let i = 6; i <= 8; i++) await world.publish({ add: i })
      }
      if (entries.length === 8) break
    }
    expect(entries.map(({ cursor, body }) => [Number(cursor), body])).toEqual(
      Array.from({ length: 8 }, (_, i) => [i + 1, { add: i + 1 }]),
    )
    expect(entries[4]!.receipt).toMatchObject({ sequence: 5n })
    expect(entries[7]!.receipt).toMatchObject({ sequence: 8n })
  },
)
