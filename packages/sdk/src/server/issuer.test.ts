import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import {
  accepted,
  checkReceipt,
  homeOf,
  isSmartLayerError,
  nobleCrypto,
  nobleSigner,
  type Refusal,
  readData,
  streamItemShape,
  uidOf,
} from '@smartlayer/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { publish, readPlace, signFact } from '../index.ts'
import type { Published } from './issuer.ts'
import { CONTRACT, keyOf, type Manners } from './testing/fake-network.ts'
import { schemaMisfit } from './testing/fake-streams.ts'
import { ISSUER_KEY, Issuing, LANE } from './testing/issuing.ts'

let world: Issuing

beforeEach(async () => {
  world = await Issuing.start()
})
afterEach(() => world.stop())

const fact = (n: number, subset = 'LH454') => ({ subset, body: { n } })
const factsUpTo = (count: number, from = 1) => Array.from({ length: count }, (_, i) => fact(from + i, `s${i % 7}`))
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

/** As a schema would: a misfit is known from the body alone. */
function refuseNegative(body: string): Refusal | undefined {
  return (JSON.parse(body).n ?? 0) < 0 ? schemaMisfit() : undefined
}

async function codeOf(doing: Promise<unknown>): Promise<string> {
  return doing.then(
    () => 'nothing was thrown',
    (error) => (isSmartLayerError(error) ? error.code : String(error)),
  )
}

async function expectReceipt({ item, receipt }: Published): Promise<void> {
  const { network } = await world.site()
  const { stream, sequence } = readData(item)!
  const home = homeOf(stream, network.membership, nobleCrypto.keccak)
  const entry = { stream, sequence, uid: uidOf(item.attestation.message, nobleCrypto.keccak) }
  expect(accepted(checkReceipt(receipt, entry, { home, domain: network.domain, crypto: nobleCrypto }))).toBe(true)
}

describe('one fact', () => {
  it('is published once when the receipt is lost on its way', async () => {
    world.anchors({ loseReceipts: 1 }, [0])
    const published = await (await world.issuer()).attest(fact(1))
    await expectReceipt(published)
    expect(world.numbers).toEqual([1])
    world.expectNoFork()
  })

  it('reads no place of the network before those that follow', async () => {
    const issuer = await world.issuer()
    await issuer.attest(fact(1))
    for (const seen of world.net.seen) seen.length = 0
    await issuer.attest(fact(2))
    await issuer.attest(fact(3, 'another subset'))
    expect(world.net.seen.flat().filter((request) => request.startsWith('GET'))).toEqual([])
  })

  it('that cannot be sent is kept, told apart from one that was never signed, and sent first later', async () => {
    const issuer = await world.issuer()
    await issuer.attest(fact(1))
    world.anchors({ dead: true })
    expect(await codeOf(issuer.attest(fact(2)))).toBe('stream.unconfirmed')
    expect(await codeOf(issuer.attest(fact(3)))).toBe('quorum.not_reached')
    world.anchors({ dead: false })
    await issuer.attest(fact(4))
    expect(world.numbers).toEqual([1, 2, 4])
    world.expectNoFork()
  })

  it('many at a time share signatures, and each gets a receipt of its own that holds', async () => {
    const issuer = await world.issuer()
    const published = await Promise.all(range(1, 40).map((n) => issuer.attest(fact(n, `s${n % 3}`))))
    for (const each of published) await expectReceipt(each)
    expect(world.numbers).toEqual(range(1, 40))
    expect(published.every(({ item }) => item.attestation.batch)).toBe(true)
  })

  it.each([
    ['a body without canonical form', { subset: 's', body: { n: Number.NaN } }, 'content.not_canonical'],
    ['a body that is too long', { subset: 's', body: 'x'.repeat(70_000) }, 'message.too_large'],
    ['a life beyond the limit', { ...fact(1), lifeS: 500n * 86_400n }, 'attestation.lifetime'],
    ['no subset', { subset: '', body: {} }, 'message.malformed'],
  ])('with %s is refused before it is signed', async (_, wrong, code) => {
    const issuer = await world.issuer()
    expect(await codeOf(issuer.attest(wrong))).toBe(code)
    await issuer.attest(fact(1))
    expect(world.net.published).toHaveLength(1)
  })
})

