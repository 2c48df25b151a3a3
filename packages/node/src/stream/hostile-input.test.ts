import { isSmartLayerError, nobleCrypto, publishRequestShape, subsetOf, wireShape } from '@smartlayer/protocol'
import { TestStream } from '@smartlayer/protocol/testing'
import { expect, test } from 'vitest'
import type { AnchoringNode } from '../anchoring-node.ts'
import { anchorRoutes } from '../api/anchor-routes.ts'
import { createApi } from '../api/server.ts'
import { StreamWorld } from '../testing/stream-world.ts'

const { keccak } = nobleCrypto
const MUTATIONS = 10_000
const BYTES = { most: 1_100_000 }

/** A number from 0 to 1 by seed: a failure can be played again. */
function drawsFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return (state >>> 0) / 4_294_967_296
  }
}

const ODD: readonly unknown[] = [
  null,
  true,
  -1,
  1e308,
  '',
  '0x',
  '0xzz',
  [],
  {},
  [[[[]]]],
  '9'.repeat(90),
  'x'.repeat(2_000),
  '\u0000',
]

/** Changes one place of a JSON value: another value, a character, a missing or an additional member. */
function mutated(value: unknown, draw: () => number): unknown {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(draw() * items.length)]!
  if (typeof value === 'object' && value !== null && draw() < 0.9) {
    const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>
    const keys = Object.keys(copy)
    const key = pick(keys)
    if (key === undefined || draw() < 0.05) copy[`extra${keys.length}`] = pick(ODD)
    else if (draw() < 0.08) delete copy[key]
    else copy[key] = mutated(copy[key], draw)
    return copy
  }
  if (typeof value === 'string' && value.length > 0 && draw() < 0.7) {
    const at = Math.floor(draw() * value.length)
    return value.slice(0, at) + pick(['0', 'f', 'A', '=', ' ', '']) + value.slice(at + 1)
  }
  return pick(ODD)
}

/** A world in which everything happened once, and what its nodes said to each other. */
async function busyWorld(): Promise<{ world: StreamWorld; stream: TestStream; said: readonly object[] }> {
  const stream = new TestStream()
  const world = await StreamWorld.open({ issuers: [stream.issuer.address], followers: 1 })
  world.followers[0]!.inputs.follow(stream.stream, subsetOf('flight/1', keccak), 0n)
  const said = new Map<string, object[]>()
  world.observe = (message) => {
    const { type } = message as { type: string }
    const known = said.get(type) ?? []
    if (known.length < 12) said.set(type, [...known, message])
  }
  await world.time.run(100)
  const publish = async (items: readonly { item: object }[]) => {
    world.anchors[0]!.service.publish(items.map(({ item }) => item) as never).catch(() => {})
    await world.time.run(600)
  }
  await publish([stream.add('flight/1', { a: 1 })])
  await publish(stream.addBatch('flight/1', [{ a: 2 }, { a: 3 }]))
  const { uid } = stream.add('flight/1', { a: 4 })
  await publish(stream.entries.slice(-1))
  await publish([stream.add('flight/1', { revokes: uid, of: 'attestation', reason: '' }, { kind: 'revocation' })])
  world.cut.add(world.anchors[3]!.node)
  await publish([stream.add('flight/1', { pad: 'x'.repeat(9_000) })])
  world.cut.clear()
  await world.time.run(14_000)
  await publish([stream.make('flight/1', { lie: 1 }, { data: { sequence: 1n, subSequence: 1n } })])
  return { world, stream, said: [...said.values()].flat() }
}

test(`${MUTATIONS} changed messages between nodes crash nothing, change nothing and let nothing grow`, async () => {
  const { world, stream, said } = await busyWorld()
  const types = new Set(said.map((message) => (message as { type: string }).type))
  for (const type of [
    'publish',
    'receipt',
    'stream-item',
    'stream-heads',
    'stream-range',
    'follow',
    'checkpoint',
    'fork',
    'revocation',
  ]) {
    expect(types).toContain(type)
  }
  const before = world.anchors.map(({ service }) => service.state(stream.stream))
  const draw = drawsFrom(7)
  const targets = [...world.anchors, ...world.followers].map(({ node }) => node)
  const senders = world.membership.members.map(({ node }) => node)
  const heap = process.memoryUsage().heapUsed
  let parsed = 0
  for (let i = 0; i < MUTATIONS; i++) {
    let message: unknown = said[Math.floor(draw() * said.length)]
    for (let times = 0; times <= draw() * 3; times++) message = mutated(message, draw)
    message = JSON.parse(JSON.stringify(message) ?? 'null') // as a network would bring it
    if (isParsed(message)) parsed++
    world.deliver(senders[Math.floor(draw() * senders.length)]!, targets[i % targets.length]!, message)
    if (i % 500 === 0) await world.time.run(50)
  }
  await world.time.run(5_000)
  expect(parsed).toBeGreaterThan(MUTATIONS / 20) // enough of them get past the shapes
  expect(world.anchors.map(({ service }) => service.state(stream.stream))).toEqual(before)
  expect(process.memoryUsage().heapUsed - heap).toBeLessThan(150 * 1_048_576)
  const next = world.anchors[1]!.service.status(1_000)
  expect(next.length).toBeLessThan(200)
})

