import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import {
  checkpointInfoShape,
  type Problem,
  readData,
  type SubscriptionEvent,
  streamHeadShape,
  streamPageShape,
  subscriptionEventShape,
} from '@smartlayer/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { systemClock } from '../adapters/system-clock.ts'
import type { Subscriptions } from '../stream/subscriptions.ts'
import { FakeStream, unsigned } from '../testing/fake-stream.ts'
import { commonRoutes } from './common-routes.ts'
import { type Api, createApi } from './server.ts'
import { streamRoutes } from './stream-routes.ts'

const ANYBODY = unsigned(`0x${'01'.repeat(20)}`)
const telemetry = { log: () => {}, count: () => {} }

let api: Api
let stream: FakeStream
let subscriptions: Subscriptions
let base: string
let port: number
/** The server's ends of all connections. */
let connections: Set<Socket>

beforeEach(async () => {
  stream = new FakeStream(ANYBODY, [ANYBODY, ANYBODY, ANYBODY, ANYBODY])
  api = createApi(telemetry)
  const nothing = undefined as never
  const events = { after: () => [], listen: () => () => {}, metrics: () => '' }
  commonRoutes(api, {
    status: nothing,
    membership: nothing,
    network: nothing,
    events,
    metrics: () => '',
    faults: undefined,
  })
  subscriptions = streamRoutes(api, stream, { clock: systemClock, telemetry })
  connections = new Set()
  api.server.on('connection', (socket) => {
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
  })
  await api.listen({ host: '127.0.0.1', port: 0 })
  port = (api.server.address() as AddressInfo).port
  base = `http://127.0.0.1:${port}/v1/streams/${stream.stream}`
})
afterEach(() => api.close())

function publish(count: number, subset = 'LH454'): void {
  for (let i = 0; i < count; i++) stream.append(subset, { i })
  stream.certify()
}

function upTo(n: number, from = 1): readonly number[] {
  return Array.from({ length: n - from + 1 }, (_, i) => from + i)
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !holds(); i++) await new Promise((done) => setTimeout(done, 10))
  expect(holds()).toBe(true)
}