describe('a refused fact', () => {
  beforeEach(() => {
    world.net.streams.refuses = refuseNegative
  })

  it('costs its own caller an error and the stream an epoch, and no place is signed twice', async () => {
    const issuer = await world.issuer()
    const asked = [1, 2, -3, 4, 5].map((n) => issuer.attest(fact(n)))
    const ends = await Promise.allSettled(asked)
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect(await codeOf(asked[2]!)).toBe('query.arguments')
    expect(world.numbers).toEqual([1, 2, 4, 5])
    expect(world.bodies[2]).toMatchObject({ reason: 'lost state' })
    expect(readData(world.net.published.at(-1)!)?.epoch).toBe(2n)
    world.expectNoFork()
  })

  it('that was left alone opens the epoch only when there is more to say, also after a restart', async () => {
    const issuer = await world.issuer()
    expect(await codeOf(issuer.attest(fact(-1)))).toBe('query.arguments')
    expect(world.net.published).toHaveLength(0)
    await issuer.close()
    const dropped: string[] = []
    const again = await world.issuer({ onDropped: (_, error) => dropped.push(error.code) })
    await again.attest(fact(2))
    expect(dropped).toEqual(['query.arguments'])
    expect(world.numbers).toEqual([2])
    world.expectNoFork()
  })

  it('stops its batch: what comes before is published, what comes after is not', async () => {
    const issuer = await world.issuer()
    const facts = [...factsUpTo(100), fact(-1), ...factsUpTo(200, 101)]
    expect(await codeOf(issuer.attestMany(facts))).toBe('query.arguments')
    expect(world.numbers).toEqual(range(1, 100))
    await issuer.attest(fact(101))
    expect(world.numbers).toEqual(range(1, 101))
    world.expectNoFork()
  })
})

describe('batches', () => {
  it('keep their order over many groups in flight, and tell of each fact once', async () => {
    const issuer = await world.issuer()
    const told: number[] = []
    const summary = await issuer.attestMany(factsUpTo(1_000), { onProgress: ({ count }) => told.push(count) })
    expect(summary).toMatchObject({ count: 1_000, first: 1n, last: 1_000n })
    expect(summary.receipts).toBeLessThan(40)
    expect(told).toEqual(range(1, 1_000))
    expect(world.numbers).toEqual(range(1, 1_000))
    world.expectNoFork()
  })

  it('survive anchors that lose requests and receipts', async () => {
    const issuer = await world.issuer({ patienceMs: 5_000 })
    world.anchors({ loseRequests: 3 }, [0, 2])
    world.anchors({ loseReceipts: 3 }, [1, 3])
    await issuer.attestMany(factsUpTo(500))
    expect(world.numbers).toEqual(range(1, 500))
    world.expectNoFork()
  })

  it('stay within the bytes of a request', async () => {
    const issuer = await world.issuer()
    const long = range(1, 12).map((n) => ({ subset: 's', body: { n, text: '"'.repeat(30_000) } }))
    const { receipts } = await issuer.attestMany(long)
    expect(world.numbers).toEqual(range(1, 12))
    expect(receipts).toBeGreaterThanOrEqual(2)
  })

  it('end in order when their caller stops them, also while no fact comes', async () => {
    const issuer = await world.issuer()
    const stop = new AbortController()
    async function* endless() {
      for (const each of factsUpTo(10)) yield each
      await new Promise(() => {})
    }
    const { count } = await issuer.attestMany(endless(), {
      signal: stop.signal,
      onProgress: (progress) => progress.count === 10 && stop.abort(),
    })
    expect(count).toBe(10)
    expect(world.numbers).toEqual(range(1, 10))
  })
})

