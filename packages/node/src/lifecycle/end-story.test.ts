/** How instances end: by time or by their owner; what is still answered then, and what is refused. */
import {
  Action,
  digestOf,
  formatTokenRef,
  nobleCrypto,
  Retire,
  type RetireRequest,
  ZERO_32,
} from '@smartlayer/protocol'
import { expect, test } from 'vitest'
import { MemoryWorld, type WorldOptions } from '../testing/memory-world.ts'

const { keccak } = nobleCrypto
const MINUTE = 60_000

async function placed(options: WorldOptions = {}): Promise<MemoryWorld> {
  const world = new MemoryWorld(options)
  await world.start()
  await world.time.run(600)
  world.anchors[0]!.placement(formatTokenRef(world.ref)).catch(() => undefined)
  await world.time.run(3_000)
  return world
}

const text = (world: MemoryWorld) => formatTokenRef(world.ref)
const statesIn = (world: MemoryWorld) =>
  world.services.flatMap((node) => node.instances.map((hosted) => hosted.replica.confirmed?.state))
const executorIn = (world: MemoryWorld) => world.services.find((node) => node.instances[0]!.isExecutor)!

function order(world: MemoryWorld, change: Partial<Retire> = {}, signer = world.owner): RetireRequest {
  const retire = { instance: world.token.instance, incarnation: 0n, time: world.now, ...change }
  return { retire, signature: signer.sign(digestOf(Retire, retire, world.domain, keccak)) }
}

function acting(world: MemoryWorld) {
  const action: Action = {
    instance: world.token.instance,
    name: 'anything',
    args: ZERO_32,
    audience: world.holder.address,
    grant: ZERO_32,
    nonce: ZERO_32,
    expires: world.now + 60_000n,
    maxPrice: 0n,
  }
  const signature = world.holder.sign(digestOf(Action, action, world.domain, keccak))
  return executorIn(world).act(text(world), { action, signature, args: 'null', grant: undefined })
}

async function within<T>(world: MemoryWorld, asked: Promise<T>, ms = 1_000): Promise<T> {
  asked.catch(() => undefined)
  await world.time.run(ms)
  return asked
}

test('an instance expires by itself, at every replica alike; facts that come later change nothing', async () => {
  const world = await placed({ expiry: { by: 'age', afterMs: 20_000n } })
  await world.publish({ add: 5 })
  await world.time.run(1_000)
  for (const state of statesIn(world)) expect(state).toMatchObject({ data: { total: 5 } })
  expect(statesIn(world).some((state) => state?.ended)).toBe(false)
  await world.time.run(20_000)
  await world.publish({ add: 100 })
  await world.time.run(1_000)
  expect(statesIn(world)).toHaveLength(3)
  for (const state of statesIn(world)) expect(state).toMatchObject({ data: { total: 5 }, ended: { reason: 'expired' } })
})

test('the owner retires it: its last state is answered, marked, and then no more; actions are refused', async () => {
  const world = await placed()
  await world.publish({ add: 5 })
  await world.time.run(1_000)
  const answer = await within(world, executorIn(world).retire(text(world), order(world)))
  expect(JSON.parse(answer.result)).toMatchObject({ refused: '' })
  await expect(within(world, acting(world))).rejects.toMatchObject({ code: 'lifecycle.retired' })
  await expect(within(world, executorIn(world).retire(text(world), order(world)))).rejects.toMatchObject({
    code: 'lifecycle.retired',
  })
  const read = await within(world, executorIn(world).query(text(world), world.ask()))
  expect(read).toMatchObject({ result: '5', ended: { reason: 'retired' } })
  const ended = statesIn(world)[0]!.ended!
  expect(statesIn(world).every((state) => state?.ended?.time === ended.time)).toBe(true)
})

test('nobody else retires it, nor the owner another one of its incarnations', async () => {
  const world = await placed()
  const refusal = (request: RetireRequest) => within(world, executorIn(world).retire(text(world), request))
  await expect(refusal(order(world, {}, world.issuer))).rejects.toMatchObject({ code: 'attestation.signer' })
  await expect(refusal(order(world, { instance: ZERO_32 }))).rejects.toMatchObject({ code: 'grant.token' })
  await expect(refusal(order(world, { incarnation: 1n }))).rejects.toMatchObject({ code: 'restore.incarnation' })
  await world.time.run(MINUTE / 60)
  expect(statesIn(world).some((state) => state?.ended)).toBe(false)
})