/** A raw client of server-sent events: it can stop reading. */
class EventClient {
  readonly socket: Socket
  text = ''
  constructor(path: string, headers = '') {
    this.socket = connect(port, '127.0.0.1')
    this.socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n${headers}\r\n`)
    this.socket.setEncoding('utf8')
    this.socket.on('data', (part) => {
      this.text += part
    })
    this.socket.on('error', () => {})
  }
  get ids(): readonly number[] {
    return [...this.text.matchAll(/^id: (\d+)\nevent: entry$/gm)].map(([, id]) => Number(id))
  }
  get events(): readonly SubscriptionEvent[] {
    return [...this.text.matchAll(/^event: (?:entry|frozen|pruned)\ndata: (.*)$/gm)].map(([, json]) =>
      subscriptionEventShape.parse(JSON.parse(json!), 'event'),
    )
  }
}

class SocketClient {
  readonly socket: WebSocket
  readonly events: SubscriptionEvent[] = []
  closed: { code: number; reason: string } | undefined
  constructor(query = '') {
    this.socket = new WebSocket(`${base.replace('http', 'ws')}/live${query}`)
    this.socket.on('message', (data) =>
      this.events.push(subscriptionEventShape.parse(JSON.parse(String(data)), 'event')),
    )
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) }
    })
    this.socket.on('error', () => {})
  }
  get cursors(): readonly number[] {
    return this.events.flatMap((event) => (event.type === 'entry' ? [Number(event.cursor)] : []))
  }
}

describe('pages', () => {
  it('give heads, and only entries that have a receipt', async () => {
    publish(70)
    stream.append('LH454', { late: true })
    const head = streamHeadShape.parse(await (await fetch(base)).json(), 'head')
    expect([head.sequence, head.certified, head.floor]).toEqual([71n, 70n, 0n])
    const first = streamPageShape.parse(await (await fetch(`${base}/entries`)).json(), 'page')
    expect(first.items).toHaveLength(64)
    const rest = streamPageShape.parse(await (await fetch(`${base}/entries?after=64&limit=500`)).json(), 'page')
    expect(rest.items.map((item) => readData(item)!.sequence)).toEqual([65n, 66n, 67n, 68n, 69n, 70n])
    const { subset } = readData(stream.items[0]!)!
    const path = `${base}/subsets/${subset}`
    const own = streamPageShape.parse(await (await fetch(`${path}/entries?after=68&limit=1`)).json(), 'page')
    expect(own.items).toHaveLength(1)
    expect(await (await fetch(path)).json()).toMatchObject({ subset, sequence: '71' })
  })

  it('are no larger than a client may take', async () => {
    for (let i = 0; i < 20; i++) stream.append('LH454', { text: 'x'.repeat(65_000) })
    stream.certify()
    const text = await (await fetch(`${base}/entries`)).text()
    expect(text.length).toBeLessThan(1_048_576)
    expect(JSON.parse(text).items.length).toBeGreaterThan(1)
  })

  it('answer a pruned range with 410 and the checkpoint to start from', async () => {
    publish(10)
    stream.prune(4n)
    const response = await fetch(`${base}/entries?after=2`)
    const problem = (await response.json()) as Problem
    expect([response.status, problem.status, problem.code]).toEqual([410, 410, 'stream.pruned'])
    expect(problem.facts).toMatchObject({ floor: '4', asked: '2' })
    expect(checkpointInfoShape.parse(problem.facts.checkpoint, 'checkpoint').checkpoint.size).toBe(4n)
    expect((await fetch(`${base}/entries?after=4`)).status).toBe(200)
  })

  it('say which of checkpoint and fork is not there', async () => {
    const codes = async () =>
      Promise.all(
        ['checkpoint', 'fork'].map(async (path) => ((await (await fetch(`${base}/${path}`)).json()) as Problem).code),
      )
    expect(await codes()).toEqual(['stream.no_checkpoint', 'stream.not_forked'])
    publish(3)
    stream.prune(2n)
    stream.freeze()
    expect(await codes()).toEqual([undefined, undefined])
  })
})

describe('server-sent events', () => {
  it('replay, go on live, and resume behind Last-Event-ID', async () => {
    publish(100)
    const client = new EventClient(`/v1/streams/${stream.stream}/events?after=90`)
    await until(() => client.ids.length === 10)
    publish(5)
    await until(() => client.ids.length === 15)
    expect(client.ids).toEqual(upTo(105, 91))
    expect(client.text).toContain('content-type: text/event-stream')
    expect(client.text).toContain('access-control-allow-origin: *')
    expect(client.text).toContain('retry: 2000')
    client.socket.destroy()
    const again = new EventClient(`/v1/streams/${stream.stream}/events?after=90`, 'last-event-id: 103\r\n')
    await until(() => again.ids.length === 2)
    expect(again.ids).toEqual([104, 105])
    again.socket.destroy()
  })

  it('begin with what is new when no cursor is named, and say where that is', async () => {
    for (const key of ['LH454', 'BA1', 'LH454']) stream.append(key, {})
    stream.certify()
    const { subset } = readData(stream.items[0]!)!
    for (let i = 0; i < 5; i++) stream.append('LH454', { uncertified: i })
    const whole = new EventClient(`/v1/streams/${stream.stream}/events`)
    const own = new EventClient(`/v1/streams/${stream.stream}/events?subset=${subset}`)
    await until(() => whole.text.includes('id: 3\n\n') && own.text.includes('id: 2\n\n'))
    stream.certify()
    await until(() => whole.ids.length === 5 && own.ids.length === 5)
    expect([whole.ids, own.ids]).toEqual([upTo(8, 4), upTo(7, 3)])
    whole.socket.destroy()
    own.socket.destroy()
  })

  it('wait for a stream that nobody has heard of yet', async () => {
    const client = new EventClient(`/v1/streams/${stream.stream}/events?after=0`)
    await until(() => subscriptions.size === 1)
    publish(1)
    await until(() => client.ids.length === 1)
    client.socket.destroy()
  })

  it('end after the last word, and tell an EventSource to wait before it asks again', async () => {
    publish(3)
    stream.freeze()
    const text = await (await fetch(`${base}/events?after=1`)).text()
    expect([...text.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name)).toEqual([
      'entry',
      'entry',
      'frozen',
      'closed',
    ])
    expect(text).toContain('event: frozen\ndata: {"type":"frozen","after":"3"}')
    expect(text).toContain('retry: 60000\nevent: closed\ndata: {"code":"stream.frozen"}')
    stream.prune(2n)
    expect(await (await fetch(`${base}/events?after=0`)).text()).toContain(
      'event: pruned\ndata: {"type":"pruned","floor":"2"',
    )
  })

  it('keep one page for a client that stops reading, and give it everything once it reads again', async () => {
    const client = new EventClient(`/v1/streams/${stream.stream}/events?after=0`)
    await until(() => subscriptions.size === 1)
    client.socket.pause()
    const [connection] = connections
    for (let i = 0; i < 60; i++) {
      for (let k = 0; k < 100; k++) stream.append('LH454', { text: 'x'.repeat(2_000), i, k })
      stream.certify()
      await new Promise((done) => setTimeout(done, 2))
    }
    const entryBytes = JSON.stringify(stream.items[0]!.body).length
    expect(entryBytes * 6_000).toBeGreaterThan(10_000_000) // far more than sockets buffer
    expect(connection!.writableLength).toBeGreaterThan(0)
    expect(connection!.writableLength).toBeLessThan(2 * 262_144)
    client.socket.resume()
    await until(() => client.ids.length === 6_000)
    expect(client.ids).toEqual(upTo(6_000))
    client.socket.destroy()
  })

  it('are refused with what is wrong', async () => {
    const codeOf = async (query: string, headers = {}) => {
      const response = await fetch(`${base}/events${query}`, { headers })
      return [response.status, ((await response.json()) as Problem).code]
    }
    expect(await codeOf('?after=x')).toEqual([400, 'message.malformed'])
    expect(await codeOf('?subset=0x12')).toEqual([400, 'message.malformed'])
    expect(await codeOf('', { 'last-event-id': '-1' })).toEqual([400, 'message.malformed'])
    expect((await fetch(`${base}/events`, { method: 'HEAD' })).status).toBe(404)
  })
})

describe('a WebSocket', () => {
  it('gives one message for each event, and resumes from its cursor', async () => {
    publish(10)
    const client = new SocketClient('?after=7')
    await until(() => client.cursors.length === 3)
    client.socket.terminate()
    publish(5)
    const again = new SocketClient(`?after=${client.cursors.at(-1)}`)
    await until(() => again.cursors.length === 5)
    expect([...client.cursors, ...again.cursors]).toEqual(upTo(15, 8))
    again.socket.terminate()
  })

  it('closes after the last word', async () => {
    publish(2)
    stream.freeze()
    const client = new SocketClient('?after=0')
    await until(() => client.closed !== undefined)
    expect(client.events.map(({ type }) => type)).toEqual(['entry', 'entry', 'frozen'])
    expect(client.closed).toEqual({ code: 1000, reason: 'stream.frozen' })
  })

  it('says in its close frame why it was refused', async () => {
    for (const query of ['?after=1e3', '?subset=x', '?after=-1', '?after=']) {
      const client = new SocketClient(query)
      await until(() => client.closed !== undefined)
      expect(client.closed).toEqual({ code: 1008, reason: 'message.malformed' })
    }
  })

  it('is closed when its client talks too much, or too long', async () => {
    const talker = new SocketClient()
    await once(talker.socket, 'open')
    for (let i = 0; i < 40; i++) talker.socket.send('hello')
    const pinger = new SocketClient()
    await once(pinger.socket, 'open')
    for (let i = 0; i < 40; i++) pinger.socket.ping()
    const long = new SocketClient()
    await once(long.socket, 'open')
    long.socket.send('x'.repeat(5_000))
    await until(() => [talker, pinger, long].every(({ closed }) => closed !== undefined))
    expect([talker.closed, pinger.closed]).toEqual([
      { code: 1008, reason: 'api.rate_limited' },
      { code: 1008, reason: 'api.rate_limited' },
    ])
    expect(long.closed?.code).toBe(1009)
    await until(() => subscriptions.size === 0)
  })

  it('lives beside the live socket of the node, and other paths are refused', async () => {
    const events = new WebSocket(`ws://127.0.0.1:${port}/v1/events`)
    await once(events, 'open')
    const client = new SocketClient()
    await once(client.socket, 'open')
    const stranger = new WebSocket(`ws://127.0.0.1:${port}/v1/else`)
    const [error] = await once(stranger, 'error')
    expect(String(error)).toContain('404')
    const raw = connect(port, '127.0.0.1')
    raw.write('GET // HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
    expect(String((await once(raw, 'data'))[0])).toContain('404')
    expect(api.server.listenerCount('upgrade')).toBe(1)
    events.terminate()
    client.socket.terminate()
  })
})