describe('a crash', () => {
  it('while a signed fact is written leaves nothing of it behind', async () => {
    const issuer = await world.issuer()
    await issuer.attest(fact(1))
    const before = readFileSync(world.path).length
    world.anchors({ dead: true })
    await codeOf(issuer.attest(fact(2)))
    await issuer.close()
    world.anchors({ dead: false })
    const whole = readFileSync(world.path)
    let next = 2
    for (let cut = before + 1; cut < whole.length; cut += Math.ceil((whole.length - before) / 25)) {
      writeFileSync(`${world.path}-${cut}`, whole.subarray(0, cut))
      const torn = await world.issuer({ outboxFile: `${world.path}-${cut}`, recover: 'continue' })
      await torn.attest(fact(next++))
      await torn.close()
    }
    expect(world.numbers).toEqual(range(1, next - 1))
    world.expectNoFork()
  })

  const honest = { dead: false, loseReceipts: 0, loseRequests: 0, refuse: undefined as never }
  const failures = fc.constantFrom<Partial<Manners>>(
    {},
    { loseRequests: 1 },
    { loseReceipts: 1 },
    { dead: true },
    { refuse: { verdict: 'ignore', code: 'stream.no_quorum', facts: { got: 1, needed: 3, of: 4 } } },
  )
  const step = fc.record({
    failure: failures,
    which: fc.subarray([0, 1, 2, 3]),
    count: fc.integer({ min: 1, max: 80 }),
    /** Left out: no crash; otherwise after this time. */
    crashMs: fc.option(fc.integer({ min: 0, max: 40 })),
    /** Every seventh fact is one that anchors refuse for good. */
    hasBad: fc.boolean(),
  })

  it('at any point makes no gap and no double', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 5 }), async (steps) => {
        const run = await Issuing.start()
        run.net.streams.refuses = refuseNegative
        const promised: number[] = []
        let n = 0
        let { issuer, crash } = await run.mortal(40)
        try {
          for (const { failure, which, count, crashMs, hasBad } of steps) {
            run.anchors(honest)
            run.anchors(failure, which)
            const isBad = (each: number) => hasBad && each % 7 === 0
            const asked = range(n + 1, n + count).map((each) =>
              issuer.attest(fact(isBad(each) ? -each : each, `s${each % 3}`)),
            )
            const ends = Promise.allSettled(asked)
            if (crashMs !== null) {
              await new Promise((resolve) => setTimeout(resolve, crashMs))
              await crash()
            }
            for (const [i, end] of (await ends).entries()) {
              const isPromised = end.status === 'fulfilled' || end.reason.code === 'stream.unconfirmed'
              if (isPromised && !isBad(n + 1 + i)) promised.push(n + 1 + i)
            }
            n += count
            if (crashMs !== null) ({ issuer, crash } = await run.mortal(40))
          }
          run.anchors(honest)
          await issuer.settle()
          const { numbers } = run
          expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
          expect(promised.filter((each) => !numbers.includes(each))).toEqual([])
          run.expectNoFork()
        } finally {
          await crash()
          await run.stop()
        }
      }),
      { numRuns: 30, interruptAfterTimeLimit: 15_000 },
    )
  }, 60_000)
})

