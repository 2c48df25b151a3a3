/** What the door of queries keeps, for whom, and what it answers over HTTP. */
import {
  type Address,
  ANY_FRESHNESS,
  type AttestedGrant,
  answerShape,
  digestOf,
  type Ended,
  Grant,
  GrantCheck,
  genesisState,
  nobleCrypto,
  nobleSigner,
  Query,
  type QueryRequest,
  type Signer,
  SmartLayerError,
  textHash,
  toHex,
  ZERO_32,
} from '@smartlayer/protocol'
import { TEST } from '@smartlayer/protocol/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SecretService } from '../access/secret-service.ts'
import { type Api, createApi } from '../api/server.ts'
import { serviceRoutes } from '../api/service-routes.ts'
import type { ServiceNode } from '../service-node.ts'
import { ANCHOR, CONTEXT, DOMAIN, INSTANCE, loneToken, NODE } from '../testing/lone-home.ts'
import { BatchSigner } from './batch-signer.ts'
import type { Readable } from './hosted-instance.ts'
import { QueryService, type Source } from './query-service.ts'

const { keccak } = nobleCrypto
const NOW = TEST.timeS * 1_000n
const SITES = [nobleSigner(`0x${'0c'.repeat(32)}`), nobleSigner(`0x${'0d'.repeat(32)}`)] as const
const SCOPES: Record<string, string> = { open: '', owned: 'total:read' }

/** A replica whose state and clock the test moves. */
function replica() {
  const world = {
    now: NOW,
    root: ZERO_32 as `0x${string}`,
    leads: true,
    computed: 0,
    salt: 0,
    ended: undefined as Ended | undefined,
  }
  const token = { ...loneToken(), queryScope: (method: string) => SCOPES[method] }
  const ports = {
    clock: { now: () => world.now, monotonic: () => Number(world.now - NOW), after: () => () => {} },
    random: { bytes: (length: number) => new Uint8Array(length).fill(world.salt++ & 255) },
    identity: { signer: NODE, crypto: nobleCrypto },
    sandbox: {
      load: async () => {},
      call: async () => ({ status: 'ok', output: `{"value":${++world.computed}}`, gasUsed: 1n }) as const,
    },
    telemetry: { log: () => {}, count: () => {} },
  }
  const source: Source = {
    token,
    read: async (): Promise<Readable> => ({
      confirmed: {
        state: { ...genesisState(INSTANCE, 0n), ...(world.ended && { ended: world.ended }) },
        time: world.now,
        root: world.root,
        roots: [],
      },
      term: 1n,
      asOf: world.now,
      stale: false,
    }),
    assertLeads: () => {
      if (!world.leads) throw SmartLayerError.of('query.not_linearizable', { reason: 'the lease ended' })
    },
  }
  const signer = new BatchSigner(ports, CONTEXT, { endOfTurn: setImmediate })
  return { world, source, service: new QueryService(ports, CONTEXT, signer) }
}

let nonces = 0
function request(site: Signer, method: string, changes: Partial<Query> = {}): QueryRequest {
  const grant = method === 'owned' ? grantFor(site.address) : undefined
  const query: Query = {
    token: loneToken().token,
    method,
    args: textHash('null', nobleCrypto),
    audience: site.address,
    grant: grant ? toHex(digestOf(Grant, grant.grant, DOMAIN, keccak)) : ZERO_32,
    nonce: `0x${(++nonces).toString(16).padStart(64, '0')}`,
    time: NOW,
    ...ANY_FRESHNESS,
    bypassCache: false,
    ...changes,
  }
  return { query, signature: site.sign(digestOf(Query, query, DOMAIN, keccak)), args: 'null', grant }
}

function grantFor(audience: Address): AttestedGrant {
  const holder = nobleSigner(`0x${'0e'.repeat(32)}`)
  const nowS = TEST.timeS
  const grant: Grant = {
    token: loneToken().token,
    holder: holder.address,
    audience,
    origin: 'https://a.example',
    scopes: ['total:read'],
    issuedAt: nowS,
    expires: nowS + 60n,
    nonce: ZERO_32,
  }
  const digest = digestOf(Grant, grant, DOMAIN, keccak)
  const check: GrantCheck = { grant: toHex(digest), block: 1n, expires: nowS + 60n }
  const checks = [{ check, signature: ANCHOR.sign(digestOf(GrantCheck, check, DOMAIN, keccak)) }]
  return { grant, signature: holder.sign(digest), checks }
}

