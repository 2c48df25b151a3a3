import { mkdtempSync, rmSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { type Address, type Member, ZERO_32 } from '@smartlayer/protocol'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { TlsNetwork } from './tls-network.ts'
import { type TransportIdentity, transportIdentity } from './transport-identity.ts'

const A: Address = `0x${'a1'.repeat(20)}`
const B: Address = `0x${'b2'.repeat(20)}`
const PORT = 21_310
const telemetry = { log: () => {}, count: () => {} }
let folder: string
let identities: Record<'a' | 'b' | 'stranger', TransportIdentity>
let open: TlsNetwork[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'smart-layer-tls-'))
  const identity = (name: string) => transportIdentity(join(folder, name))
  identities = { a: await identity('a'), b: await identity('b'), stranger: await identity('stranger') }
})
afterEach(async () => {
  await Promise.all(open.map((network) => network.close()))
  open = []
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function memberOf(node: Address, transport: TransportIdentity, port: number): Member {
  const common = { api: '', operator: ZERO_32, platform: ZERO_32, stake: 1n, role: 'anchor' } as const
  return { ...common, node, transportKey: transport.transportKey, overlay: `127.0.0.1:${port}` }
}

const members = () => [memberOf(A, identities.a, PORT), memberOf(B, identities.b, PORT + 1)]

async function start(self: Address, transport: TransportIdentity, port: number, known = members): Promise<TlsNetwork> {
  const network = await TlsNetwork.start({
    self,
    listen: `127.0.0.1:${port}`,
    transports: () => [transport],
    members: known,
    telemetry,
  })
  open.push(network)
  return network
}

function received(network: TlsNetwork, count: number): Promise<{ from: Address; message: unknown }[]> {
  const all: { from: Address; message: unknown }[] = []
  return new Promise((resolve) => {
    network.receive((from, message) => {
      all.push({ from, message })
      if (all.length === count) resolve(all)
    })
  })
}

test('messages arrive in order, and the connection proves who sent them', async () => {
  const [a, b] = [await start(A, identities.a, PORT), await start(B, identities.b, PORT + 1)]
  const arrived = received(b, 1_000)
  for (let n = 0; n < 1_000; n++) a.send(B, { n }, 'live')
  const all = await arrived
  expect(all.every(({ from }) => from === A)).toBe(true)
  expect(all.map(({ message }) => (message as { n: number }).n)).toEqual(Array.from({ length: 1_000 }, (_, n) => n))
})

test('what a node sends to itself arrives as a copy', async () => {
  const a = await start(A, identities.a, PORT)
  const arrived = received(a, 1)
  const message = { list: [1] }
  a.send(A, message, 'control')
  message.list.push(2)
  expect(await arrived).toEqual([{ from: A, message: { list: [1] } }])
})

test('a key that is not registered is cut off before a byte of it is read', async () => {
  const a = await start(A, identities.a, PORT)
  let heard = false
  a.receive(() => {
    heard = true
  })
  const { key, certificate: cert } = identities.stranger
  const socket = connect({ host: '127.0.0.1', port: PORT, key, cert, rejectUnauthorized: false })
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  socket.write(Buffer.from('\0\0\0\x02{}'))
  await new Promise((resolve) => socket.once('close', resolve))
  expect(heard).toBe(false)
})

test('a peer that answers with another key than the registered one gets nothing', async () => {
  const a = await start(A, identities.a, PORT)
  const impostor = await start(B, identities.stranger, PORT + 1, () => [
    memberOf(A, identities.a, PORT),
    memberOf(B, identities.stranger, PORT + 1),
  ])
  let heard = false
  impostor.receive(() => {
    heard = true
  })
  a.send(B, { secret: true }, 'control')
  await new Promise((resolve) => setTimeout(resolve, 500))
  expect(heard).toBe(false)
  expect(a.peers().find(({ node }) => node === B)?.connected).toBe(false)
})

test('frames over the limit and bytes that are no JSON end the connection', async () => {
  const a = await start(A, identities.a, PORT)
  a.receive(() => {})
  const { key, certificate: cert } = identities.b
  for (const bytes of [Buffer.from([0xff, 0xff, 0xff, 0xff]), Buffer.from('\0\0\0\x03{a}')]) {
    const socket = connect({ host: '127.0.0.1', port: PORT, key, cert, rejectUnauthorized: false })
    await new Promise((resolve) => socket.once('secureConnect', resolve))
    socket.write(bytes)
    await new Promise((resolve) => socket.once('close', resolve))
  }
})

test('a caller that never finishes its handshake does not hold a place for ever', async () => {
  await start(A, identities.a, PORT)
  const socket = connectTcp({ host: '127.0.0.1', port: PORT })
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write('hello')
  await closed
})

test('a peer that comes back gets what is sent from then on', async () => {
  const a = await start(A, identities.a, PORT)
  const first = await start(B, identities.b, PORT + 1)
  const before = received(first, 1)
  a.send(B, { n: 1 }, 'control')
  await before
  open = open.filter((network) => network !== first)
  await first.close()
  const again = await start(B, identities.b, PORT + 1)
  const after = received(again, 1)
  const repeat = setInterval(() => a.send(B, { n: 2 }, 'control'), 100)
  expect((await after)[0]?.message).toEqual({ n: 2 })
  clearInterval(repeat)
})

test('a queue drops its oldest messages beyond its bound and never grows', async () => {
  const a = await start(A, identities.a, PORT)
  for (let n = 0; n < 5_000; n++) a.send(B, { n }, 'live')
  const peer = a.peers().find(({ node }) => node === B)
  expect(peer?.queued).toBeLessThanOrEqual(2_048)
  expect(peer?.dropped).toBe(5_000 - (peer?.queued ?? 0))
})

test('a member registered with an address that cannot be dialled harms nobody', async () => {
  for (const overlay of ['nonsense', '127.0.0.1:99999', '127.0.0.1:0', '']) {
    const a = await start(A, identities.a, PORT, () => [
      memberOf(A, identities.a, PORT),
      { ...memberOf(B, identities.b, 1), overlay },
    ])
    expect(() => a.send(B, { n: 1 }, 'control')).not.toThrow()
    open = open.filter((network) => network !== a)
    await a.close()
  }
})

test('what cannot be a frame is dropped alone: its neighbours arrive', async () => {
  const [a, b] = [await start(A, identities.a, PORT), await start(B, identities.b, PORT + 1)]
  const arrived = received(b, 2)
  a.send(B, { n: 1 }, 'live')
  a.send(B, { large: 'x'.repeat(1_100_000) }, 'live')
  a.send(B, { big: 1n }, 'live')
  a.send(B, { n: 2 }, 'live')
  expect((await arrived).map(({ message }) => message)).toEqual([{ n: 1 }, { n: 2 }])
})

test('a node that left the registry is not heard any longer', async () => {
  let known = members()
  const a = await start(A, identities.a, PORT, () => known)
  const b = await start(B, identities.b, PORT + 1)
  const first = received(a, 1)
  b.send(A, { n: 1 }, 'control')
  await first
  known = known.slice(0, 1)
  let heard = false
  a.receive(() => {
    heard = true
  })
  b.send(A, { n: 2 }, 'control')
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(heard).toBe(false)
})

test('bytes are counted by peer, class and type on both sides, and are none where nothing was sent', async () => {
  const [a, b] = [await start(A, identities.a, PORT), await start(B, identities.b, PORT + 1)]
  const arrived = received(b, 3)
  a.send(B, { type: 'stream-item', n: 1 }, 'live')
  a.send(B, { type: 'stream-item', n: 2 }, 'live')
  a.send(B, { type: 'heartbeat' }, 'control')
  await arrived
  const size = (message: object) => 4 + JSON.stringify(message).length
  const items = 2 * size({ type: 'stream-item', n: 1 })
  const heartbeat = size({ type: 'heartbeat' })
  const atA = a.peers().find(({ node }) => node === B)!
  expect(atA.bytesByType).toEqual({ 'stream-item': items, heartbeat })
  expect(atA.classes.live).toEqual({ sent: 2, sentBytes: items, dropped: 0, droppedBytes: 0 })
  expect(atA.classes.control).toEqual({ sent: 1, sentBytes: heartbeat, dropped: 0, droppedBytes: 0 })
  expect(atA.receivedByType).toEqual({})
  const atB = b.peers().find(({ node }) => node === A)!
  expect([atB.receivedByType, atB.bytesByType]).toEqual([{ 'stream-item': items, heartbeat }, {}])
  expect(a.metrics()).toContain(`smartlayer_network_sent_bytes_total{type="stream-item"} ${items}\n`)
  expect(a.metrics()).not.toContain('received_bytes')
  expect(b.metrics()).toContain(`smartlayer_network_received_bytes_total{type="heartbeat"} ${heartbeat}\n`)
})

test('what a peer makes up as types is counted together', async () => {
  const [a, b] = [await start(A, identities.a, PORT), await start(B, identities.b, PORT + 1)]
  const arrived = received(b, 300)
  const letters = 'abcdefghijklmnopqrst'
  for (let n = 0; n < 300; n++) a.send(B, { type: `made-up-${letters[n % 20]}${letters[Math.floor(n / 20)]}` }, 'live')
  await arrived
  expect(Object.keys(b.peers().find(({ node }) => node === A)!.receivedByType).length).toBeLessThanOrEqual(65)
})

test('callers that never finish their handshake do not keep a peer out', async () => {
  const a = await start(A, identities.a, PORT)
  const strangers = Array.from({ length: 300 }, () => connectTcp({ host: '127.0.0.1', port: PORT }))
  for (const stranger of strangers) stranger.on('error', () => stranger.destroy())
  await Promise.all(
    strangers.map((stranger) =>
      stranger.readyState === 'open' ? undefined : new Promise((resolve) => stranger.once('connect', resolve)),
    ),
  )
  const b = await start(B, identities.b, PORT + 1)
  const arrived = received(a, 1)
  const sentAt = performance.now()
  b.send(A, { n: 1 }, 'control')
  await arrived
  expect(performance.now() - sentAt).toBeLessThan(2_000)
  expect(strangers.filter(({ closed }) => !closed).length).toBeLessThanOrEqual(128)
  for (const stranger of strangers) stranger.destroy()
})

test('a peer that comes back is let in though its old connections still seem to stand', async () => {
  await start(A, identities.a, PORT)
  const { key, certificate: cert } = identities.b
  const calls = []
  for (let n = 0; n < 5; n++) {
    const socket = connect({ host: '127.0.0.1', port: PORT, key, cert, rejectUnauthorized: false })
    socket.on('error', () => socket.destroy())
    const answered = new Promise((resolve) => socket.once('data', resolve))
    socket.write(Buffer.alloc(4))
    await answered
    calls.push(socket)
  }
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(calls.map(({ closed }) => closed)).toEqual([true, true, true, false, false])
  for (const socket of calls) socket.destroy()
})
