import type { AddressInfo } from 'node:net'
import {
  type CertifiedReceipt,
  LOCAL_DIRECTORY,
  type Member,
  nobleCrypto,
  nobleSigner,
  type StreamItem,
  subsetOf,
  uidOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fastCrypto } from '../../node/src/adapters/fast-crypto.ts'
import { type Api, createApi } from '../../node/src/api/server.ts'
import { type StreamSource, streamRoutes } from '../../node/src/api/stream-routes.ts'
import type { ReadEntry } from '../../node/src/stream/stream-reader.ts'
import type { Subscriptions } from '../../node/src/stream/subscriptions.ts'
import {
  CHAIN_ID,
  CONTRACT,
  EAS,
  FakeStream,
  keyOf,
  LANE,
  NETWORK_ID,
  REGISTRY,
} from '../../node/src/testing/fake-stream.ts'
import { networkOf } from './network.ts'
import { ReplicaBoard } from './replica-board.ts'
import type { Site } from './site.ts'
import { type Subscribed, type SubscribeOptions, type SubscribeParameters, subscribe } from './subscribe.ts'

const { keccak } = nobleCrypto
const telemetry = { log: () => {}, count: () => {} }
const clock = {
  now: () => BigInt(Date.now()),
  monotonic: () => performance.now(),
  after: (ms: number, run: () => void) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}
const FAST: SubscribeOptions = { backOffMs: { first: 5, most: 20 } }

type Server = { readonly api: Api; readonly url: string; readonly subscriptions: Subscriptions }

let stream: FakeStream
let servers: Server[]

beforeEach(async () => {
  stream = new FakeStream()
  servers = []
})
afterEach(() => Promise.all(servers.map(({ api }) => api.close())))

async function serve(source: StreamSource = stream, port = 0): Promise<Server> {
  const api = createApi(telemetry)
  const subscriptions = streamRoutes(api, source, { clock, telemetry })
  await api.listen({ host: '127.0.0.1', port })
  const server = { api, subscriptions, url: `http://127.0.0.1:${(api.server.address() as AddressInfo).port}` }
  servers.push(server)
  return server
}

/** A site whose anchors are these servers, asked in this order. */
function siteOf(anchors: readonly string[]): Site {
  const rest = { transportKey: ZERO_32, overlay: '', api: '', operator: ZERO_32, platform: ZERO_32, stake: 1n }
  const members = stream.anchors.map(({ address: node }): Member => ({ node, role: 'anchor', ...rest }))
  const info = {
    networkId: NETWORK_ID,
    chainId: CHAIN_ID,
    registry: REGISTRY,
    tokenRegistry: REGISTRY,
    eas: EAS,
    easVersion: '1.0.1',
    schedule: { genesisS: 0n, lengthS: 9_000_000_000_000n, closingS: 0n },
    epoch: 1n,
    beacon: ZERO_32,
    earlierBeacons: [],
    directory: { ...LOCAL_DIRECTORY, shardCount: 16, homeSize: 31 },
    members,
    parameters: { leaseMs: 3_000n, epsilonMs: 200n, staleReadsMs: 60_000n, replicas: 3 },
  }
  return {
    anchors,
    network: networkOf(info, nobleCrypto),
    signer: nobleSigner(keyOf(7)),
    crypto: nobleCrypto,
    clock: { now: () => BigInt(Date.now()) },
    random: (bytes) => new Uint8Array(bytes),
    placements: new Map(),
    loadAnew: () => Promise.reject(new Error('nobody asks for it')),
    board: new ReplicaBoard({ now: () => performance.now(), random: Math.random }),
  }
}

function asked(rest: Partial<SubscribeParameters> = {}): SubscribeParameters {
  return { issuer: stream.issuer.address, contract: CONTRACT, chainId: CHAIN_ID, lane: LANE, after: 0n, ...rest }
}

function publish(count: number, subset = 'LH454'): void {
  for (let i = 0; i < count; i++) stream.append(subset, { place: stream.items.length + 1 })
  stream.certify()
}

/** The first entries of a subscription, which ends then. */
async function take(subscription: AsyncIterable<Subscribed>, count: number): Promise<readonly Subscribed[]> {
  const entries: Subscribed[] = []
  for await (const entry of subscription) {
    entries.push(entry)
    if (entries.length === count) break
  }
  return entries
}

