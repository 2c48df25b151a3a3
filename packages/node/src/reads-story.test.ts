/** How fresh what a site reads is, from the fact to the answer, on all real services in a world of its own. */
import {
  type Answer,
  type Freshness,
  formatTokenRef,
  isSmartLayerError,
  nobleCrypto,
  streamOf,
  subsetOf,
} from '@smartlayer/protocol'
import { beforeEach, describe, expect, it } from 'vitest'
import { LOCAL_PARAMETERS } from './context.ts'
import type { ServiceNode } from './service-node.ts'
import { MemoryWorld } from './testing/memory-world.ts'

const { keccak } = nobleCrypto
let world: MemoryWorld
let token: string

beforeEach(async () => {
  world = new MemoryWorld()
  token = formatTokenRef(world.ref)
  await world.start()
  await world.time.run(600)
  world.anchors[0]!.placement(token).catch(() => {}) // wakes the token; nobody executes it yet
  await world.time.run(3_000)
  await world.publish({ add: 5 })
  await world.time.run(1_000)
})

const executor = () => world.services.find((node) => node.instances[0]!.isExecutor)!
const others = () => world.services.filter((node) => node !== executor())
const addressOf = (node: ServiceNode) => world.addresses[world.anchors.length + world.services.indexOf(node)]!

/** The answer, or the code of the refusal, after at most this much time of the world. */
async function read(node: ServiceNode, request: ReturnType<MemoryWorld['ask']>, ms = 1_500): Promise<Answer | string> {
  const asked = node
    .query(token, request)
    .catch((error: unknown) => (isSmartLayerError(error) ? error.code : String(error)))
  await world.time.run(ms)
  return asked
}

async function answered(node: ServiceNode, wanted: Partial<Freshness> = {}, ms = 1_500): Promise<Answer> {
  const got = await read(node, world.ask(wanted), ms)
  if (typeof got === 'string') throw new Error(got)
  return got
}

describe('reading what one wrote oneself', () => {
  const place = (sequence: bigint) => ({
    stream: streamOf(
      world.issuer.address,
      world.token.rules.tokenType,
      Object.values(world.token.rules.inputs)[0]!.lane,
      keccak,
    ),
    subset: subsetOf('facts/one', keccak),
    minSequence: sequence,
  })

  it('waits until the replica has the fact', async () => {
    const published = world.publish({ add: 7 }) // 200 ms of the world
    const asked = others()[0]!.query(token, world.ask(place(2n)))
    await world.time.run(1_500)
    await published
    expect(await asked).toMatchObject({ result: '12', n: 3n, stale: false })
  })

  it('is refused, with the place, when it does not come in time', async () => {
    expect(await read(others()[0]!, world.ask(place(2n)))).toBe('query.behind')
    expect(await read(others()[0]!, world.ask({ minN: 9n }))).toBe('query.behind')
    expect(await answered(others()[0]!, place(1n))).toMatchObject({ result: '5' })
  })
})

describe('a greatest age', () => {
  it('is met by asking the home anchors, also when nothing changed for long', async () => {
    await world.time.run(5_000)
    const answer = await answered(others()[0]!, { maxAgeMs: 50n }, 100)
    expect(world.now - answer.asOf).toBeLessThanOrEqual(150n)
  })

  it('is not met by a place that the anchors know to be an old one', async () => {
    const replica = others()[0]!
    // It hears of the next entry from anchors alone, and of no replica that computed the same.
    for (const service of world.services) world.cutLinks.add(`${addressOf(service)}>${addressOf(replica)}`)
    const toAnchors = world.addresses.slice(0, world.anchors.length).map((to) => `${addressOf(replica)}>${to}`)
    for (const link of toAnchors) world.cutLinks.add(link)
    await world.publish({ add: 7 })
    await world.time.run(150)
    for (const link of toAnchors) world.cutLinks.delete(link)
    expect(replica.instances[0]!.replica.head.n).toBe(2n)
    expect(replica.instances[0]!.replica.confirmed?.state.n).toBe('2')
    expect(executor().instances[0]!.replica.confirmed?.state.n).toBe('3')
    expect(await read(replica, world.ask({ maxAgeMs: 100n }))).toBe('query.too_old')
  })

  it('is refused by a replica that hears of nobody', async () => {
    const replica = others()[0]!
    world.cuts.add(addressOf(replica))
    await world.time.run(500)
    expect(await read(replica, world.ask({ maxAgeMs: 100n }))).toBe('query.too_old')
  })
})

