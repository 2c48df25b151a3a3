/** Instances that sleep and wake, in a whole network in memory. */
import { type Address, formatTokenRef } from '@smartlayer/protocol'
import { expect, test } from 'vitest'
import { MemoryWorld } from '../testing/memory-world.ts'

const IDLE_MS = 3_000
const TOKEN = (world: MemoryWorld) => formatTokenRef(world.ref)

async function placed(): Promise<MemoryWorld> {
  const world = new MemoryWorld({ serviceCount: 6, parameters: { idleMs: IDLE_MS } })
  await world.start()
  await world.time.run(600)
  world.anchors[0]!.placement(TOKEN(world)).catch(() => {})
  await world.time.run(2_500)
  return world
}

const hosting = (world: MemoryWorld) => world.services.filter((node) => node.instances.length > 0)
const addressOf = (world: MemoryWorld, service: number): Address => world.serviceMembers[service]!.node

/** Two facts are applied, then nothing happens until it sleeps. Returns the root it sleeps with. */
async function asleep(world: MemoryWorld): Promise<string> {
  await world.publish({ add: 5 })
  await world.publish({ add: 7 })
  await world.time.run(1_000)
  const { root } = hosting(world)[0]!.instances[0]!.serving()
  await world.time.run(IDLE_MS + 6_000)
  return root
}

test('an instance in which nothing happens goes to sleep, and a query wakes it in the same state', async () => {
  const world = await placed()
  const root = await asleep(world)
  expect(hosting(world)).toHaveLength(0)
  expect(world.anchors.map((anchor) => anchor.sleeping)).toEqual([1, 1, 1, 1])
  const found = world.anchors[2]!.placement(TOKEN(world))
  const before = world.time.now
  await world.time.run(500)
  expect((await found).certified.placement.replicas).toHaveLength(3)
  expect(hosting(world).map((node) => node.instances[0]!.serving().root)).toEqual([root, root, root])
  expect(world.time.now - before).toBeLessThanOrEqual(500)
  expect(world.anchors.map((anchor) => anchor.sleeping)).toEqual([0, 0, 0, 0])
})

test('it wakes on other nodes when all that it ran on are gone, in the same state', async () => {
  const world = await placed()
  const former = hosting(world).map((node) => addressOf(world, world.services.indexOf(node)))
  const root = await asleep(world)
  for (const node of former) world.cuts.add(node)
  await world.time.run(3_000)
  const found = world.anchors[0]!.placement(TOKEN(world))
  await world.time.run(1_000)
  const { replicas } = (await found).certified.placement
  expect(replicas).toHaveLength(3)
  expect(replicas.filter((node) => former.includes(node))).toEqual([])
  const states = hosting(world).map((node) => node.instances[0]!.serving())
  expect(states.map((confirmed) => confirmed.root)).toEqual([root, root, root])
})

test('a fact that it follows wakes it, and none of the meantime is missing', async () => {
  const world = await placed()
  const former = hosting(world).map((node) => addressOf(world, world.services.indexOf(node)))
  await asleep(world)
  for (const node of former) world.cuts.add(node)
  await world.time.run(3_000)
  await world.publish({ add: 100 })
  await world.publish({ add: 1_000 })
  await world.time.run(3_000)
  const states = hosting(world).map((node) => node.instances[0]!.replica.state)
  expect(states).toHaveLength(3)
  for (const state of states) expect(state).toMatchObject({ data: { total: 1_112 } })
})

test('who asks now and then keeps it awake, at whatever replica', async () => {
  const world = await placed()
  await world.publish({ add: 5 })
  await world.time.run(1_000)
  const reader = hosting(world).find((node) => !node.instances[0]!.isExecutor)!
  for (let i = 0; i < 6; i++) {
    const answered = reader.query(TOKEN(world), world.ask())
    await world.time.run(IDLE_MS / 2)
    await answered
  }
  expect(hosting(world)).toHaveLength(3)
})
