import { type Answer, answerShape, formatTokenRef, parseTokenRef, queryRequestShape } from '@smartlayer/protocol'
import { beforeAll, expect, test } from 'vitest'
import type { LoadedToken } from '../context.ts'
import type { Http, HttpReply, HttpRequest } from '../ports/http.ts'
import type { Ports } from '../ports/ports.ts'
import { MemoryWorld } from '../testing/memory-world.ts'
import { QueryProbe } from './query-probe.ts'

const TIMEOUT_MS = 1_000

let world: MemoryWorld
let ports: Ports
let host: number
const requests: HttpRequest[] = []

beforeAll(async () => {
  world = new MemoryWorld()
  ports = world.portsOf(0)
  await world.start()
  await world.time.run(600)
  const asked = world.anchors[0]!.placement(formatTokenRef(world.ref)).catch(() => {})
  await world.time.run(2_000)
  await asked
  await world.publish({ add: 3 })
  await world.time.run(1_000)
  host = world.services.findIndex((service) => service.instances.length > 0)
})

/** Takes requests to the node's own door; `change` is what arrives in place of the answer. */
function httpTo(change: (answer: Answer) => Answer | HttpReply | undefined = (answer) => answer): Http {
  return {
    async request(request) {
      requests.push(request)
      const [, token] = /\/v1\/tokens\/([^/]+)\/query$/.exec(request.url)!
      const asked = queryRequestShape.parse(JSON.parse(request.body!), 'body')
      const answer = await world.services[host]!.query(formatTokenRef(parseTokenRef(decodeURIComponent(token!))), asked)
      const changed = change(answer)
      if (!changed || 'status' in changed) return changed
      return { status: 200, body: JSON.stringify(answerShape.toJson(changed)) }
    },
  }
}

async function ask(http: Http, { member = host, token = world.token }: { member?: number; token?: LoadedToken } = {}) {
  const probe = new QueryProbe(ports, world.context, http)
  const asked = probe.ask(world.serviceMembers[member]!, token, TIMEOUT_MS)
  await world.time.run(50)
  return asked
}

test('a real query is answered with the position it was computed at', async () => {
  expect(await ask(httpTo())).toMatchObject({ end: 'answered', n: 2n })
})

test('no two probes come from the same key, and none from that of the anchor', async () => {
  requests.length = 0
  await ask(httpTo())
  await ask(httpTo())
  const audiences = requests.map(({ body }) => (JSON.parse(body!) as { query: { audience: string } }).query.audience)
  expect(new Set([...audiences, world.anchorMembers[0]!.node]).size).toBe(3)
})

test.each<[string, (answer: Answer) => Answer | HttpReply]>([
  ['another result than was signed', (answer) => ({ ...answer, result: '4' })],
  ['another state than was signed', (answer) => ({ ...answer, stateRoot: `0x${'00'.repeat(32)}` })],
  ['a refusal', () => ({ status: 503, body: '{}' })],
  ['no JSON', () => ({ status: 200, body: '<html>' })],
  ['another shape', () => ({ status: 200, body: '{}' })],
])('is a failed call: %s', async (_, change) => {
  expect(await ask(httpTo(change))).toEqual({ end: 'failed' })
})

test('an answer of another node does not count for the one that was asked', async () => {
  expect(await ask(httpTo(), { member: (host + 1) % 3 })).toEqual({ end: 'failed' })
})

test('silence is no answer', async () => {
  expect(await ask(httpTo(() => undefined))).toEqual({ end: 'unanswered' })
})

test('without a public method the status page is asked for', async () => {
  const http: Http = {
    async request({ url, method }) {
      expect([method, url]).toEqual(['GET', `${world.serviceMembers[host]!.api}/v1/status`])
      return { status: 200, body: '{}' }
    },
  }
  expect(await ask(http, { token: { ...world.token, publicQuery: undefined } })).toEqual({ end: 'failed' })
})
