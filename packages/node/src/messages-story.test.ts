/** Messages from one token to another on all real services: once, in order, over crashes, duplicates and elections on either side. */
import { Action, type Address, digestOf, formatTokenRef, type Json, textHash, ZERO_32 } from '@smartlayer/protocol'
import { expect, it, vi } from 'vitest'
import { fastCrypto } from './adapters/fast-crypto.ts'
import type { HostedInstance } from './execution/hosted-instance.ts'
import { MemoryWorld, type OtherToken } from './testing/memory-world.ts'

const { crypto, signer } = await fastCrypto()
vi.setConfig({ testTimeout: 90_000 }) // virtual minutes on a machine that may be busy

const SITE = signer(`0x${'0b'.repeat(32)}`)
const CAR: Address = `0x${'ca'.repeat(20)}`
const GARAGE: Address = `0x${'9a'.repeat(20)}`
const refOf = (contract: Address) => ({ chainId: 1n, contract, tokenId: 7n })

type State = { readonly heard: readonly number[]; readonly ends: readonly string[] }
type Input = {
  readonly state: State
  readonly args: number
  readonly body: number
  readonly outcome: { readonly kind: string; readonly code?: string }
}
const unchanged = (state: State) => ({ state, effects: [] })

/** Sends what an action says to the other one, and remembers what it heard and what became of what it sent. */
function token(
  contract: Address,
  other: Address,
  change: Partial<OtherToken['rules']> & { answers?: boolean } = {},
): OtherToken {
  const { answers, ...rules } = change
  const say = (state: State, body: number) => ({ ...unchanged(state), messages: [{ name: 'told', to: '7', body }] })
  return {
    contract,
    tokenId: 7n,
    script: {
      init: () => unchanged({ heard: [], ends: [] }),
      action: ({ state, args }: Input) => say(state, args),
      message: ({ state, body }: Input) => {
        if (body === 13) return { error: { code: 'sandbox.threw', facts: { message: 'not thirteen' } } }
        const next = { ...state, heard: [...state.heard, body] }
        return answers ? say(next, body + 1) : unchanged(next)
      },
      sent: ({ state, outcome }: Input) => unchanged({ ...state, ends: [...state.ends, outcome.code ?? outcome.kind] }),
    },
    rules: {
      actions: { tell: { scope: '' } },
      messages: { told: { from: [other] } },
      sends: { told: { to: [other] } },
      ...rules,
    },
  }
}

async function worldOf(garage: OtherToken, car: OtherToken, serviceCount = 3): Promise<MemoryWorld> {
  const world = new MemoryWorld({ others: [garage, car], serviceCount })
  await world.start()
  await world.time.run(600)
  world.anchors[0]!.placement(formatTokenRef(refOf(GARAGE))).catch(() => {})
  await world.time.run(4_000)
  return world
}

function hostsOf(
  world: MemoryWorld,
  contract: Address,
): readonly { hosted: HostedInstance; address: Address; i: number }[] {
  return world.services.flatMap((service, i) => {
    const hosted = service.instances.find(({ token: held }) => held.ref.contract === contract)
    return hosted ? [{ hosted, address: world.addresses[world.anchors.length + i]!, i }] : []
  })
}

const executorOf = (world: MemoryWorld, contract: Address) => {
  return hostsOf(world, contract).find(({ hosted, address }) => hosted.isExecutor && !world.cuts.has(address))!
}

/** The state that most replicas have confirmed. */
function stateOf(world: MemoryWorld, contract: Address): State & { outbox: number } {
  const confirmed = hostsOf(world, contract).flatMap(({ hosted }) => hosted.replica.confirmed ?? [])
  const newest = confirmed.toSorted((a, b) => Number(b.state.n) - Number(a.state.n))[0]!.state
  return { ...(newest.data as unknown as State), outbox: newest.outbox?.length ?? 0 }
}

