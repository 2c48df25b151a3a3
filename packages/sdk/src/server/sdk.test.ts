import { type Answer, isSmartLayerError, nobleCrypto, nobleSigner, type PlacementInfo } from '@smartlayer/protocol'
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
    expect(proof.summary).toBe('verified by 8 checks at position 12; no enclave evidence')
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
    const asked = (await connect()).query({ token: TOKEN, method: 'status', minN: 13n })
    expect(await codeOf(asked)).toBe('query.not_serving')
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