describe('without its outbox, or with an old one', () => {
  async function published(count: number): Promise<void> {
    const issuer = await world.issuer()
    await issuer.attestMany(factsUpTo(count))
    await issuer.close()
  }

  it('an issuer does not go on by itself, and says how it may', async () => {
    await published(3)
    const without = await world.issuer({ outboxFile: `${world.path}-other` })
    const error = await without.attest(fact(4)).catch((error: Error) => error)
    expect(error).toMatchObject({ code: 'stream.state_missing', facts: { sequence: 3n } })
    expect((error as { fix?: string }).fix).toMatch(/--new-epoch.*--continue/)
    expect(world.numbers).toEqual([1, 2, 3])
  })

  it('goes on where the network stands when nothing was left unsent', async () => {
    await published(3)
    const without = await world.issuer({ outboxFile: `${world.path}-other`, recover: 'continue' })
    await without.attest(fact(4, 's0'))
    expect(world.numbers).toEqual([1, 2, 3, 4])
    world.expectNoFork()
  })

  it('or opens an epoch that everybody sees', async () => {
    await published(3)
    const without = await world.issuer({ outboxFile: `${world.path}-other`, recover: 'new epoch' })
    const { item } = await without.attest(fact(4, 's0'))
    expect(readData(item)).toMatchObject({ epoch: 2n, sequence: 5n, subSequence: 2n })
    expect(world.bodies[3]).toMatchObject({ reason: 'lost state' })
    world.expectNoFork()
  })

  it('notices an old copy that would sign a place twice', async () => {
    await published(3)
    copyFileSync(world.path, `${world.path}-old`)
    await published(2)
    const old = await world.issuer({ outboxFile: `${world.path}-old` })
    expect(await codeOf(old.attest(fact(9)))).toBe('stream.state_behind')
    world.expectNoFork()
  })

  it('signs again in a new epoch what was never sent, when others took its place', async () => {
    await published(1)
    copyFileSync(world.path, `${world.path}-other`)
    const first = await world.issuer()
    await first.settle()
    world.anchors({ dead: true })
    expect(await codeOf(first.attest(fact(2)))).toBe('stream.unconfirmed')
    await first.close()
    world.anchors({ dead: false })
    const other = await world.issuer({ outboxFile: `${world.path}-other` })
    await other.attest(fact(3))
    await other.close()
    const careful = await world.issuer({ recover: 'continue' })
    expect(await codeOf(careful.settle())).toBe('stream.state_behind')
    await careful.close()
    await (await world.issuer({ recover: 'new epoch' })).settle()
    expect(world.numbers).toEqual([1, 3, 2])
    world.expectNoFork()
  })

  it('recognises what arrived without its receipt, also when others went on after it', async () => {
    const first = await world.issuer()
    await first.attest(fact(1))
    world.anchors({ loseReceipts: 99 })
    expect(await codeOf(first.attest(fact(2)))).toBe('stream.unconfirmed')
    world.anchors({ loseReceipts: 0 })
    await first.close()
    const other = await world.issuer({ outboxFile: `${world.path}-other`, recover: 'continue' })
    await other.attest(fact(3))
    await (await world.issuer({ recover: 'continue' })).attest(fact(4))
    expect(world.numbers).toEqual([1, 2, 3, 4])
    world.expectNoFork()
  })

  it('takes over what an earlier version kept: nothing, or one entry', async () => {
    const site = await world.site()
    const parameters = { issuer: site.signer, contract: CONTRACT, chainId: 31_337n, lane: LANE }
    const sign = async (n: number) =>
      signFact(site, parameters, { fact: fact(n), place: await readPlace(site, parameters, 'LH454') })
    await publish(site, await sign(1))
    writeFileSync(world.path, '')
    const emptied = await world.issuer()
    await emptied.attest(fact(2))
    await emptied.close()
    const kept = await sign(3)
    writeFileSync(`${world.path}-kept`, JSON.stringify(streamItemShape.toJson(kept)))
    const issuer = await world.issuer({ outboxFile: `${world.path}-kept` })
    await issuer.attest(fact(4))
    expect(world.numbers).toEqual([1, 2, 3, 4])
    world.expectNoFork()
  })

  it('in a shared stream goes on after what others said', async () => {
    const shared = await world.issuer({ shared: true })
    await shared.attest(fact(1))
    const other = await world.issuer({ outboxFile: `${world.path}-other`, recover: 'continue' })
    await other.attest(fact(2))
    await shared.attest(fact(3))
    expect(world.numbers).toEqual([1, 2, 3])
    world.expectNoFork()
  })
})

