import { expect, it } from 'vitest'
import { healthOf } from './health.ts'
import type { HealthView, NodeView, SnapshotView } from './model.ts'

function health(node: string, change: Partial<HealthView> = {}): HealthView {
  const outlook = { degraded: 2, draining: 4, penalty: 6 }
  const rest = { alive: true, score: 10_000, weight: 2_500, reasons: [], missed: 0, until: '0', instances: 1, limit: 9 }
  return { node, state: 'healthy', outlook, ...rest, ...change }
}

function snapshot(...nodes: readonly HealthView[]): SnapshotView {
  const named = nodes.map(({ node }, i) => ({ name: `service-${i + 1}`, status: { node } }) as unknown as NodeView)
  return { at: 0, network: { chainId: 1, registry: '0x' }, nodes: named, health: { by: 'anchor-1', nodes }, events: [] }
}

const only = (change: Partial<HealthView>) => healthOf(snapshot(health('0x01', change))).nodes[0]!

it('names each node with its score, its share of reads, and what would come next', () => {
  expect(only({})).toMatchObject({
    name: 'service-1',
    state: 'healthy',
    tone: 'good',
    score: 100,
    reads: 25,
    placed: '1 of 9',
    next: 'Drained after 4 more missed windows, penalised after 6.',
  })
})

it('says why, in the units of what was missed', () => {
  const reasons = [
    { objective: 'latencyMs', measured: 1_024, wanted: 512 },
    { objective: 'availability', measured: 7_550, wanted: 9_000 },
  ]
  expect(only({ state: 'degraded', missed: 3, reasons }).reasons).toEqual([
    'latency 1024 ms, wanted 512 ms',
    'availability 75.5 %, wanted 90 %',
  ])
  expect(only({ missed: 1, reasons }).reasons[0]).toBe('was: latency 1024 ms, wanted 512 ms')
})

it.each<[string, Partial<HealthView>, { state: string; tone: string }]>([
  ['maintenance', { drain: { from: '0', until: '60000' } }, { state: 'maintenance until 00:01:00', tone: 'planned' }],
  ['a penalty', { state: 'penalised', until: '60000' }, { state: 'penalised until 00:01:00', tone: 'bad' }],
  ['silence', { alive: false }, { state: 'healthy, silent', tone: 'bad' }],
  ['being degraded', { state: 'degraded' }, { state: 'degraded', tone: 'uneasy' }],
  ['being drained', { state: 'draining' }, { state: 'draining', tone: 'bad' }],
])('tells apart %s', (_, change, expected) => {
  expect(only(change)).toMatchObject(expected)
})

it('puts first what needs a look', () => {
  const view = snapshot(health('0x01'), health('0x02', { state: 'degraded' }), health('0x03', { state: 'draining' }))
  expect(healthOf(view).nodes.map(({ name }) => name)).toEqual(['service-3', 'service-2', 'service-1'])
})

it('has nothing to show while no anchor answers', () => {
  expect(healthOf({ ...snapshot(), health: null })).toEqual({ by: undefined, nodes: [] })
})