async function codeOf(subscription: AsyncIterable<Subscribed>): Promise<unknown> {
  try {
    for await (const _ of subscription);
    return 'ended'
  } catch (error) {
    return (error as { code?: unknown }).code ?? error
  }
}

const cursors = (entries: readonly Subscribed[]) => entries.map(({ cursor }) => Number(cursor))
const upTo = (n: number, from = 1) => Array.from({ length: n - from + 1 }, (_, i) => from + i)
const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms))

/** The same stream, but its entries are altered on the way. */
function lying(change: (entries: readonly ReadEntry[]) => readonly ReadEntry[]): StreamSource {
  const source: StreamSource = Object.create(stream)
  return Object.assign(source, {
    state: (id: never) => stream.state(id),
    subset: (id: never, subset: never) => stream.subset(id, subset),
    floor: () => stream.floor(),
    receipt: (id: never) => stream.receipt(id),
    checkpoint: (id: never) => stream.checkpoint(id),
    watch: (id: never, wake: () => void) => stream.watch(id, wake),
    promise: (...promised: Parameters<FakeStream['promise']>) => stream.promise(...promised),
    entries: (id: never, request: never) => change(stream.entries(id, request)),
  })
}

function altered(place: bigint, change: (item: StreamItem) => StreamItem): StreamSource {
  return lying((entries) =>
    entries.map((entry) => (entry.cursor === place ? { ...entry, item: change(entry.item) } : entry)),
  )
}

