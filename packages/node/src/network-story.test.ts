import { formatTokenRef } from '@smartlayer/protocol'
import { expect, test } from 'vitest'
import { MemoryWorld, type WorldOptions } from './testing/memory-world.ts'

async function placed(options: WorldOptions = {}): Promise<MemoryWorld> {
  const world = new MemoryWorld(options)
  await world.start()
  await world.time.run(600)
  world.anchors[0]!.placement(formatTokenRef(world.ref)).catch(() => {})
  await world.time.run(3_000)
  return world
}

test('a fact reaches every replica in the same state', async () => {
  const world = await placed()
  await world.publish({ add: 5 })
  await world.publish({ add: 7 })
  await world.time.run(1_000)
  const states = world.services.flatMap((node) => node.instances.map((hosted) => hosted.replica.state))
  expect(states).toHaveLength(3)
  for (const state of states) expect(state).toMatchObject({ n: '3', data: { total: 12 } })
  for (const node of world.services) expect(node.instances[0]!.serving().state.n).toBe('3')
})

test('an effect is performed once, by the executor, and its outcome changes every replica', async () => {
  const world = await placed()
  await world.publish({ add: 1, call: true })
  await world.time.run(2_000)
  expect(world.requests).toHaveLength(1)
  for (const node of world.services) {
    expect(node.instances[0]!.replica.state).toMatchObject({ n: '4', data: { total: 1, called: 1 } })
  }
})

test('a node that an instance moved away from follows nothing of it any more', async () => {
  const world = await placed({ serviceCount: 4 })
  await world.publish({ add: 5 })
  const left = world.services.find((node) => node.instances[0]?.isExecutor)!
  const address = world.serviceMembers[world.services.indexOf(left)]!.node
  expect(left.followed(10)).toHaveLength(1)
  world.cuts.add(address)
  await world.time.run(10_000)
  world.cuts.delete(address)
  await world.time.run(5_000)
  await world.publish({ add: 7 })
  await world.time.run(1_000)
  const here = world.services.filter((node) => node.instances[0]?.isPlacedHere)
  expect(here).toHaveLength(3)
  for (const node of here) expect(node.followed(10)).toMatchObject([{ after: 2n }])
  expect(here).not.toContain(left)
  expect(left.followed(10)).toEqual([])
})