describe('all together', () => {
  it('are limited per address, with an answer that says so', async () => {
    const clients = Array.from({ length: 64 }, () => new SocketClient())
    await until(() => subscriptions.size === 64)
    const response = await fetch(`${base}/events`)
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
    expect(((await response.json()) as Problem).code).toBe('stream.subscribers')
    const refused = new SocketClient()
    await until(() => refused.closed !== undefined)
    expect(refused.closed).toEqual({ code: 1013, reason: 'stream.subscribers' })
    clients[0]!.socket.terminate()
    await until(() => subscriptions.size === 63)
    for (const { socket } of clients) socket.terminate()
  })

  it('leave nothing behind after being opened and closed 2,000 times', async () => {
    publish(3)
    for (let round = 0; round < 50; round++) {
      const events = Array.from({ length: 20 }, () => new EventClient(`/v1/streams/${stream.stream}/events?after=0`))
      const sockets = Array.from({ length: 20 }, () => new SocketClient('?after=0'))
      await until(() => subscriptions.size === 40)
      for (const { socket } of events) socket.destroy()
      for (const { socket } of sockets) socket.terminate()
      await until(() => subscriptions.size === 0)
    }
    expect(stream.watchers.size).toBe(0)
    expect(stream.promises.size).toBeLessThanOrEqual(40)
    await until(() => connections.size === 0)
  }, 60_000)

  it('do not keep a node from stopping', async () => {
    const client = new SocketClient()
    const events = new EventClient(`/v1/streams/${stream.stream}/events`)
    await until(() => subscriptions.size === 2)
    await api.close()
    await until(() => client.closed !== undefined && events.socket.destroyed)
    expect(stream.watchers.size).toBe(0)
  })
})