let nonce = 0
async function tell(world: MemoryWorld, value: number, contract = GARAGE): Promise<void> {
  const { instance } = world.loaded(refOf(contract))
  const args = JSON.stringify(value satisfies Json)
  const action: Action = {
    instance,
    name: 'tell',
    args: textHash(args, crypto),
    audience: SITE.address,
    grant: ZERO_32,
    nonce: `0x${(++nonce).toString(16).padStart(64, '0')}`,
    expires: world.now + 30_000n,
    maxPrice: 0n,
  }
  const signature = SITE.sign(digestOf(Action, action, world.domain, crypto.keccak))
  const { i } = executorOf(world, contract)
  const acted = world.services[i]!.act(formatTokenRef(refOf(contract)), { action, signature, args, grant: undefined })
  await world.time.run(60)
  await acted
}

it('a message wakes its receiver, changes it once, and the sender hears of it', async () => {
  const world = await worldOf(token(GARAGE, CAR), token(CAR, GARAGE))
  for (const value of [1, 2, 3]) await tell(world, value)
  await world.time.run(12_000)
  expect(stateOf(world, CAR).heard).toEqual([1, 2, 3])
  expect(stateOf(world, GARAGE)).toMatchObject({ ends: ['delivered', 'delivered', 'delivered'], outbox: 0 })
})

it('is heard once and in order though its executor dies between commit and delivery, all comes twice, and the receiver elects anew', async () => {
  const world = await worldOf(token(GARAGE, CAR), token(CAR, GARAGE), 6)
  world.anchors[0]!.placement(formatTokenRef(refOf(CAR))).catch(() => {})
  await world.time.run(4_000)
  for (const address of world.addresses)
    world.tampers.set(address, (message) => {
      return ['delivery', 'receipt-signature', 'sent-signature'].includes(message.type)
        ? [message, message, message]
        : [message]
    })
  await tell(world, 1)
  const first = executorOf(world, GARAGE).address
  await tell(world, 2)
  expect(stateOf(world, GARAGE).outbox).toBeGreaterThan(0) // committed, not delivered
  world.cuts.add(first)
  await world.time.run(12_000)
  expect(stateOf(world, CAR).heard).toEqual([1, 2])
  const receiver = executorOf(world, CAR).address
  await tell(world, 3)
  world.cuts.add(receiver)
  await world.time.run(15_000)
  expect(stateOf(world, CAR).heard).toEqual([1, 2, 3])
  world.cuts.clear()
  await world.time.run(6_000)
  await tell(world, 4)
  await world.time.run(6_000)
  expect(stateOf(world, CAR).heard).toEqual([1, 2, 3, 4])
  expect(stateOf(world, GARAGE)).toMatchObject({ ends: Array(4).fill('delivered'), outbox: 0 })
})

it('what a receiver does not declare it never journals, and what its script refuses it does; the sender hears why', async () => {
  const world = await worldOf(token(GARAGE, CAR), token(CAR, GARAGE, { messages: { told: { from: [CAR] } } }))
  await tell(world, 1)
  await world.time.run(8_000)
  expect(stateOf(world, GARAGE)).toMatchObject({ ends: ['delivery.not_accepted'], outbox: 0 })
  expect(stateOf(world, CAR).heard).toEqual([])

  const other = await worldOf(token(GARAGE, CAR), token(CAR, GARAGE))
  await tell(other, 13)
  await tell(other, 14)
  await other.time.run(10_000)
  expect(stateOf(other, GARAGE).ends).toEqual(['sandbox.threw', 'delivered'])
  expect(stateOf(other, CAR).heard).toEqual([14])
})

it('tokens that answer each other without end come to an end', async () => {
  const world = await worldOf(token(GARAGE, CAR, { answers: true }), token(CAR, GARAGE, { answers: true }))
  await tell(world, 100)
  await world.time.run(30_000)
  const heard = [...stateOf(world, CAR).heard, ...stateOf(world, GARAGE).heard].toSorted((a, b) => a - b)
  expect(heard).toEqual(Array.from({ length: heard.length }, (_, i) => 100 + i))
  expect(heard).toHaveLength(7) // the eighth may not send a ninth, so it changes nothing and is refused
  const ends = [...stateOf(world, CAR).ends, ...stateOf(world, GARAGE).ends]
  expect(ends.filter((end) => end !== 'delivered')).toEqual(['delivery.too_many_hops'])
})
