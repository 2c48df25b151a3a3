import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { httpClient } from './http-client.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const get = (url: string, timeoutMs = 2_000) => httpClient.request({ url, method: 'GET', timeoutMs })

test('status and body come as they are, of refusals too', async () => {
  const url = await serve((_, response) => response.writeHead(503).end('{"code":"x"}'))
  expect(await get(url)).toEqual({ status: 503, body: '{"code":"x"}' })
})

test('a body is sent as JSON', async () => {
  const url = await serve(
    (request, response) => void request.pipe(response.writeHead(200, { 'x-type': request.headers['content-type'] })),
  )
  expect(await httpClient.request({ url, method: 'POST', body: '{"a":1}', timeoutMs: 2_000 })).toEqual({
    status: 200,
    body: '{"a":1}',
  })
})

test.each<[string, RequestListener]>([
  [
    'an answer without end',
    (_, response) => {
      const more = () => response.destroyed || response.write('x'.repeat(65_536), () => setImmediate(more))
      more()
    },
  ],
  ['a redirect', (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end()],
  ['silence', () => {}],
  ['a broken connection', (request) => request.socket.destroy()],
])('no answer: %s', async (_, listener) => {
  expect(await get(await serve(listener), 500)).toBeUndefined()
})

test('nobody there is no answer either', async () => {
  expect(await get('http://127.0.0.1:9/')).toBeUndefined()
})