describe('epochs, keys and revocations', () => {
  it('goes on with another key, which needs the delegation of its epoch after every restart', async () => {
    const issuer = await world.issuer()
    await issuer.attest(fact(1))
    const next = nobleSigner(keyOf(78))
    await issuer.rotateTo(next)
    const { item } = await issuer.attest(fact(2))
    expect([item.attestation.attester, item.delegation !== undefined]).toEqual([next.address, true])
    await issuer.close()
    expect(await codeOf((await world.issuer()).attest(fact(3)))).toBe('stream.key')
  })

  it('lets the delegated key publish without the issuer key, but not open an epoch', async () => {
    const issuer = await world.issuer()
    await issuer.rotateTo(nobleSigner(keyOf(78)))
    await issuer.close()
    const delegated = { key: keyOf(78), issuer: nobleSigner(ISSUER_KEY).address }
    const other = await world.issuer(delegated)
    await other.attest(fact(1))
    expect(await codeOf(other.openEpoch({ reason: 'rotation' }))).toBe('stream.epoch_needed')
    await other.close()
    const adopting = await world.issuer({ ...delegated, outboxFile: `${world.path}-other`, recover: 'continue' })
    await adopting.attest(fact(2))
    expect(world.numbers).toEqual([1, 2])
    world.expectNoFork()
  })

  it('comes back to the issuer key, without delegation', async () => {
    const issuer = await world.issuer()
    await issuer.rotateTo(nobleSigner(keyOf(78)))
    await issuer.rotateTo(nobleSigner(ISSUER_KEY))
    const { item } = await issuer.attest(fact(1))
    expect(item.delegation).toBeUndefined()
    expect(readData(item)?.epoch).toBe(3n)
  })

  it('lets the issuer key take the stream back from a key that is lost', async () => {
    const issuer = await world.issuer()
    await issuer.rotateTo(nobleSigner(keyOf(78)))
    await issuer.close()
    const own = await world.issuer()
    expect(await codeOf(own.attest(fact(1)))).toBe('stream.key')
    await own.settle()
    await own.openEpoch({ reason: 'rotation' })
    const { item } = await own.attest(fact(2))
    expect([item.attestation.attester, item.delegation]).toEqual([nobleSigner(ISSUER_KEY).address, undefined])
    world.expectNoFork()
  })

  it('opens an epoch once, however often it is sent', async () => {
    const issuer = await world.issuer()
    await issuer.attest(fact(1))
    world.anchors({ loseRequests: 9 })
    expect(await codeOf(issuer.openEpoch({ reason: 'rotation' }))).toBe('stream.unconfirmed')
    world.anchors({ loseRequests: 0 })
    await issuer.openEpoch({ reason: 'lost state' })
    world.expectNoFork()
  })

  it('stops at a frozen stream and says how to go on; the next epoch holds what was left', async () => {
    const issuer = await world.issuer()
    await issuer.attest(fact(1))
    const site = await world.site()
    const parameters = { issuer: site.signer, contract: CONTRACT, chainId: 31_337n, lane: LANE }
    const place = await readPlace(site, parameters, 'LH454')
    const before = { ...place, stream: { ...place.stream, sequence: 0n, head: `0x${'00'.repeat(32)}` as const } }
    expect(await codeOf(publish(site, signFact(site, parameters, { fact: fact(9), place: before })))).toBe(
      'stream.fork',
    )
    const error = await issuer.attest(fact(2)).catch((error: Error) => error)
    expect((error as Error).message).toContain('sl attest epoch --reason fork')
    expect(await codeOf(issuer.attest(fact(3)))).toBe('stream.frozen')
    await issuer.openEpoch({ reason: 'fork' })
    await issuer.attest(fact(4))
    expect(world.numbers).toEqual([1, 2, 4])
  })

  it('revokes in the subset of what is revoked, or in the one for revocations', async () => {
    const issuer = await world.issuer()
    const { item, receipt } = await issuer.attest(fact(1))
    const { uid } = receipt.receipt
    const revoked = await issuer.revoke({ uid, of: 'attestation', subset: 'LH454', reason: 'wrong flight' })
    expect(readData(revoked.item)?.subset).toBe(readData(item)?.subset)
    expect(world.net.streams.revocations.has(uid)).toBe(true)
    await issuer.revoke({ uid: keyOf(9), of: 'batch', reason: 'unknown' })
  })
})

describe('places', () => {
  it('are not led astray by one anchor that claims a later one, or an earlier one', async () => {
    const issuer = await world.issuer()
    await issuer.attest(fact(1))
    const site = await world.site()
    const parameters = { issuer: site.signer, contract: CONTRACT, chainId: 31_337n, lane: LANE }
    for (const lie of [1_000_000n, 0n]) {
      world.anchors({ sequence: () => lie }, [0])
      expect((await readPlace(site, parameters, 'LH454')).stream.sequence).toBe(1n)
    }
  })
})
