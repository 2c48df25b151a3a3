import {
  type Answer,
  isSmartLayerError,
  nobleCrypto,
  nobleSigner,
  type PlacementInfo,
  type SmartLayerError,
} from '@smartlayer/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createIntegration, loadNetwork, resolve } from '../index.ts'
import { CONTRACT, FakeNetwork, keyOf, type Manners, RESULT, TOKEN } from './testing/fake-network.ts'

const REPLICAS = [4, 5, 6]
let net: FakeNetwork

beforeEach(async () => {
  net = new FakeNetwork()
  await net.start()
})
afterEach(() => net.stop())

function connect() {
  return createIntegration({ anchors: net.anchorUrls, trust: net.trust, signer: nobleSigner(keyOf(77)) })
}

/** Makes the replica that is asked first misbehave, whichever it is, and lets all others be honest. */
function firstAsked(answer: NonNullable<Manners['answer']>): void {
  let first: number | undefined
  for (const i of REPLICAS) {
    net.manners[i]!.answer = (honest, made) => {
      first ??= i
      return i === first ? answer(honest, made) : honest
    }
  }
}

/** The different codes with which replicas failed, when none answered. */
async function failuresOf(doing: Promise<unknown>): Promise<readonly string[]> {
  const error = await doing.catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'query.unanswered' })
  const { failures } = (error as SmartLayerError).facts as { failures: { code: string }[] }
  return [...new Set(failures.map(({ code }) => code))]
}

async function codeOf(doing: Promise<unknown>): Promise<string> {
  return doing.then(
    () => 'nothing was thrown',
    (error) => (isSmartLayerError(error) ? error.code : String(error)),
  )
}

