import {
  type Address,
  digestOf,
  formatTokenRef,
  type Hex,
  LOCAL_HEALTH,
  nobleCrypto,
  nobleSigner,
  type Placement,
  ProbeSample,
} from '@smartlayer/protocol'
import { expect, test } from 'vitest'
import { MemoryWorld, type WorldOptions } from '../testing/memory-world.ts'

/** Windows of a second and a strict latency, so that a story takes half a minute of virtual time. */
const HEALTH = {
  ...LOCAL_HEALTH,
  windowMs: 1_000,
  objectives: { standard: { availability: 0.8, latencyMs: 256, stalenessMs: 2_000, failedCalls: 0.2 } },
  penaltyMs: 20_000,
}
const SLOW_MS = 200

async function placed(options: WorldOptions = {}): Promise<MemoryWorld> {
  const world = new MemoryWorld({ serviceCount: 5, parameters: { health: HEALTH }, ...options })
  await world.start()
  await world.time.run(600)
  const asked = world.anchors[0]!.placement(formatTokenRef(world.ref)).catch(() => {})
  await world.time.run(3_000)
  await asked
  return world
}

function placementOf(world: MemoryWorld): Placement {
  return world.anchors
    .map((anchor) => anchor.book.get(world.token.instance).placement!.placement)
    .reduce((best, next) => (next.term > best.term ? next : best))
}

const stateOf = (world: MemoryWorld, node: Address) =>
  world.anchors.map(({ health }) => health.ledger.standing(node).state)

/** The facts are executed by every replica of the present placement. */
async function expectAlive(world: MemoryWorld, total: number, add: number): Promise<void> {
  await world.publish({ add })
  await world.time.run(1_500)
  const { replicas } = placementOf(world)
  const hosts = world.services.filter((_, i) => replicas.includes(world.serviceMembers[i]!.node))
  expect(hosts).toHaveLength(3)
  for (const host of hosts) expect(host.instances[0]!.replica.state).toMatchObject({ data: { total: total + add } })
}

test('a node that becomes slow loses its placements, then is penalised by its probers, and is taken back in the end', async () => {
  const world = await placed()
  const { executor, term } = placementOf(world)
  await expectAlive(world, 0, 1)
  world.delays.set(executor, SLOW_MS)
  await world.time.run(14_000)
  expect(placementOf(world).replicas).not.toContain(executor)
  expect(placementOf(world).term).toBe(term + 1n)
  await expectAlive(world, 1, 2)
  expect(stateOf(world, executor)).toEqual(Array(4).fill('penalised'))
  const [penalty] = world.anchors[2]!.health.ledger.penalties(executor)
  expect(penalty!.signatures.length).toBeGreaterThanOrEqual(3)
  expect(penalty!.record.samples.length).toBeGreaterThanOrEqual(18)
  for (const { node } of world.serviceMembers) {
    if (node !== executor) expect(stateOf(world, node)).toEqual(Array(4).fill('healthy'))
  }
  world.delays.delete(executor)
  await world.time.run(HEALTH.penaltyMs / 4)
  expect(stateOf(world, executor)).toEqual(Array(4).fill('penalised'))
  await world.time.run(HEALTH.penaltyMs)
  expect(stateOf(world, executor)).toEqual(Array(4).fill('healthy'))
  expect(placementOf(world).replicas).not.toContain(executor) // nothing is moved back without need
})

test('an executor that is slow and does not hear that it is to hand over gets no more renewals', async () => {
  const world = await placed()
  const { executor, term } = placementOf(world)
  world.delays.set(executor, SLOW_MS)
  for (const { node } of world.anchorMembers) {
    world.tampers.set(node, (message) => (message.type === 'replace' ? [] : [message]))
  }
  await world.time.run(10_000)
  expect(placementOf(world)).toMatchObject({ executor, term })
  await world.time.run(14_000)
  expect(placementOf(world).replicas).not.toContain(executor)
})

test('a node in planned maintenance hands over at once and is not penalised for being away', async () => {
  const world = await placed()
  const { executor, term } = placementOf(world)
  const service = world.services[world.serviceMembers.findIndex(({ node }) => node === executor)]!
  const planned = service.maintenance.plan(30_000)
  await world.time.run(3_500)
  await planned
  expect(placementOf(world)).toMatchObject({ term: term + 1n })
  expect(placementOf(world).replicas).not.toContain(executor)
  world.cuts.add(executor)
  await world.time.run(12_000)
  expect(stateOf(world, executor)).toEqual(Array(4).fill('healthy'))
  expect(
    world.anchors[0]!.health.ledger.windows(executor)
      .slice(-8)
      .map(({ verdict }) => verdict),
  ).toEqual(Array(8).fill('excused'))
  await expectAlive(world, 0, 4)
})

