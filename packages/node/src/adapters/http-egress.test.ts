import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { OutboundRequest } from '../ports/egress.ts'
import { httpEgress } from './http-egress.ts'
import { type TransportIdentity, transportIdentity } from './transport-identity.ts'

let folder: string
let transport: TransportIdentity
let server: Server | undefined

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'smart-layer-egress-'))
  transport = await transportIdentity(folder)
})
afterEach(() => new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve())))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function serve(listener: RequestListener): Promise<string> {
  server = createServer(listener)
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/rebook`
}

function requestTo(url: string, timeoutMs = 500): OutboundRequest {
  return {
    url,
    method: 'POST',
    headers: { authorization: 'Bearer key' },
    body: '{"booking":"1"}',
    timeoutMs,
    effect: `0x${'ef'.repeat(32)}`,
    executor: `0x${'ab'.repeat(20)}`,
    term: 3n,
    placement: `0x${'cd'.repeat(32)}`,
  }
}

const egress = () => httpEgress({ transport, allowPrivate: true })

test('an answer comes back with its status, body and signature, and the request names node, term and key', async () => {
  let seen: Record<string, unknown> = {}
  const url = await serve((request, response) => {
    seen = request.headers
    response.setHeader('sl-signature', '0x01')
    response.writeHead(201).end('{"moved":true}')
  })
  expect(await egress().request(requestTo(url))).toEqual({
    end: 'answer',
    status: 201,
    body: '{"moved":true}',
    signature: '0x01',
  })
  expect(seen).toMatchObject({ 'sl-term': '3', 'idempotency-key': `0x${'ef'.repeat(32)}`, authorization: 'Bearer key' })
  expect(String(seen['signature-input'])).toContain('"sl-placement"')
})

test('refused connections are known to have had no effect', async () => {
  expect(await egress().request(requestTo('http://127.0.0.1:9/x'))).toMatchObject({ end: 'unsent' })
})

test('silence, and a connection that ends early, leave it open what happened', async () => {
  const silent = await serve(() => {})
  expect(await egress().request(requestTo(silent, 200))).toEqual({ end: 'lost', reason: 'timeout' })
  server?.closeAllConnections()
  const dropped = await serve((_, response) => response.socket?.destroy())
  expect(await egress().request(requestTo(dropped))).toMatchObject({ end: 'lost' })
})

test('an answer over the limit is not taken, and a redirect is an answer, not a new request', async () => {
  const large = await serve((_, response) => response.end('x'.repeat(70_000)))
  expect(await egress().request(requestTo(large))).toMatchObject({ end: 'lost' })
  server?.closeAllConnections()
  const redirect = await serve((_, response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end())
  expect(await egress().request(requestTo(redirect))).toMatchObject({ end: 'answer', status: 302 })
})

test('outside development, private addresses are refused before anything is sent', async () => {
  let called = false
  const url = await serve(() => {
    called = true
  })
  const strict = httpEgress({ transport, allowPrivate: false })
  for (const target of [
    url,
    'http://10.0.0.1/',
    'http://[::1]:80/',
    'http://169.254.169.254/latest',
    'http://localhost/',
  ]) {
    expect(await strict.request(requestTo(target))).toMatchObject({ end: 'unsent' })
  }
  expect(called).toBe(false)
})
