import { expect, it } from 'vitest'
import type { FollowedView, NodeView, SnapshotView, StatusView, StreamView } from './model.ts'
import { streamsOf } from './streams.ts'

function streamView(changes: Partial<StreamView> = {}): StreamView {
  return {
    stream: '0x01',
    issuer: '0xaa',
    epoch: '1',
    sequence: '10',
    head: '0xee',
    certified: '10',
    checkpoint: '8',
    floor: '0',
    followers: 2,
    state: 'live',
    reason: 'everything here has its receipt',
    ...changes,
  }
}

function followedView(changes: Partial<FollowedView> = {}): FollowedView {
  const reason = 'everything that is known was applied'
  return { stream: '0x01', subset: '0x05', after: '4', known: '4', waiting: 0, state: 'live', reason, ...changes }
}

function node(name: string, lists: Partial<Pick<StatusView, 'streams' | 'followed' | 'leftOut'>> | null): NodeView {
  const role = name.startsWith('anchor') ? 'anchor' : 'service'
  const status = { role, streams: [], followed: [], ...lists } as unknown as StatusView
  return { name, api: '', running: true, status: lists && status }
}

function snapshot(...nodes: readonly NodeView[]): SnapshotView {
  return { at: 0, network: { chainId: 1, registry: '0x' }, nodes, events: [] }
}

it('sets what anchors and followers say side by side, with how far each is behind', () => {
  const view = snapshot(
    node('anchor-1', { streams: [streamView()] }),
    node('anchor-2', {
      streams: [streamView({ sequence: '7', certified: '7', head: '0xdd', state: 'behind', reason: 'asked for' })],
    }),
    node('anchor-3', { streams: [] }),
    node('anchor-4', null),
    node('service-1', { followed: [followedView()] }),
    node('service-2', { followed: [followedView({ after: '2', known: '4', waiting: 1, state: 'behind' })] }),
  )
  const [stream] = streamsOf(view).shown
  expect(stream).toMatchObject({
    sequence: 10,
    certified: 10,
    state: 'behind',
    reason: 'anchor-2: asked for',
    issuer: '0xaa',
  })
  expect(stream!.anchors.map(({ name, behind, state }) => [name, behind, state])).toEqual([
    ['anchor-1', 0, 'live'],
    ['anchor-2', 3, 'behind'],
    ['anchor-3', 0, 'unknown'],
    ['anchor-4', 0, 'unknown'],
  ])
  expect(stream!.anchors[3]!.reason).toBe('the anchor does not answer')
  expect(stream!.followers.map(({ name, behind }) => [name, behind])).toEqual([
    ['service-2', 2],
    ['service-1', 0],
  ])
})

it('shows the reason once when all anchors give the same, and the worst otherwise', () => {
  const both = (a: Partial<StreamView>, b: Partial<StreamView>) =>
    streamsOf(snapshot(node('anchor-1', { streams: [streamView(a)] }), node('anchor-2', { streams: [streamView(b)] })))
      .shown[0]!
  expect(both({}, {})).toMatchObject({ state: 'live', reason: 'everything here has its receipt' })
  const frozen = { state: 'frozen', reason: 'its issuer signed two entries for one place' }
  expect(both({ state: 'behind', reason: 'asked for' }, frozen)).toMatchObject({
    state: 'frozen',
    reason: 'anchor-2: its issuer signed two entries for one place',
  })
  expect(both({}, { head: '0xff' })).toMatchObject({
    state: 'differs',
    reason: 'anchor-1 and anchor-2 name different entries at 10',
  })
})

it('shows the streams that moved last, and says how many others there are and how they stand', () => {
  const many = Array.from({ length: 40 }, (_, i) =>
    streamView({ stream: `0x${i}`, ...(i === 30 ? { state: 'frozen' } : {}) }),
  )
  const view = snapshot(
    node('anchor-1', { streams: many, leftOut: { streams: 5, followed: 0 } }),
    node('anchor-2', { streams: [many[35]!, many[0]!] }),
    node('service-1', { followed: [followedView({ stream: '0xff' })] }),
  )
  const { shown, rest } = streamsOf(view)
  expect(shown.slice(0, 3).map(({ stream }) => stream)).toEqual(['0x0', '0x35', '0x1'])
  expect(shown).toHaveLength(12)
  expect(rest.count).toBe(41 - 12 + 5)
  expect(rest.states).toEqual([
    { state: 'frozen', count: 1 },
    { state: 'live', count: 27 },
    { state: 'unknown', count: 1 },
  ])
})

it('keeps the followers that are furthest behind', () => {
  const followed = Array.from({ length: 30 }, (_, i) => followedView({ subset: `0x${i}`, known: String(4 + (i % 20)) }))
  const [stream] = streamsOf(
    snapshot(node('anchor-1', { streams: [streamView()] }), node('service-1', { followed })),
  ).shown
  expect(stream!.followers.map(({ behind }) => behind).slice(0, 3)).toEqual([19, 18, 17])
  expect([stream!.followers.length, stream!.moreFollowers]).toEqual([12, 18])
})
