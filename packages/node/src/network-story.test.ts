import { formatTokenRef } from '@smartlayer/protocol'
import { expect, test } from 'vitest'
import { MemoryWorld } from './testing/memory-world.ts'

async function placed(): Promise<MemoryWorld> {
  const world = new MemoryWorld()
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
