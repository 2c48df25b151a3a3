import type { Address } from '@smartlayer/protocol'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Network } from '../ports/network.ts'
import { FaultyNetwork } from './faulty-network.ts'

const A: Address = `0x${'a1'.repeat(20)}`
const B: Address = `0x${'b2'.repeat(20)}`
const C: Address = `0x${'c3'.repeat(20)}`
const MANY = 5_000

type Sent = { readonly to: Address; readonly message: unknown; readonly trafficClass: string }

let sent: Sent[]
let heard: unknown[]
let logged: unknown[]
let arrive: (from: Address, message: unknown) => void
const inner: Network = {
  self: A,
  send: (to, message, trafficClass) => void sent.push({ to, message, trafficClass }),
  receive: (handle) => {
    arrive = handle
  },
}
const telemetry = {
  log: (level: string, event: string, facts?: object) => void logged.push({ level, event, ...facts }),
  count: () => {},
}

beforeEach(() => {
  vi.useFakeTimers()
  sent = []
  heard = []
  logged = []
})
afterEach(() => vi.useRealTimers())

function networkWith(faults: ConstructorParameters<typeof FaultyNetwork>[1]): FaultyNetwork {
  const network = new FaultyNetwork(inner, faults, telemetry)
  network.receive((_, message) => heard.push(message))
  return network
}

test('as large a part of the messages is lost as was asked for', () => {
  const network = networkWith({ loss: 0.2 })
  for (let n = 0; n < MANY; n++) network.send(B, { n }, 'live')
  expect(sent.length / MANY).toBeGreaterThan(0.76)
  expect(sent.length / MANY).toBeLessThan(0.84)
})

test('as large a part is sent twice as was asked for', () => {
  const network = networkWith({ duplicate: 0.5 })
  for (let n = 0; n < MANY; n++) network.send(B, { n }, 'live')
  expect(sent.length / MANY).toBeGreaterThan(1.45)
  expect(sent.length / MANY).toBeLessThan(1.55)
})

test('messages are late by anything up to the jitter, overtake each other, and say what they said', () => {
  const network = networkWith({ jitterMs: 50 })
  const message = { n: 0 }
  for (let n = 0; n < 1_000; n++) {
    message.n = n
    network.send(B, { ...message }, 'repair')
  }
  message.n = -1
  vi.advanceTimersByTime(10)
  expect(sent.length).toBeGreaterThan(100)
  expect(sent.length).toBeLessThan(320)
  vi.advanceTimersByTime(40)
  expect(sent).toHaveLength(1_000)
  const order = sent.map((one) => (one.message as { n: number }).n)
  expect(order).not.toEqual(order.toSorted((x, y) => x - y))
  expect(order.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 1_000 }, (_, n) => n))
  expect(new Set(sent.map(({ to, trafficClass }) => `${to} ${trafficClass}`))).toEqual(new Set([`${B} repair`]))
})

test('what is held back is bounded by number and by size; the rest goes without delay', () => {
  const network = networkWith({ jitterMs: 60_000 })
  for (let n = 0; n < MANY; n++) network.send(B, { n }, 'live')
  expect(sent).toHaveLength(MANY - 4_096)
  network.close()
  sent = []
  const large = 'x'.repeat(1_000_000)
  for (let n = 0; n < 50; n++) network.send(B, { n, large }, 'live')
  expect(sent).toHaveLength(50 - 33)
  vi.advanceTimersByTime(60_000)
  expect(sent).toHaveLength(50)
})

test('a cut works in both directions, and only for whom it names', () => {
  const network = networkWith({})
  network.inject({ cut: [B] })
  network.send(B, { n: 1 }, 'control')
  network.send(C, { n: 2 }, 'control')
  arrive(B, 'from B')
  arrive(C, 'from C')
  expect([sent.map(({ to }) => to), heard]).toEqual([[C], ['from C']])
  network.inject({ cut: [] })
  network.send(B, { n: 3 }, 'control')
  arrive(B, 'from B again')
  expect([sent.length, heard.length]).toEqual([2, 2])
})

test('a node that is cut from all still reaches itself', () => {
  const network = networkWith({ loss: 1, jitterMs: 1_000 })
  network.inject({ cut: 'all' })
  for (const to of [A, B, C]) network.send(to, { to }, 'control')
  for (const from of [A, B, C]) arrive(from, from)
  expect([sent.map(({ to }) => to), heard]).toEqual([[A], [A]])
})

test('a message that a cut overtakes on its way is not sent any more', () => {
  const network = networkWith({ jitterMs: 1_000 })
  network.send(B, { n: 1 }, 'control')
  network.inject({ cut: [B] })
  vi.advanceTimersByTime(1_000)
  expect(sent).toEqual([])
})

test('every change says that it is on purpose, and leaves what it does not name', () => {
  const network = networkWith({ loss: 0.2, jitterMs: 50 })
  expect(network.inject({ cut: [C] })).toEqual({ loss: 0.2, jitterMs: 50, duplicate: 0, cut: [C] })
  const common = { level: 'warn', event: 'network.faults_injected_on_purpose', duplicate: 0 }
  expect(logged).toEqual([
    { ...common, loss: 0.2, jitterMs: 50, cut: [] },
    { ...common, loss: 0.2, jitterMs: 50, cut: [C] },
  ])
})

test('without faults nothing is said, held or changed', () => {
  const network = networkWith({})
  const message = { n: 1 }
  network.send(B, message, 'control')
  expect([logged, sent]).toEqual([[], [{ to: B, message, trafficClass: 'control' }]])
})
