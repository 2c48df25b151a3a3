/** Thousands of mutated requests to the routes of streams: nothing crashes, nothing is a bug, and nothing grows. */
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../adapters/system-clock.ts'
import type { Subscriptions } from '../stream/subscriptions.ts'
import { FakeStream, unsigned } from '../testing/fake-stream.ts'
import { type Api, createApi } from './server.ts'
import { streamRoutes } from './stream-routes.ts'

const REQUESTS = 10_000
const FRAMES = 6_000
const SEED = 4_711
const PARALLEL = 24
/** What is not answered by then is a subscription that waits, or a request that is not complete. */
const PATIENCE_MS = 250
/** How long a socket is left open to see what frames do to it. */
const FRAMES_MS = 100

let api: Api
let stream: FakeStream
let subscriptions: Subscriptions
let port: number
const logged: unknown[] = []
const connections = new Set<Socket>()

beforeAll(async () => {
  const anybody = unsigned(`0x${'01'.repeat(20)}`)
  stream = new FakeStream(anybody, [anybody, anybody, anybody])
  for (let i = 0; i < 50; i++) stream.append(`flight-${i % 5}`, { i })
  stream.certify(45n)
  const telemetry = {
    log: (level: string, event: string, facts: unknown) => level === 'error' && logged.push([event, facts]),
    count: () => {},
  }
  api = createApi(telemetry)
  subscriptions = streamRoutes(api, stream, { clock: systemClock, telemetry })
  api.server.on('connection', (socket) => {
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
  })
  await api.listen({ host: '127.0.0.1', port: 0 })
  port = (api.server.address() as AddressInfo).port
})
afterAll(() => api.close())

/** A small generator with a seed, so that a failure can be repeated. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const draw = generator(SEED)
const bytesOf = (length: number): Buffer => Buffer.from(Array.from({ length }, () => draw(256)))
const pick = <T>(from: readonly T[]): T => from[draw(from.length)]!

const CURSORS = [
  '0',
  '1',
  '44',
  '45',
  '46',
  '999999999999999999',
  '1000000000000000000',
  '18446744073709551616',
  '-1',
  '1e9',
  '0x10',
  '',
  ' 1',
  'NaN',
  '٣',
]

function path(): string {
  const id = pick([
    stream.stream,
    stream.stream.toUpperCase(),
    stream.stream.slice(0, -1),
    `${stream.stream}00`,
    '0x',
    '..',
    '%00',
    '%',
    '%E0%A4%A',
    'a'.repeat(300),
  ])
  const rest = pick([
    '',
    '/entries',
    '/subsets/0x12/entries',
    `/subsets/${stream.stream}/entries`,
    `/subsets/${stream.stream}`,
    '/checkpoint',
    '/fork',
    '/events',
    '/live',
    '/events/',
    '/nothing',
  ])
  const parameters = Array.from(
    { length: draw(4) },
    () =>
      `${pick(['after', 'limit', 'subset', 'after[]', '__proto__', 'constructor', '%', ''])}=${pick([...CURSORS, stream.stream, '0xzz', '%ff', 'a'.repeat(500)])}`,
  )
  return `/v1/streams/${id}${rest}${parameters.length > 0 ? `?${parameters.join('&')}` : ''}`
}

function request(): Buffer {
  const upgrade = draw(3) === 0
  const head = [
    `${pick(['GET', 'GET', 'GET', 'GET', 'HEAD', 'POST', 'OPTIONS'])} ${path()} HTTP/1.1`,
    'host: node',
    ...(upgrade
      ? [
          'connection: upgrade',
          'upgrade: websocket',
          `sec-websocket-version: ${pick(['13', '13', '13', '8', 'x'])}`,
          `sec-websocket-key: ${pick(['dGhlIHNhbXBsZSBub25jZQ==', 'short', ''])}`,
        ]
      : []),
    ...(draw(2) === 0 ? [`last-event-id: ${pick(CURSORS)}`] : []),
    ...(draw(8) === 0 ? [`content-length: ${pick(['0', '5', '-1', '99999999'])}`] : []),
  ]
  const bytes = Buffer.from(`${head.join('\r\n').replaceAll('٣', '3')}\r\n\r\n`, 'latin1')
  if (draw(3) === 0) for (let i = draw(4); i >= 0; i--) bytes[draw(bytes.length)] = draw(256)
  return bytes
}

const HANDSHAKE = () =>
  `GET /v1/streams/${stream.stream}/live?after=${pick(['0', '40', '45'])} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`

/** A frame of any opcode, flags, length form and mask, mostly wrong. */
function frame(): Buffer {
  const body = bytesOf(draw(140))
  const second = draw(2) * 128 + pick([body.length % 126, 126, 127, 0])
  return Buffer.concat([Buffer.from([draw(256), second]), bytesOf(draw(12)), body])
}

/** What came back at first, or until the other end closed; undefined when nothing did in time. */
function send(bytes: readonly Buffer[], { until = 'answer', ms = PATIENCE_MS } = {}): Promise<string | undefined> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1')
    const end = (text: string | undefined) => {
      clearTimeout(timer)
      socket.destroy()
      done(text)
    }
    const timer = setTimeout(() => end(undefined), ms)
    socket.on('data', (part) => {
      if (until === 'answer') setImmediate(() => end(part.toString('latin1')))
    })
    socket.on('error', () => {})
    socket.on('close', () => end(''))
    for (const part of bytes) socket.write(part)
  })
}

async function inParallel(count: number, run: () => Promise<void>): Promise<void> {
  let left = count
  const worker = async () => {
    while (left-- > 0) await run()
  }
  await Promise.all(Array.from({ length: PARALLEL }, worker))
}

async function nothingIsLeft(): Promise<void> {
  for (let i = 0; i < 300 && (connections.size > 0 || subscriptions.size > 0); i++) {
    await new Promise((done) => setTimeout(done, 20))
  }
  expect([connections.size, subscriptions.size, stream.watchers.size, logged]).toEqual([0, 0, 0, []])
  expect(stream.promises.size).toBeLessThanOrEqual(64)
}

it(`${REQUESTS} mutated requests get an answer that is no failure, or none`, async () => {
  const statuses = new Map<string, number>()
  await inParallel(REQUESTS, async () => {
    const sent = request()
    const status = /^HTTP\/1\.1 (\d{3})/.exec((await send([sent])) ?? '')?.[1] ?? 'none'
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    if (status.startsWith('5') && status !== '503' && status !== '505')
      throw new Error(`${status} for ${JSON.stringify(sent.toString('latin1'))}`)
  })
  expect(statuses.get('200')).toBeGreaterThan(100)
  expect(statuses.get('101')).toBeGreaterThan(10)
  expect(statuses.get('400')).toBeGreaterThan(1_000)
  await nothingIsLeft()
}, 120_000)

it(`${FRAMES} mutated frames end at most the socket they came on`, async () => {
  let closed = 0
  await inParallel(FRAMES / 3, async () => {
    const frames = [frame(), frame(), frame()]
    const answer = await send([Buffer.from(HANDSHAKE()), ...frames], { until: 'close', ms: FRAMES_MS })
    if (answer !== undefined) closed++
  })
  expect(closed).toBeGreaterThan(FRAMES / 6)
  await nothingIsLeft()
}, 120_000)