function isParsed(message: unknown): boolean {
  try {
    wireShape.parse(message, 'message')
    return true
  } catch (error) {
    if (isSmartLayerError(error)) return false
    throw error
  }
}

test(`${MUTATIONS} changed requests to publish get a typed answer each, and nothing is taken`, async () => {
  const { world, stream } = await busyWorld()
  const { service } = world.anchors[0]!
  const logged: string[] = []
  const api = createApi({ log: (level, event) => void (level === 'error' && logged.push(event)), count: () => {} })
  const node = { publish: (items: never) => service.publish(items), streams: service } as unknown as AnchoringNode
  anchorRoutes(api, node, {} as never)
  const head = service.state(stream.stream).sequence
  const good = publishRequestShape.toJson({
    items: stream.entries.slice(0, 3).map(({ item }) => item),
    domain: undefined,
  })
  const draw = drawsFrom(11)
  const statuses = new Map<number, number>()
  for (let i = 0; i < MUTATIONS; i++) {
    const body = mutated(mutated(good, draw), draw)
    const text = draw() < 0.1 ? JSON.stringify(body).slice(0, Math.floor(draw() * 900)) : JSON.stringify(body)
    const answering = api.inject({
      method: 'POST',
      url: '/v1/attestations',
      headers: { 'content-type': 'application/json' },
      body: text,
    })
    const answer = await settled(world, answering)
    statuses.set(answer.statusCode, (statuses.get(answer.statusCode) ?? 0) + 1)
    if (answer.statusCode === 200) continue // still the same three entries: the receipt comes again
    expect(JSON.parse(answer.body)).toMatchObject({
      code: expect.stringMatching(/^[a-z]+\.[a-z_]+$/),
      fix: expect.any(String),
    })
  }
  expect([...statuses.keys()].filter((status) => status >= 500)).toEqual([])
  expect(logged).toEqual([])
  expect(service.state(stream.stream).sequence).toBe(head)
}, 120_000)

test('what is too large, not JSON or for another chain has a code of its own', async () => {
  const { world, stream } = await busyWorld()
  const api = createApi({ log: () => {}, count: () => {} })
  const { service } = world.anchors[0]!
  anchorRoutes(
    api,
    { publish: service.publish.bind(service), streams: service } as unknown as AnchoringNode,
    {} as never,
  )
  const post = async (body: string) => {
    const headers = { 'content-type': 'application/json' }
    const answer = await settled(world, api.inject({ method: 'POST', url: '/v1/attestations', headers, body }))
    return (JSON.parse(answer.body) as { code: string }).code
  }
  const item = publishRequestShape.toJson({ items: [stream.entries[0]!.item], domain: undefined }) as {
    items: object[]
  }
  const domain = (chainId: string) => ({ chainId, verifyingContract: `0x${'42'.repeat(20)}` })
  expect(await post('x'.repeat(BYTES.most + 1))).toBe('message.too_large')
  expect(await post('{"items":')).toBe('api.body_invalid')
  expect(await post('{"items":[{}]}')).toBe('message.malformed')
  expect(await post('{"items":[]}')).toBe('stream.batch')
  expect(await post(JSON.stringify({ ...item, domain: domain('8453') }))).toBe('attestation.domain')
  const long = { ...(item.items[0] as { body: string }), body: 'x'.repeat(70_000) }
  expect(await post(JSON.stringify({ items: [long] }))).toBe('message.malformed')
})

/** Requests wait for the virtual clock where they wait at all. */
async function settled<T>(world: StreamWorld, answering: Promise<T>): Promise<T> {
  let done = false
  const watched = answering.finally(() => {
    done = true
  })
  for (let i = 0; i < 400 && !done; i++) {
    await new Promise((resolve) => setImmediate(resolve))
    if (i > 3) await world.time.run(20)
  }
  return watched
}