describe.each(['websocket', 'events'] as const)('a subscription over %s', (transport) => {
  const options = { ...FAST, transport }

  it('gives each entry once, in order and checked, then what comes', async () => {
    publish(100)
    const { url } = await serve()
    const reading = take(subscribe(siteOf([url]), asked(), options), 103)
    await sleep(200)
    publish(3)
    const entries = await reading
    expect(cursors(entries)).toEqual(upTo(103))
    expect(entries[4]).toMatchObject({ body: { place: 5 }, uid: uidOf(stream.items[4]!.attestation.message, keccak) })
    expect(entries.at(-1)!.receipt?.sequence).toBe(103n)
  })

  it('goes on at another anchor when its own is killed, with no gap and nothing twice', async () => {
    publish(20)
    const [first, second] = [await serve(), await serve()]
    const entries: Subscribed[] = []
    for await (const entry of subscribe(siteOf([first.url, second.url]), asked(), options)) {
      entries.push(entry)
      if (entries.length === 20) {
        await first.api.close()
        publish(20)
      }
      if (entries.length === 40) break
    }
    expect(cursors(entries)).toEqual(upTo(40))
  })

  it('waits with growing pauses for an anchor that is down, and goes on where it was', async () => {
    publish(5)
    const { url, api } = await serve()
    const entries: Subscribed[] = []
    for await (const entry of subscribe(siteOf([url]), asked(), options)) {
      entries.push(entry)
      if (entries.length === 5) {
        await api.close()
        publish(5)
        setTimeout(() => serve(stream, Number(new URL(url).port)), 100)
      }
      if (entries.length === 10) break
    }
    expect(cursors(entries)).toEqual(upTo(10))
  })

  it.each([
    ['a wrong body', (item: StreamItem) => ({ ...item, body: '{"place":666}' })],
    ['a forged signature', (item: StreamItem) => resigned(item, `0x${'12'.repeat(64)}1b`)],
    [
      'an entry of another issuer',
      (item: StreamItem) =>
        resigned(item, new FakeStream(nobleSigner(keyOf(98))).sign('LH454', { place: 5 }).attestation.signature!),
    ],
  ])('leaves an anchor that shows %s', async (_, change) => {
    publish(10)
    const [liar, honest] = [await serve(altered(5n, change)), await serve()]
    const entries = await take(subscribe(siteOf([liar.url, honest.url]), asked(), options), 10)
    expect(cursors(entries)).toEqual(upTo(10))
    expect(entries.map(({ body }) => body)).toEqual(upTo(10).map((place) => ({ place })))
  })

  it('leaves an anchor that skips an entry, or renumbers the others so that it does not show', async () => {
    publish(10)
    const skipping = lying((entries) => entries.filter(({ cursor }) => cursor !== 5n))
    const hiding = lying((entries) =>
      entries.flatMap(({ cursor, item }) =>
        cursor < 5n ? [{ cursor, item }] : cursor === 5n ? [] : [{ cursor: cursor - 1n, item }],
      ),
    )
    const urls = [(await serve(skipping)).url, (await serve(hiding)).url, (await serve()).url]
    expect(cursors(await take(subscribe(siteOf(urls), asked(), options), 10))).toEqual(upTo(10))
  })

  it('leaves an anchor that shows a receipt which its home anchors did not sign', async () => {
    publish(3)
    const forged: StreamSource = lying((entries) => entries)
    const receipt = (): CertifiedReceipt => ({
      ...stream.receipt(stream.stream)!,
      signatures: [`0x${'12'.repeat(64)}1b`],
    })
    Object.assign(forged, { receipt })
    const urls = [(await serve(forged)).url, (await serve()).url]
    const entries = await take(subscribe(siteOf(urls), asked(), options), 3)
    expect(entries[2]!.receipt?.sequence).toBe(3n)
    expect(await codeOf(subscribe(siteOf(urls.slice(0, 1)), asked(), options))).toBe('stream.no_quorum')
  })

  it('fails with what is wrong when no anchor can be believed', async () => {
    publish(10)
    const change = (item: StreamItem) => ({ ...item, body: '{"place":666}' })
    const urls = await Promise.all([5n, 5n, 5n, 5n].map(async (place) => (await serve(altered(place, change))).url))
    expect(await codeOf(subscribe(siteOf(urls), asked(), options))).toBe('attestation.content')
  })

  it('follows one subset by its own chain', async () => {
    for (const key of ['LH454', 'BA1', 'BA1', 'LH454', 'BA1', 'LH454']) stream.append(key, { key })
    stream.certify()
    const { url } = await serve()
    const entries = await take(subscribe(siteOf([url]), asked({ subset: 'LH454', after: 1n }), options), 2)
    expect(entries.map(({ cursor, body }) => [cursor, body])).toEqual([
      [2n, { key: 'LH454' }],
      [3n, { key: 'LH454' }],
    ])
    expect(entries[1]!.receipt?.sequence).toBe(6n)
    const liar = lying((found) =>
      found.slice(0, 2).map(({ cursor }, i) => ({ cursor, item: stream.items[[1, 2][i]!]! })),
    )
    const lies = siteOf([(await serve(liar)).url])
    expect(await codeOf(subscribe(lies, asked({ subset: 'LH454' }), options))).toBe('stream.identity')
  })

  it('begins with what is new when no cursor is named, whatever one anchor says', async () => {
    publish(7)
    const ahead = lying((entries) => entries)
    Object.assign(ahead, { state: () => ({ ...stream.state(stream.stream), certified: 1_000_000n }) })
    const urls = [(await serve(ahead)).url, (await serve()).url, (await serve()).url, (await serve()).url]
    const reading = take(subscribe(siteOf(urls), asked({ after: undefined }), { ...options, quietMs: 100 }), 2)
    await sleep(150)
    publish(2)
    expect(cursors(await reading)).toEqual([8, 9])
  })

  it('checks that the first entry follows the one that was processed last', async () => {
    publish(4)
    const { url } = await serve()
    const uid = uidOf(stream.items[1]!.attestation.message, keccak)
    const entries = await take(subscribe(siteOf([url]), asked({ after: 2n, afterUid: uid }), options), 2)
    expect(cursors(entries)).toEqual([3, 4])
    const wrong = subscribe(siteOf([url]), asked({ after: 2n, afterUid: ZERO_32 }), options)
    expect(await codeOf(wrong)).toBe('stream.predecessor')
  })

  it('waits for a consumer that is slow, and loses nothing', async () => {
    publish(3_000)
    const { url } = await serve()
    const fast = { ...siteOf([url]), crypto: (await fastCrypto()).crypto }
    let connections = 0
    const watch = stream.watch.bind(stream)
    stream.watch = (id, wake) => {
      connections++
      return watch(id, wake)
    }
    const entries: Subscribed[] = []
    for await (const entry of subscribe(fast, asked(), options)) {
      entries.push(entry)
      if (entries.length === 10) await sleep(1_000)
      if (entries.length === 3_000) break
    }
    expect(cursors(entries)).toEqual(upTo(3_000))
    // Events wait at the anchor. A socket cannot wait, so it is closed, and opened again at the cursor.
    if (transport === 'events') expect(connections).toBe(1)
    else expect(connections).toBeGreaterThan(1)
  })

  it('changes the anchor that was quiet for too long: withholding only delays', async () => {
    publish(3)
    const withholding = lying((entries) => entries.filter(({ cursor }) => cursor < 3n))
    const urls = [(await serve(withholding)).url, (await serve()).url]
    const entries = await take(subscribe(siteOf(urls), asked(), { ...options, quietMs: 100 }), 3)
    expect(cursors(entries)).toEqual([1, 2, 3])
  })

  it('ends with the reason that f + 1 anchors give: frozen, or pruned with the floor of an honest one', async () => {
    publish(10)
    stream.prune(4n)
    const urls = await Promise.all([0, 1, 2, 3].map(async () => (await serve()).url))
    const liar = lying((entries) => entries)
    Object.assign(liar, { floor: () => 1_000_000n, checkpoint: () => undefined })
    const all = [(await serve(liar)).url, ...urls.slice(1)]
    const ending = subscribe(siteOf(all), asked({ after: 1n }), options)
    const error = await ending.next().catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'stream.pruned', facts: { floor: 4n, asked: 1n } })
    Object.assign(liar, { checkpoint: (id: never) => stream.checkpoint(id) })
    expect(await codeOf(subscribe(siteOf(all.slice(0, 1)), asked({ after: 1n }), options))).toBe('stream.checkpoint')
    stream.freeze()
    expect(await codeOf(subscribe(siteOf(urls), asked({ after: 4n }), options))).toBe('stream.frozen')
  })

  it('ends at once when it is aborted, also while it waits, and leaves no subscription behind', async () => {
    publish(2)
    const { url, subscriptions } = await serve()
    const abort = new AbortController()
    const entries: Subscribed[] = []
    const reading = (async () => {
      for await (const entry of subscribe(siteOf([url]), asked(), { ...options, signal: abort.signal }))
        entries.push(entry)
    })()
    await sleep(100)
    expect([entries.length, subscriptions.size]).toEqual([2, 1])
    abort.abort(new Error('enough'))
    await expect(reading).rejects.toThrow('enough')
    for (let i = 0; i < 100 && subscriptions.size > 0; i++) await sleep(10)
    expect([subscriptions.size, stream.watchers.size]).toEqual([0, 0])
    const gone = AbortSignal.timeout(50)
    await expect(
      subscribe(siteOf(['http://127.0.0.1:9']), asked(), { ...options, signal: gone }).next(),
    ).rejects.toThrow()
  })

  it('leaves no subscription behind when its consumer has enough', async () => {
    publish(50)
    const { url, subscriptions } = await serve()
    for (let i = 0; i < 20; i++) await take(subscribe(siteOf([url]), asked(), options), 1)
    for (let i = 0; i < 100 && subscriptions.size > 0; i++) await sleep(10)
    expect(subscriptions.size).toBe(0)
  })

  it('takes text with any character', async () => {
    stream.append('LH454', { text: 'a\u2028b\u2029c\r\n\n "data: ✈' })
    stream.certify()
    const { url } = await serve()
    const [entry] = await take(subscribe(siteOf([url]), asked(), options), 1)
    expect(entry!.body).toEqual({ text: 'a\u2028b\u2029c\r\n\n "data: ✈' })
  })
})

