import type { Membership, NetworkInfo, NodeStatus } from '@smartlayer/protocol'
import { afterEach, expect, test } from 'vitest'
import { parseFaults } from '../config/schema.ts'
import { type CommonRoutes, commonRoutes } from './common-routes.ts'
import { type Api, createApi } from './server.ts'

let api: Api
afterEach(() => api.close())

function start(faults: CommonRoutes['faults']): Api {
  api = createApi({ log: () => {}, count: () => {} })
  commonRoutes(api, {
    status: async () => ({}) as NodeStatus,
    membership: () => ({}) as Membership,
    network: {} as NetworkInfo,
    events: { after: () => [], listen: () => () => {}, metrics: () => 'smartlayer_events_total 1\n' },
    metrics: () => 'smartlayer_network_queued_bytes 0\n',
    faults,
  })
  return api
}

const post = (body: object | string) =>
  api.inject({
    method: 'POST',
    url: '/v1/development/faults',
    headers: { 'content-type': 'application/json' },
    payload: typeof body === 'string' ? body : JSON.stringify(body),
  })

test('outside development there is no route that injects faults', async () => {
  start(undefined)
  const answer = await post({ loss: 1 })
  expect([answer.statusCode, answer.json().code]).toEqual([404, 'api.not_found'])
})

test('in development the route changes the faults and answers with those in force', async () => {
  start((change) => ({ loss: 0, jitterMs: 0, duplicate: 0, cut: [], ...parseFaults(change) }))
  const answer = await post({ loss: 0.2, cut: 'all' })
  expect([answer.statusCode, answer.json()]).toEqual([200, { loss: 0.2, jitterMs: 0, duplicate: 0, cut: 'all' }])
})

test('what is no change of faults is refused and changes nothing', async () => {
  let changed = 0
  start((change) => {
    const parsed = parseFaults(change)
    changed++
    return parsed
  })
  for (const body of [{ loss: 2 }, { unknown: 1 }, 'null', '[]', '{']) {
    const answer = await post(body)
    expect([answer.statusCode, answer.json().code]).toEqual([400, 'api.body_invalid'])
  }
  expect(changed).toBe(0)
})

test('metrics hold the counters of events and of the overlay', async () => {
  const { body } = await start(undefined).inject('/metrics')
  expect(body).toBe('smartlayer_events_total 1\nsmartlayer_network_queued_bytes 0\n')
})