describe('query', () => {
  it('returns a verified value and says that there is no enclave evidence', async () => {
    const { value, proof, tried, node } = await (await connect()).query({ token: TOKEN, method: 'status' })
    expect(value).toEqual(JSON.parse(RESULT))
    expect(proof.checks.every((check) => check.ok)).toBe(true)
    expect(proof.summary).toBe('verified by 9 checks at position 12; no enclave evidence')
    expect(tried).toEqual([{ node, error: undefined }])
  })

  const lies: readonly [string, string, NonNullable<Manners['answer']>][] = [
    [
      'alters one byte of the result',
      'attestation.content',
      (honest) => ({ ...honest, result: RESULT.replace('95', '96') }),
    ],
    [
      'answers from a state that no majority computed',
      'answer.state_unconfirmed',
      (_, { sign }) => sign({ root: `0x${'66'.repeat(32)}` }),
    ],
    [
      'claims a root that it did not sign',
      'attestation.context',
      (honest) => ({ ...honest, stateRoot: `0x${'66'.repeat(32)}` }),
    ],
    ['claims a later time than it signed', 'attestation.context', (honest) => ({ ...honest, asOf: honest.asOf + 1n })],
    ['claims another term than it signed', 'attestation.context', (honest) => ({ ...honest, term: 6n })],
    [
      'hides that its answer is stale',
      'attestation.context',
      (_, { sign }) => ({ ...sign({ stale: true }), stale: false }),
    ],
    ['claims a position that it did not sign', 'attestation.context', (honest) => ({ ...honest, n: 13n })],
    ['answers for another audience', 'attestation.audience', (_, { sign }) => sign({ audience: CONTRACT })],
    ['answers another request', 'attestation.request', (_, { sign }) => sign({ requestHash: `0x${'11'.repeat(32)}` })],
    ['answers another method', 'attestation.context', (_, { sign }) => sign({ method: 'other' })],
    [
      'sends an answer that has expired',
      'attestation.expired',
      (_, { facts, sign }) => sign({ timeS: facts.timeS - 400n }),
    ],
    ['sends an answer that lives too long', 'attestation.lifetime', (_, { sign }) => sign({ lifeS: 301n })],
    [
      'passes on the answer of a node outside the placement',
      'answer.not_replica',
      (_, { sign }) => sign({ signer: net.signers[7]! }),
    ],
    ['passes on the answer of a stranger', 'node.unknown', (_, { sign }) => sign({ signer: nobleSigner(keyOf(99)) })],
    ['passes on the answer of an anchor', 'node.role', (_, { sign }) => sign({ signer: net.signers[0]! })],
    [
      'signs with another key than it names',
      'attestation.signature',
      (honest, { sign }) => ({
        ...honest,
        attestation: { ...sign({ signer: nobleSigner(keyOf(99)) }).attestation, attester: honest.attestation.attester },
      }),
    ],
    [
      'counts one root twice',
      'answer.state_unconfirmed',
      (honest) => ({ ...honest, roots: [honest.roots[0]!, honest.roots[0]!] }),
    ],
    ['sends what does not fit the shape', 'answer.malformed', (honest) => ({ ...honest, method: 'x'.repeat(65) })],
    ['signs a result that is no JSON', 'message.malformed', (_, { sign }) => sign({ result: '{' })],
    [
      'sends more than a client reads',
      'answer.malformed',
      (honest) => ({ ...honest, evidence: 'x'.repeat(1_100_000) }),
    ],
  ]

  it.each(lies)('asks another replica when one %s (%s)', async (_, code, lie) => {
    firstAsked(lie)
    const { value, tried } = await (await connect()).query({ token: TOKEN, method: 'status' })
    expect(value).toEqual(JSON.parse(RESULT))
    expect(tried.map(({ error }) => error)).toEqual([code, undefined])
  })

  it('does not believe an old answer that is replayed for a new request', async () => {
    let old: Answer | undefined
    firstAsked((honest) => {
      old ??= honest
      return old
    })
    const site = await connect()
    const first = await site.query({ token: TOKEN, method: 'status' })
    expect(first.tried).toHaveLength(1)
    const errors = new Set<string | undefined>()
    for (let i = 0; i < 64; i++) {
      const { tried } = await site.query({ token: TOKEN, method: 'status' })
      for (const { error } of tried) errors.add(error)
    }
    expect(errors).toEqual(new Set(['attestation.request', undefined]))
  })

  it('asks elsewhere when the answer stands before the position that was asked for', async () => {
    firstAsked((honest) => honest)
    const asked = (await connect()).query({ token: TOKEN, method: 'status', minN: 13n, totalMs: 500 })
    const error = await asked.catch((error: Error) => error)
    expect(error).toMatchObject({ code: 'query.unanswered' })
    const { failures } = (error as SmartLayerError).facts as { failures: { node: string; code: string }[] }
    expect(new Set(failures.map(({ node }) => node))).toEqual(new Set(REPLICAS.map((i) => net.address(i))))
    expect(new Set(failures.map(({ code }) => code))).toEqual(new Set(['query.behind']))
  })

  it('names every fact when nobody can be believed', async () => {
    for (const i of REPLICAS) net.manners[i]!.answer = (_, { sign }) => sign({ audience: CONTRACT })
    const asked = (await connect()).query({ token: TOKEN, method: 'status' })
    await expect(asked).rejects.toThrow(/made for audience 0x[0-9a-f]{64}, not 0x[0-9a-f]{64}/)
  })

  it('asks another replica when one is down', async () => {
    net.manners[4]!.dead = true
    net.manners[5]!.dead = true
    const { value, node } = await (await connect()).query({ token: TOKEN, method: 'status' })
    expect([value, node]).toEqual([JSON.parse(RESULT), net.address(6)])
  })

  it('asks a second replica while the first is slower than it usually is, for at most a tenth of all questions', async () => {
    const site = await connect()
    const ask = () => site.query({ token: TOKEN, method: 'status' })
    for (let i = 0; i < 60; i++) await ask()
    const before = REPLICAS.reduce((sum, i) => sum + net.seen[i]!.length, 0)
    expect(before).toBeLessThanOrEqual(66)
    net.manners[4]!.slowMs = 1_500
    const started = performance.now()
    const answered = await Promise.all([1, 2, 3, 4, 5].map(ask))
    expect(performance.now() - started).toBeLessThan(1_400)
    expect(answered.map(({ node }) => node)).not.toContain(net.address(4))
  })

  it('leaves a replica that failed in peace for a while', async () => {
    const site = await connect()
    net.manners[4]!.dead = true
    for (let i = 0; i < 40; i++) await site.query({ token: TOKEN, method: 'status' })
    expect(net.seen[4]!.length).toBeLessThanOrEqual(3)
  })

  it('asks the executor alone when the answer must be linearizable, and believes nobody else', async () => {
    const site = await connect()
    for (let i = 0; i < 6; i++) {
      const { node } = await site.query({ token: TOKEN, method: 'status', linearizable: true })
      expect(node).toBe(net.address(4))
    }
    net.manners[4]!.answer = (_, { sign }) => sign({ signer: net.signers[5]! })
    const asked = site.query({ token: TOKEN, method: 'status', linearizable: true, totalMs: 600 })
    expect(await failuresOf(asked)).toEqual(['query.not_linearizable'])
  })

  it('refuses an answer that is older than was allowed', async () => {
    for (const i of REPLICAS) net.manners[i]!.answer = (_, { facts, sign }) => sign({ asOf: facts.asOf - 5_000n })
    const site = await connect()
    const old = { token: TOKEN, method: 'status', totalMs: 300 }
    expect((await site.query({ ...old, maxAgeMs: 10_000 })).stale).toBe(false)
    expect(await failuresOf(site.query({ ...old, maxAgeMs: 1_000 }))).toEqual(['query.too_old'])
  })

  it('reads on, marked stale, when the lease ended and no anchor can name another; not when it must be in force', async () => {
    const site = await connect()
    const asked = { token: TOKEN, method: 'status' }
    const ended = net.placement({ expires: BigInt(Date.now()) - 1_000n })
    for (const i of [0, 1, 2, 3]) net.manners[i]!.placement = () => ended
    for (const i of REPLICAS) net.manners[i]!.answer = (_, { sign }) => sign({ stale: true })
    const { stale, proof } = await site.query(asked)
    expect([stale, proof.stale, proof.ok]).toEqual([true, true, true])
    expect(proof.summary).toContain('stale')
    for (const i of [0, 1, 2, 3]) net.manners[i]!.dead = true
    expect((await site.query(asked)).stale).toBe(true)
    expect(await codeOf(site.query({ ...asked, maxAgeMs: 60_000, totalMs: 500 }))).toBe('quorum.not_reached')
    expect(await codeOf(site.query({ ...asked, linearizable: true, totalMs: 500 }))).toBe('quorum.not_reached')
  })

  it('does not believe an answer under an ended lease that is not marked, nor one that ended long ago', async () => {
    const site = await connect()
    const ended = (ms: bigint) => () => net.placement({ expires: BigInt(Date.now()) - ms })
    for (const i of [0, 1, 2, 3]) net.manners[i]!.placement = ended(1_000n)
    const asked = site.query({ token: TOKEN, method: 'status', totalMs: 1_500 })
    expect(await failuresOf(asked)).toEqual(['answer.placement_ended'])
    for (const i of [0, 1, 2, 3]) net.manners[i]!.placement = ended(61_000n)
    const other = await connect()
    expect(await codeOf(resolve(other.site, TOKEN, { orStale: true }))).toBe('placement.none')
  }, 15_000)

  it('asks what is for everybody without saying who asks', async () => {
    const { value, proof, answer, request } = await (await connect()).queryPublic({ token: TOKEN, method: 'status' })
    expect([value, proof.ok, request.kind]).toEqual([JSON.parse(RESULT), true, 'public'])
    expect(answer.attestation.batch).toBeUndefined()
    firstAsked((_, { sign }) => sign({ audience: CONTRACT }))
    const { tried } = await (await connect()).queryPublic({ token: TOKEN, method: 'status', args: { a: 1 } })
    expect(tried.map(({ error }) => error)).toEqual(['attestation.audience', undefined])
  })

  it('stops when its caller gives up', async () => {
    for (const i of REPLICAS) net.manners[i]!.slowMs = 2_000
    const asked = (await connect()).query({ token: TOKEN, method: 'status', signal: AbortSignal.timeout(100) })
    await expect(asked).rejects.toThrow(/abort|timeout/i)
  })
})

