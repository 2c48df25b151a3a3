/** Bytes that no honest peer sends, to a node that listens: it goes on, and holds nothing of them. */
import { connect as connectTcp } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TRAFFIC_CLASSES } from '../ports/network.ts'
import { frameOf } from './frames.ts'
import { call, type TlsNode, TlsWorld, until } from './testing/tls-world.ts'
import type { TlsNetwork } from './tls-network.ts'
import { type TransportIdentity, transportIdentity } from './transport-identity.ts'

const MIB = 1_048_576
const FRAMES = 12_000
const SEED = 20_261_125

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

let world: TlsWorld
let target: TlsNode
let peer: TlsNode
let stranger: TransportIdentity
let network: TlsNetwork
let heard = 0

beforeAll(async () => {
  world = await TlsWorld.of(2)
  ;[target, peer] = [world.nodes[0]!, world.nodes[1]!]
  stranger = await transportIdentity(`${world.folder}/stranger`)
  network = await world.start(target)
  network.receive((_, message) => {
    heard++
    // What services do with it: look at it, and choke on some of it.
    void (message as { type: string }).type.length
  })
})
afterAll(() => world[Symbol.asyncDispose]())

/** A repeatable draw of numbers below `limit` (mulberry32). */
function drawsFrom(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * limit)
  }
}

const MESSAGES: readonly object[] = [
  { type: 'heartbeat', node: `0x${'01'.repeat(20)}`, ready: true, instances: 3 },
  { type: 'stream-heads', heads: [{ stream: `0x${'ab'.repeat(32)}`, sequence: '7' }], following: 1 },
  { type: 'refused', instance: `0x${'cd'.repeat(32)}`, about: 'vote', code: 'x.y', facts: '{"a":1}' },
  { type: 'stream-range', packed: 'QUJD'.repeat(200), proof: { siblings: [], peaks: [] } },
]
const ODD = [null, [], 0, -1, 1e308, '', '\u0000', '__proto__', { constructor: { prototype: 1 } }, true, '\ud800']

type Draw = ReturnType<typeof drawsFrom>

/** Another value in a field, a field more or less: still JSON, so the connection stands. */
function strangeMessage(draw: Draw): unknown {
  const message = structuredClone(MESSAGES[draw(MESSAGES.length)]!) as Record<string, unknown>
  const fields = Object.keys(message)
  const field = fields[draw(fields.length)]!
  const change = draw(5)
  if (change === 0) return ODD[draw(ODD.length)]
  if (change === 1) delete message[field]
  if (change === 2) message[field] = ODD[draw(ODD.length)]
  if (change === 3) message[`x${draw(1_000_000)}`] = ODD[draw(ODD.length)]
  if (change === 4) message.type = `made-up-${'abcdefghij'[draw(10)]}${'klmnopqrst'[draw(10)]}`
  return message
}

/** A frame with its header, its text or its end broken: the connection ends with it. */
function brokenFrame(draw: Draw): Buffer {
  const { bytes } = frameOf(MESSAGES[draw(MESSAGES.length)]!, TRAFFIC_CLASSES[draw(TRAFFIC_CLASSES.length)]!)
  const change = draw(5)
  if (change === 0) bytes[0] = 6 + draw(250)
  if (change === 1) bytes.writeUIntBE(draw(2 ** 24), 1, 3)
  if (change === 2) for (let n = 0; n < 8; n++) bytes[4 + draw(bytes.length - 4)] = draw(256)
  if (change === 3) return Buffer.from(Array.from({ length: 1 + draw(200) }, () => draw(256)))
  if (change === 4) return bytes.subarray(0, 1 + draw(bytes.length - 1))
  return bytes
}

/** A frame of 200 000 open brackets or the like: deep, but as short as any. */
function deepFrame(draw: Draw): Buffer {
  const [open, close] = [
    ['[', ']'],
    ['{"a":', '}'],
  ][draw(2)]!
  const depth = 100_000
  const body = Buffer.from(`${open!.repeat(depth)}${draw(2) === 0 ? '' : `1${close!.repeat(depth)}`}`)
  const header = Buffer.alloc(4)
  header.writeUInt32BE(body.length)
  header[0] = TRAFFIC_CLASSES.indexOf('live')
  return Buffer.concat([header, body])
}

async function sizeNow(): Promise<number> {
  await until(() => !network.peers().some(({ connected }) => connected), { what: 'the end of all connections' })
  collectGarbage()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

async function say(socket: TLSSocket, bytes: Buffer): Promise<void> {
  socket.resume()
  if (!socket.write(bytes))
    await new Promise((resolve) => {
      socket.once('drain', resolve)
      socket.once('close', resolve)
    })
}

test('twelve thousand mutated frames of a registered peer crash nothing and leave nothing behind', async () => {
  const draw = drawsFrom(SEED)
  const before = await sizeNow()
  let [said, calls] = [0, 0]
  while (said < FRAMES) {
    const socket = await call(target.port, peer.transport)
    calls++
    for (let n = 0; n < 12 && !socket.destroyed; n++, said++) {
      await say(socket, frameOf(strangeMessage(draw), TRAFFIC_CLASSES[draw(6)]!).bytes)
    }
    await say(socket, draw(50) === 0 ? deepFrame(draw) : brokenFrame(draw))
    said++
    socket.end()
    await new Promise((resolve) => (socket.destroyed ? resolve(0) : socket.once('close', resolve)))
  }
  expect(calls).toBeGreaterThan(900)
  expect(heard).toBeGreaterThan(FRAMES * 0.8)
  const { receivedByType } = network.peers()[0]!
  expect(Object.keys(receivedByType).length).toBeLessThanOrEqual(65)
  world.logged.length = 0
  expect((await sizeNow()) - before).toBeLessThan(8 * MIB)
}, 15_000)

test('strangers get nothing in, whatever they say before, during or after the handshake', async () => {
  const draw = drawsFrom(SEED + 1)
  const before = await sizeNow()
  const heardBefore = heard
  const speak = async () => {
    const socket = connectTcp({ host: '127.0.0.1', port: target.port })
    socket.on('error', () => socket.destroy())
    const closed = new Promise((resolve) => socket.once('close', resolve))
    // Some look like the beginning of a handshake.
    const start = draw(2) === 0 ? [0x16, 3, 1 + draw(3), draw(2), draw(256), draw(4)] : []
    socket.write(Buffer.from([...start, ...Array.from({ length: draw(300) }, () => draw(256))]))
    // An unfinished hello is waited for: whoever leaves frees its place.
    const leave = setTimeout(() => socket.destroy(), 15)
    await closed
    clearTimeout(leave)
  }
  for (let n = 0; n < 150; n++) await Promise.all(Array.from({ length: 68 }, speak))
  for (let n = 0; n < 100; n++) {
    const socket = await call(target.port, stranger)
    await say(socket, brokenFrame(draw))
    await say(socket, frameOf(strangeMessage(draw), 'control').bytes)
    await new Promise((resolve) => (socket.destroyed ? resolve(0) : socket.once('close', resolve)))
  }
  expect(heard).toBe(heardBefore)
  expect((await sizeNow()) - before).toBeLessThan(8 * MIB)
}, 15_000)

test('after all of it an honest peer is heard', async () => {
  const honest = await world.start(peer)
  const arrived = new Promise((resolve) => network.receive((from, message) => resolve({ from, message })))
  honest.send(target.node, { type: 'heartbeat' }, 'control')
  expect(await arrived).toEqual({ from: peer.node, message: { type: 'heartbeat' } })
})