test('a replica in maintenance is replaced by the release of its executor', async () => {
  const world = await placed()
  const { executor, replicas } = placementOf(world)
  const leaving = replicas.find((node) => node !== executor)!
  const service = world.services[world.serviceMembers.findIndex(({ node }) => node === leaving)]!
  const planned = service.maintenance.plan(60_000)
  await world.time.run(12_000)
  await planned
  const next = placementOf(world)
  expect(next.replicas).not.toContain(leaving)
  expect(next.executor).toBe(executor)
  expect(next.replicas).toHaveLength(3)
  await expectAlive(world, 0, 4)
})

test('maintenance that was taken back makes the node eligible again', async () => {
  const world = await placed()
  const { executor } = placementOf(world)
  const service = world.services[world.serviceMembers.findIndex(({ node }) => node === executor)]!
  const planned = service.maintenance.plan(60_000)
  await world.time.run(3_000)
  await planned
  expect(world.anchors[0]!.health.isEligible(executor)).toBe(false)
  const back = service.maintenance.plan(0)
  await world.time.run(1_000)
  await back
  expect(world.anchors[0]!.health.isEligible(executor)).toBe(true)
})

test('a dead replica is replaced in a new term, whose executor stays', async () => {
  const world = await placed()
  const { executor, replicas, term } = placementOf(world)
  const dead = replicas.find((node) => node !== executor)!
  world.cuts.add(dead)
  await world.time.run(16_000)
  const next = placementOf(world)
  expect(next).toMatchObject({ executor, term: term + 1n })
  expect(next.replicas).not.toContain(dead)
  expect(next.replicas).toHaveLength(3)
})

test('a node without room is not chosen', async () => {
  const { executor } = placementOf(await placed())
  const world = await placed({ capacity: (node) => (node === executor ? 0 : undefined) })
  expect(placementOf(world).replicas).toHaveLength(3)
  expect(placementOf(world).replicas).not.toContain(executor)
})

test('one anchor alone moves nothing', async () => {
  const world = await placed()
  const { term } = placementOf(world)
  const liar = world.anchors[0]!
  const [, victim] = placementOf(world).replicas
  Object.defineProperty(liar.health.heartbeats, 'silentMs', { value: (node: Address) => (node === victim ? 1e9 : 0) })
  Object.defineProperty(liar.health.heartbeats, 'isAlive', { value: (node: Address) => node !== victim })
  await world.time.run(20_000)
  expect(placementOf(world).term).toBe(term)
})

test('a placement with fewer replicas than wanted is widened once there are nodes', async () => {
  const world = new MemoryWorld({ serviceCount: 4, parameters: { health: HEALTH } })
  const [only, ...others] = world.serviceMembers.map(({ node }) => node)
  for (const node of others) world.cuts.add(node)
  await world.start()
  await world.time.run(600)
  const asked = world.anchors[0]!.placement(formatTokenRef(world.ref)).catch(() => {})
  await world.time.run(8_000)
  await asked
  expect(placementOf(world).replicas).toEqual([only])
  world.cuts.clear()
  await world.time.run(14_000)
  expect(placementOf(world).executor).toBe(only)
  await expectAlive(world, 0, 4)
})

test('an anchor that signs two samples for a window convicts itself: nobody listens to it any more', async () => {
  const world = await placed()
  const liar = world.anchorMembers[1]!.node
  const signer = nobleSigner(keyOf(2))
  expect(signer.address).toBe(liar)
  let told = 0
  world.tampers.set(liar, (message) => {
    if (message.type !== 'samples' || told++ % 3 === 0) return [message]
    const { samples } = message as unknown as { samples: { sample: object }[] }
    const lies = samples.map(({ sample }) => {
      const lie = ProbeSample.parse({ ...sample, stalenessMs: '60000' }, 'sample')
      return {
        sample: ProbeSample.toJson(lie),
        signature: signer.sign(digestOf(ProbeSample, lie, world.domain, nobleCrypto.keccak)),
      }
    })
    return [{ type: 'samples', samples: lies }, message]
  })
  await world.time.run(3_000)
  for (const [i, { health }] of world.anchors.entries()) {
    if (i === 1) continue
    expect(health.ledger.conflicts().map(({ first }) => first.sample.prober)).toEqual([liar])
    const { node } = world.serviceMembers[0]!
    expect(health.ledger.samples(node).some(({ sample }) => sample.prober === liar)).toBe(false)
  }
})

function keyOf(n: number): Hex {
  return `0x${n.toString(16).padStart(64, '0')}`
}