describe('resolve', () => {
  const place = async () => resolve((await connect()).site, TOKEN)

  it('takes the newest term when an anchor still tells an older one', async () => {
    net.manners[0]!.placement = () => net.placement({ term: 4n })
    for (const i of [1, 2, 3]) net.manners[i]!.slowMs = 50
    expect((await place()).certified.placement.term).toBe(5n)
  })

  const forged: readonly [string, () => PlacementInfo][] = [
    ['too few votes', () => net.placement({ term: 9n }, [0, 1])],
    ['one vote three times', () => net.placement({ term: 9n }, [0, 0, 0])],
    ['votes of service nodes', () => net.placement({ term: 9n }, [4, 5, 6])],
    ['votes for the instance of another token', () => net.placement({ term: 9n, instance: `0x${'ee'.repeat(32)}` })],
    [
      'votes for this token under another script',
      () => ({ ...net.placement({ term: 9n }), scriptHash: `0x${'ee'.repeat(32)}` }),
    ],
    ['a lease that ended', () => net.placement({ term: 9n, expires: 1_000n })],
    [
      'an ended lease with a forged renewal',
      () => {
        return net.renewed(net.placement({ term: 9n, expires: 1_000n }), BigInt(Date.now()) + 60_000n, [0, 1])
      },
    ],
  ]
  it.each(forged)('ignores a placement with %s, however fast it comes', async (_, lie) => {
    net.manners[0]!.placement = lie
    for (const i of [1, 2, 3]) net.manners[i]!.slowMs = 30
    expect((await place()).certified.placement.term).toBe(5n)
  })

  it('asks f + 1 anchors, not always the same ones, and one more only when one is slow or fails', async () => {
    const site = (await connect()).site
    const askedOf = () => [0, 1, 2, 3].map((i) => net.seen[i]!.filter((line) => line.endsWith('/placement')).length)
    for (let i = 0; i < 20; i++) await resolve(site, TOKEN, { anew: true })
    const asked = askedOf()
    const all = asked.reduce((sum, each) => sum + each, 0)
    expect(all).toBeGreaterThanOrEqual(40)
    expect(all).toBeLessThanOrEqual(44) // a slow moment of the machine may count as a slow anchor
    expect(Math.min(...asked)).toBeGreaterThan(0)
  })

  it('keeps what it verified until the lease ends', async () => {
    const site = (await connect()).site
    const first = await resolve(site, TOKEN)
    for (const i of [0, 1, 2, 3]) net.manners[i]!.dead = true
    expect(await resolve(site, TOKEN)).toBe(first)
  })

  it('falls for no anchor that hides a new placement behind an ended one', async () => {
    const site = (await connect()).site
    net.manners[0]!.placement = () => net.placement({ term: 4n, expires: BigInt(Date.now()) - 1_000n })
    for (let i = 0; i < 10; i++) {
      const { certified } = await resolve(site, TOKEN, { anew: true, orStale: true })
      expect(certified.placement.term).toBe(5n)
    }
  })

  it('takes an ended placement with a renewal that 2f + 1 anchors voted for', async () => {
    const expires = BigInt(Date.now()) + 60_000n
    for (const i of [0, 1, 2, 3]) {
      net.manners[i]!.placement = () => net.renewed(net.placement({ expires: 1_000n }), expires, [0, 1, 3])
    }
    expect((await place()).lease?.renew.expires).toBe(expires)
  })

  it('does without one anchor that is dead and waits for none that is slow', async () => {
    const site = (await connect()).site
    net.manners[0]!.dead = true
    net.manners[1]!.slowMs = 2_500
    const started = performance.now()
    await resolve(site, TOKEN)
    expect(performance.now() - started).toBeLessThan(1_000)
  })

  it('waits while an executor is elected', async () => {
    const site = (await connect()).site
    let asked = 0
    for (const i of [0, 1, 2, 3]) {
      net.manners[i]!.placement = (info) => (++asked > 6 ? info : net.placement({ term: 4n, expires: 1_000n }))
    }
    expect((await resolve(site, TOKEN)).certified.placement.term).toBe(5n)
  })

  it('says which anchor failed how when too few answer', async () => {
    const site = (await connect()).site
    for (const i of [0, 1, 3]) net.manners[i]!.dead = true
    net.manners[2]!.placement = () => net.placement({}, [])
    const error = await resolve(site, TOKEN).catch((error: Error) => error)
    expect(error).toMatchObject({ code: 'quorum.not_reached', facts: { got: 1, needed: 2, of: 4 } })
    for (const i of [0, 1, 3]) expect((error as Error).message).toContain(net.anchorUrls[i])
    expect((error as Error).message).not.toContain(net.anchorUrls[2])
  })
})

