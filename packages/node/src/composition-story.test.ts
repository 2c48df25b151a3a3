/** A token that reads other tokens, on all real services in a world of its own: whole, in part, or refused, and never torn. */
import {
  type Address,
  type Answer,
  admitRead,
  answerShape,
  formatTokenRef,
  isPartial,
  isSmartLayerError,
  type ReadRule,
  type TrustedNetwork,
  verifyAnswerProof,
} from '@smartlayer/protocol'
import { expect, it, vi } from 'vitest'
import { fastCrypto } from './adapters/fast-crypto.ts'
import { LOCAL_PARAMETERS } from './context.ts'
import type { ServiceNode } from './service-node.ts'
import { MemoryWorld, type OtherToken } from './testing/memory-world.ts'

const { crypto, signer } = await fastCrypto()
vi.setConfig({ testTimeout: 90_000 }) // virtual minutes on a machine that may be busy

const SITE = signer(`0x${'0b'.repeat(32)}`)
const CAR: Address = `0x${'ca'.repeat(20)}`
const PAPER: Address = `0x${'fa'.repeat(20)}`
const COUNTER: Address = `0x${'c0'.repeat(20)}`

function read(name: string, contract: Address, change: Partial<ReadRule> = {}): ReadRule {
  return {
    name,
    contracts: [contract],
    token: { value: '7' },
    method: 'view',
    args: 'null',
    optional: false,
    ...change,
  }
}

const total = read('total', COUNTER, { method: 'total' })

/** A token whose only query says what its reads say. */
function token(contract: Address, reads: readonly ReadRule[], tokenId = 7n): OtherToken {
  return {
    contract,
    tokenId,
    script: {
      init: () => ({ state: { note: '7' }, effects: [] }),
      query: ({ reads: seen = {} }: { reads?: Record<string, { ok: boolean; value?: unknown; code?: string }> }) => ({
        value: Object.fromEntries(Object.entries(seen).map(([name, part]) => [name, part.ok ? part.value : part.code])),
      }),
    },
    change: { readsOf: () => reads },
  }
}

async function worldOf(others: readonly OtherToken[], serviceCount = 3): Promise<MemoryWorld> {
  const world = new MemoryWorld({ others, serviceCount })
  await world.start()
  await world.time.run(600)
  world.anchors[0]!.placement(formatTokenRef(world.ref)).catch(() => {})
  await world.time.run(3_000)
  await world.publish({ add: 5 })
  await world.time.run(1_000)
  return world
}

const refOf = (contract: Address, tokenId = 7n) => ({ chainId: 1n, contract, tokenId })

/** Wakes a token, and finds a replica of it. */
async function awake(world: MemoryWorld, contract: Address): Promise<ServiceNode> {
  const { instance } = world.loaded(refOf(contract))
  world.anchors[0]!.placement(formatTokenRef(refOf(contract))).catch(() => {})
  await world.time.run(4_000)
  return world.services.find((node) => node.instances.some((hosted) => hosted.token.instance === instance))!
}

async function ask(
  world: MemoryWorld,
  node: ServiceNode,
  contract = CAR,
  ms = 3_000,
): Promise<Answer | { code: string; message: string }> {
  const about = { token: world.loaded(refOf(contract)), method: 'view' }
  const asked = node.query(formatTokenRef(refOf(contract)), world.ask({}, SITE, about)).catch((error: unknown) => {
    if (isSmartLayerError(error)) return { code: error.code, message: error.message }
    throw error
  })
  await world.time.run(ms)
  return asked
}

async function answered(...asking: Parameters<typeof ask>): Promise<Answer> {
  const got = await ask(...asking)
  if ('code' in got) throw new Error(got.message)
  return got
}

it('one query reads tokens over two steps, wakes those that slept, and everything in it is verified', async () => {
  const world = await worldOf([token(CAR, [read('paper', PAPER), total]), token(PAPER, [total])])
  const node = await awake(world, CAR)
  const answer = await answered(world, node)
  expect(JSON.parse(answer.result)).toEqual({ paper: { total: 5 }, total: 5 })
  expect(answer.reads?.map(({ name, answer: part }) => [name, part?.n])).toEqual([
    ['paper', 1n],
    ['total', 2n],
  ])
  const proof = await prove(world, answer)
  expect(proof.summary).toMatch(/^verified/)
  expect(proof).toMatchObject({ ok: true, partial: false, parts: [{ proof: { ok: true } }, { proof: { ok: true } }] })
})

it('what a node changes in a part, leaves out or adds is not believed', async () => {
  const world = await worldOf([token(CAR, [total])])
  const answer = await answered(world, await awake(world, CAR))
  const [part] = answer.reads!
  const lies: Record<string, Answer> = {
    'left out': { ...answer, reads: undefined },
    'said to be missing': {
      ...answer,
      reads: [{ ...part!, answer: undefined, placement: undefined, code: 'read.failed' }],
    },
    'given twice': { ...answer, reads: [part!, part!] },
    'with another value': { ...answer, reads: [{ ...part!, answer: { ...part!.answer!, result: '6' } }] },
    'without roots': { ...answer, reads: [{ ...part!, answer: { ...part!.answer!, roots: [] } }] },
    'under another name': { ...answer, reads: [{ ...part!, name: 'sum' }] },
  }
  expect((await prove(world, answer)).ok).toBe(true)
  for (const [lie, changed] of Object.entries(lies)) expect((await prove(world, changed)).ok, lie).toBe(false)
})