describe('a linearizable read', () => {
  it('is answered by the executor, at all that was committed before', async () => {
    await world.publish({ add: 1 })
    await world.time.run(1_000)
    expect(await answered(executor(), { linearizable: true })).toMatchObject({ result: '6' })
    expect(await read(others()[0]!, world.ask({ linearizable: true }))).toBe('query.not_linearizable')
  })

  it('is refused by an executor that cannot renew its lease, though other reads go on', async () => {
    const alone = executor()
    world.cuts.add(addressOf(alone))
    await world.time.run(LOCAL_PARAMETERS.leaseMs)
    expect(await read(alone, world.ask({ linearizable: true }), 1_200)).toMatch(/^query\.not_(linearizable|serving)$/)
  })

  it('needs an entry of the term: a new executor commits an empty one for it', async () => {
    const before = executor()
    world.cuts.add(addressOf(before))
    await world.time.run(12_000)
    const now = world.services.find((node) => node !== before && node.instances[0]!.isExecutor)!
    expect(await answered(now)).toMatchObject({ n: 2n })
    const answer = await answered(now, { linearizable: true })
    expect(answer).toMatchObject({ result: '5', n: 3n })
    expect(answer.term).toBeGreaterThan(1n)
  })
})

describe('when the home anchors are gone', () => {
  it('reads go on, marked stale, for the stated time, but not for those who asked for more', async () => {
    for (const address of world.addresses.slice(0, world.anchors.length)) world.cuts.add(address)
    await world.time.run(LOCAL_PARAMETERS.leaseMs + LOCAL_PARAMETERS.epsilonMs + 100)
    const replica = others()[0]!
    expect(await answered(replica)).toMatchObject({ result: '5', stale: true })
    expect(await read(replica, world.ask({ maxAgeMs: 100_000n }))).toBe('query.not_serving')
    await world.time.run(LOCAL_PARAMETERS.staleReadsMs)
    expect(await read(replica, world.ask())).toBe('query.not_serving')
  })
})

describe('the result of a query', () => {
  const queries = () => world.calls.get('query') ?? 0

  it('is computed once for a state, for whoever asks and however many at a time, and anew after the next fact', async () => {
    const replica = others()[0]!
    const asked = Array.from({ length: 20 }, () => replica.query(token, world.ask()))
    await world.time.run(100)
    expect(new Set((await Promise.all(asked)).map(({ result }) => result))).toEqual(new Set(['5']))
    expect(queries()).toBe(1)
    await world.publish({ add: 2 })
    await world.time.run(1_000)
    expect((await answered(replica)).result).toBe('7')
    expect(queries()).toBe(2)
  })

  it('is computed for an auditor each time', async () => {
    const replica = others()[0]!
    for (let i = 0; i < 3; i++)
      expect(await read(replica, world.ask({ bypassCache: true }))).toMatchObject({ result: '5' })
    expect(queries()).toBe(3)
  })

  it('is attested once for everybody, for a second, and never across a fact', async () => {
    const replica = others()[0]!
    const wanted = world.ask().query
    const asked = { method: 'total', args: 'null', wanted }
    const get = async () => {
      const made = replica.queryForEverybody(token, asked)
      await world.time.run(10)
      return made
    }
    const first = await get()
    expect(await get()).toEqual(first)
    await world.time.run(1_000)
    const later = await get()
    expect(later.etag).not.toBe(first.etag)
    expect(queries()).toBe(1)
    await world.publish({ add: 2 })
    await world.time.run(700)
    const before = await get()
    expect(JSON.parse(before.body).result).toBe('7')
  })
})