describe('network', () => {
  it('believes what f + 1 anchors say alike, not the one that names its own members', async () => {
    net.manners[0]!.network = (info) => ({ ...info, members: info.members.slice(0, 1) })
    const { membership } = await loadNetwork(net.anchorUrls, net.trust, nobleCrypto)
    expect(membership.members).toHaveLength(8)
  })

  it('refuses a network that does not name the anchors that the caller knows', async () => {
    const loading = loadNetwork(net.anchorUrls, { ...net.trust, anchors: [CONTRACT] }, nobleCrypto)
    expect(await codeOf(loading)).toBe('quorum.not_reached')
  })
})

describe('act and grant', () => {
  it('signs an action and verifies what it returns', async () => {
    const { value, proof } = await (await connect()).act({ token: TOKEN, name: 'claim', args: { nights: 1 } })
    expect([value, proof.ok]).toEqual([{ n: '12', refused: '' }, true])
  })

  it('collects the checks of f + 1 anchors and counts none twice', async () => {
    const site = await connect()
    const audience = site.site.signer.address
    const terms = { token: TOKEN, audience, origin: 'https://a.example', scopes: ['x'], lifeS: 60n }
    net.manners[0]!.dead = true
    const attested = await site.attestGrant(TOKEN, site.signGrant(nobleSigner(keyOf(55)), terms))
    expect(attested.checks.length).toBeGreaterThanOrEqual(2)
    net.signers[1] = net.signers[2] = net.signers[3]! // three anchors that sign with one key are one anchor
    expect(await codeOf(site.attestGrant(TOKEN, attested))).toBe('quorum.not_reached')
  })
})