it('a part that may be missing is, with its reason; one that may not ends the query', async () => {
  const unknown = read('paper', `0x${'0e'.repeat(20)}`, { optional: true })
  const world = await worldOf([token(CAR, [unknown, total])])
  const node = await awake(world, CAR)
  const partial = await answered(world, node)
  expect(JSON.parse(partial.result)).toEqual({ paper: 'token.unknown', total: 5 })
  const parts = [{ code: 'token.unknown' }, { code: '' }]
  expect(await prove(world, partial)).toMatchObject({ ok: true, partial: true, parts })
  Object.assign(world.loaded(refOf(CAR)), { readsOf: () => [{ ...unknown, optional: false }, total] })
  const refused = await ask(world, node)
  expect(refused).toMatchObject({ code: 'read.refused', message: expect.stringContaining('"paper"') })
})

it.each([true, false])(
  'one dead node of a part is not missed; without all of them the answer is partial, or asks to come again (optional: %s)',
  async (optional) => {
    const ids = [1n, 2n, 3n, 4n]
    const world = await worldOf([token(CAR, []), ...ids.map((tokenId) => token(PAPER, [], tokenId))], 6)
    const node = await awake(world, CAR)
    const addressOf = (service: ServiceNode) => world.addresses[world.anchors.length + world.services.indexOf(service)]!
    for (const tokenId of ids) world.anchors[0]!.placement(formatTokenRef(refOf(PAPER, tokenId))).catch(() => {})
    await world.time.run(4_000)
    const holders = (tokenId: bigint) =>
      world.services.filter(({ instances }) =>
        instances.some(({ token: held }) => held.ref.tokenId === tokenId && held.ref.contract === PAPER),
      )
    const tokenId = ids.find((id) => !holders(id).includes(node))!
    const paper = read('paper', PAPER, { token: { value: String(tokenId) }, optional })
    Object.assign(world.loaded(refOf(CAR)), { readsOf: () => [paper] })

    world.cuts.add(addressOf(holders(tokenId)[0]!))
    expect(JSON.parse((await answered(world, node)).result)).toEqual({ paper: {} })

    for (const holder of holders(tokenId)) world.cuts.add(addressOf(holder))
    const without = await ask(world, node, CAR, 2_300)
    if ('code' in without) expect([optional, without.code]).toEqual([false, 'read.failed'])
    else {
      const code = expect.stringMatching(/^(network\.unreachable|placement\.none)$/)
      expect(JSON.parse(without.result)).toMatchObject({ paper: code })
      expect([optional, isPartial(without)]).toEqual([true, true])
    }
    await world.time.run(12_000) // others take over, and know all that was committed
    expect((await answered(world, node)).result).toBe('{"paper":{}}')
  },
)

it('tokens that read each other in a ring are refused, naming the ring, however the reads are declared', async () => {
  const world = await worldOf([token(CAR, [read('paper', PAPER)]), token(PAPER, [read('car', CAR)])])
  const node = await awake(world, CAR)
  const names = [CAR, PAPER, CAR].map((contract) => formatTokenRef(refOf(contract)))
  expect(await ask(world, node)).toMatchObject({
    code: 'read.cycle',
    message: expect.stringContaining(names.join(' > ')),
  })
  expect(admitRead('d', ['a', 'b', 'c', 'x'])).toMatchObject({ code: 'read.too_deep' })
})

it('a changed part is seen by the next query, though nothing changed in the token that reads it', async () => {
  const world = await worldOf([token(CAR, [total])])
  const node = await awake(world, CAR)
  expect((await answered(world, node)).result).toBe('{"total":5}')
  await world.publish({ add: 2 })
  await world.time.run(1_000)
  const after = await answered(world, node)
  expect(after.result).toBe('{"total":7}')
  expect(after.n).toBe(1n)
})

it('while facts come in, two ways to one token never show two of its places', async () => {
  const world = await worldOf([token(CAR, [read('paper', PAPER), total]), token(PAPER, [total])])
  const node = await awake(world, CAR)
  await answered(world, node)
  let whole = 0
  for (let i = 0; i < 12; i++) {
    const published = world.publish({ add: 1 })
    const got = await ask(world, node, CAR, 40)
    await published
    if ('code' in got) {
      expect(got.code).toMatch(/^read\.(torn|failed)$/)
      continue
    }
    whole++
    const value = JSON.parse(got.result)
    expect(value.paper.total).toBe(value.total)
    expect((await prove(world, got)).summary).toMatch(/^verified/)
  }
  expect(whole).toBeGreaterThan(0)
})

async function prove(world: MemoryWorld, answer: Answer) {
  const { context } = world
  const car = world.loaded(refOf(CAR))
  const { certified, lease, scriptHash } = await world.anchors[0]!.placement(formatTokenRef(refOf(CAR)))
  const network: TrustedNetwork = {
    networkId: context.networkId,
    domain: context.domain,
    easDomain: context.easDomain,
    membership: context.membership(),
    epsilonMs: BigInt(LOCAL_PARAMETERS.epsilonMs),
    staleReadsMs: BigInt(LOCAL_PARAMETERS.staleReadsMs),
  }
  const arrived = answerShape.parse(JSON.parse(JSON.stringify(answerShape.toJson(answer))), 'answer')
  const now = answer.attestation.message.time * 1_000n
  const expected = { token: car.token, scriptHash, method: 'view', audience: SITE.address, certified, lease, now }
  return verifyAnswerProof(arrived, { ...expected, requestHash: requestOf(answer) }, network, crypto)
}

/** The test does not keep its requests; that the answer is bound to one is tested elsewhere. */
function requestOf(answer: Answer): `0x${string}` {
  return `0x${answer.attestation.message.data.slice(2 + 64 * 4, 2 + 64 * 5)}`
}