it('names a stream by its id as well, and takes entries of its issuer only', async () => {
  publish(2)
  const { url } = await serve()
  const { issuer: _, ...rest } = asked() as { issuer: unknown } & SubscribeParameters
  const byId = { ...rest, stream: stream.stream } as SubscribeParameters
  expect(cursors(await take(subscribe(siteOf([url]), byId, FAST), 2))).toEqual([1, 2])
  const other = { ...rest, stream: subsetOf('other', keccak) } as SubscribeParameters
  const relabelled = lying((entries) => entries)
  Object.assign(relabelled, {
    state: () => stream.state(stream.stream),
    entries: (__: unknown, request: never) => stream.entries(stream.stream, request),
  })
  expect(await codeOf(subscribe(siteOf([(await serve(relabelled)).url]), other, FAST))).toBe('stream.identity')
})

it('gives up after many failures, and says which anchor failed how', async () => {
  const options = { backOffMs: { first: 1, most: 1 } }
  const error = await subscribe(siteOf(['http://127.0.0.1:9']), asked(), options)
    .next()
    .catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'quorum.not_reached' })
  expect(String(error)).toContain('http://127.0.0.1:9')
})

function resigned(item: StreamItem, signature: `0x${string}`): StreamItem {
  const { message, attester } = item.attestation
  return { ...item, attestation: { message, attester, signature } }
}