describe('a result', () => {
  it('of a public method is shared by all, of a scoped one only with the same site', async () => {
    const { service, source, world } = replica()
    for (const site of [...SITES, ...SITES]) await service.answer(request(site, 'open'), source)
    expect(world.computed).toBe(1)
    for (const site of [...SITES, ...SITES]) await service.answer(request(site, 'owned'), source)
    expect(world.computed).toBe(3)
  })

  it('is not served across a change of the state', async () => {
    const { service, source, world } = replica()
    expect((await service.answer(request(SITES[0], 'open'), source)).result).toBe('1')
    world.root = `0x${'77'.repeat(32)}`
    expect(await service.answer(request(SITES[0], 'open'), source)).toMatchObject({
      result: '2',
      stateRoot: world.root,
    })
    expect((await service.answer(request(SITES[0], 'open', { bypassCache: true }), source)).result).toBe('3')
    expect((await service.answer(request(SITES[0], 'open'), source)).result).toBe('2')
  })

  it('is not given out as linearizable when the lease ended while it was computed', async () => {
    const { service, source, world } = replica()
    world.leads = false
    const asked = service.answer(request(SITES[0], 'open', { linearizable: true }), source)
    await expect(asked).rejects.toMatchObject({ code: 'query.not_linearizable' })
    expect(world.computed).toBe(1) // the lease was asked after computing
  })
})

describe('an answer for everybody over HTTP', () => {
  let api: Api
  let world: ReturnType<typeof replica>['world']
  beforeEach(() => {
    const made = replica()
    world = made.world
    const node = {
      queryForEverybody: (_: string, asked: Parameters<QueryService['answerForEverybody']>[0]) =>
        made.service.answerForEverybody(asked, made.source),
    }
    api = createApi({ log: () => {}, count: () => {} })
    serviceRoutes(api, node as unknown as ServiceNode, {} as SecretService)
  })
  afterEach(() => api.close())

  const get = (method: string, headers = {}) => api.inject({ url: `/v1/tokens/x/queries/${method}`, headers })

  it('comes with a tag, by which who has it is told so within a second', async () => {
    const first = await get('open')
    expect(answerShape.parse(first.json(), 'answer')).toMatchObject({ result: '1', stale: false })
    const etag = first.headers.etag as string
    world.now += 1_000n
    const again = await get('open', { 'if-none-match': etag })
    expect([again.statusCode, again.body]).toEqual([304, ''])
    world.now += 1n
    const later = await get('open', { 'if-none-match': etag })
    expect(later.statusCode).toBe(200)
    expect(later.headers.etag).not.toBe(etag)
    expect(world.computed).toBe(1)
  })

  it('is another one as soon as the state is another one', async () => {
    const etag = (await get('open')).headers.etag as string
    world.root = `0x${'77'.repeat(32)}`
    expect((await get('open', { 'if-none-match': etag })).statusCode).toBe(200)
  })

  it('is not to be had for what needs a grant, nor in a form that does not fit', async () => {
    expect((await get('owned')).json()).toMatchObject({ code: 'query.not_public', status: 403 })
    expect((await get('unknown')).json()).toMatchObject({ code: 'query.unknown_method' })
    expect((await get('open?args=%7B')).json()).toMatchObject({ code: 'query.arguments' })
    expect((await get('open?minN=-1')).json()).toMatchObject({ code: 'api.body_invalid' })
    expect((await get('open?stream=0x12&minSequence=1')).json()).toMatchObject({ code: 'message.malformed' })
  })
})

describe('an instance that ended', () => {
  it('is answered from its last state, marked, for thirty days and no longer', async () => {
    const { world, source, service } = replica()
    world.ended = { reason: 'retired', time: String(NOW) }
    expect(await service.answer(request(SITES[0], 'open'), source)).toMatchObject({ ended: { reason: 'retired' } })
    world.now = NOW + 30n * 86_400_000n + 1n
    const late = request(SITES[0], 'open', { time: world.now })
    await expect(service.answer(late, source)).rejects.toMatchObject({ code: 'lifecycle.forgotten' })
  })
})
