/** What a node does about its lease when it ends and comes back, and how it knows that its place is the newest. */
import {
  ANY_FRESHNESS,
  type CertifiedPlacement,
  digestOf,
  ENTRY_KINDS,
  type Entry,
  entryHash,
  firstTermOf,
  Held,
  homesOver,
  type JournaledEntry,
  nobleCrypto,
  Placement,
  placeOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { TEST } from '@smartlayer/protocol/testing'
import { expect, test } from 'vitest'
import type { PlacementFinder } from '../composition/placement-finder.ts'
import { QuorumDoor } from '../directory/quorum-door.ts'
import type { Ports } from '../ports/ports.ts'
import { ANCHOR, CONTEXT, DOMAIN, INSTANCE, loneToken, NODE } from '../testing/lone-home.ts'
import { memoryStore, VirtualTime } from '../testing/memory-world.ts'
import type { PostOffice } from '../wire/post-office.ts'
import { TurnSigner } from '../wire/turn-signer.ts'
import { HostedInstance } from './hosted-instance.ts'
import type { InputBuffer } from './input-buffer.ts'

const { keccak } = nobleCrypto
const NOW = TEST.timeS * 1_000n

function placementOf(turn: bigint): CertifiedPlacement {
  const placement: Placement = {
    instance: INSTANCE,
    term: firstTermOf(1n) + turn,
    incarnation: 0n,
    proposer: ANCHOR.address,
    executor: NODE.address,
    replicas: [NODE.address],
    headTerm: 0n,
    headN: 0n,
    headHash: ZERO_32,
    notBefore: NOW,
    expires: NOW + 3_000n,
  }
  return { placement, votes: [ANCHOR.sign(digestOf(Placement, placement, DOMAIN, keccak))] }
}

/** A node that keeps its store when it is started again. */
function machine(context = CONTEXT) {
  const time = new VirtualTime()
  const store = memoryStore(time)
  const ports = {
    clock: {
      now: () => NOW + BigInt(Math.floor(time.now)),
      monotonic: () => time.now,
      after: (delayMs: number, run: () => void) => time.at(delayMs, run),
    },
    random: { bytes: (length: number) => new Uint8Array(length) },
    store,
    identity: { signer: NODE, crypto: nobleCrypto },
    sandbox: {
      load: async () => {},
      call: async (_: string, method: string) => ({
        status: 'ok',
        output: method === 'topics' ? '{"topics":[]}' : '{"state":0,"effects":[]}',
        gasUsed: 1n,
      }),
    },
    telemetry: { log: () => {}, count: () => {} },
  } as unknown as Ports
  const sent: { readonly type: string }[] = []
  const post = {
    send: (_: string, message: { type: string }) => void sent.push(message),
    sendAll: (_: readonly string[], message: { type: string }) => void sent.push(message),
  } as unknown as PostOffice
  const door = new QuorumDoor(ports, context)
  const finder = {} as PlacementFinder
  const parts = {
    post,
    inputs: {} as InputBuffer,
    secrets: { get: () => undefined },
    door,
    finder,
    signer: new TurnSigner(ports, queueMicrotask),
  }
  const start = async () => {
    const hosted = new HostedInstance(ports, context, parts, loneToken())
    await hosted.start()
    return hosted
  }
  return { start, sent, time }
}

test('a lease that was given back is not taken up again after a restart, the next term is', async () => {
  const { start, sent, time } = machine()
  const before = await start()
  before.place(placementOf(1n))
  expect(before.isExecutor).toBe(true)
  const left = before.leave()
  await time.run(10)
  await left
  expect(sent.map(({ type }) => type)).toContain('release')

  const after = await start()
  after.place(placementOf(1n))
  expect(after.isExecutor).toBe(false)
  expect(after.placement?.placement.term).toBe(firstTermOf(1n) + 1n)
  after.place(placementOf(2n))
  expect(after.isExecutor).toBe(true)
})

test('a lease that was not given back is taken up again', async () => {
  const { start } = machine()
  const before = await start()
  before.place(placementOf(1n))
  const after = await start()
  after.place(placementOf(1n))
  expect(after.isExecutor).toBe(true)
})

/** The first entry of the journal, committed by the one home anchor. */
function committed() {
  const entry: Entry = {
    instance: INSTANCE,
    incarnation: 0n,
    placement: ZERO_32,
    term: firstTermOf(1n) + 1n,
    n: 1n,
    previous: ZERO_32,
    kind: BigInt(ENTRY_KINDS.indexOf('term-start')),
    input: ZERO_32,
    content: ZERO_32,
    time: NOW,
  }
  const place = placeOf(entry, entryHash(entry, DOMAIN, keccak))
  const held = [ANCHOR.sign(digestOf(Held, place, DOMAIN, keccak))]
  const input = { kind: 'term-start' } as const
  const journaled = { entry, executorSignature: '0x', input, certificate: undefined } as unknown as JournaledEntry
  return { entries: [journaled], proof: { by: 'held', entry, held } as const }
}

test('a place is as of when the anchor was asked that knew of nothing newer, whatever else anchors say', async () => {
  const { start, sent, time } = machine()
  const hosted = await start()
  hosted.place(placementOf(1n))
  const { entries, proof } = committed()
  hosted.take(entries, proof)
  await time.run(1_000)
  const requests = () => sent.filter(({ type }) => type === 'journal-request').length
  const fresh = { ...ANY_FRESHNESS, maxAgeMs: 50n }

  hosted.heardOf(ANCHOR.address, { nothingNewer: false }) // the answer to what was asked at the start
  hosted.heardOf(ANCHOR.address, { nothingNewer: true }) // nobody asked
  const before = requests()
  const refused = expect(hosted.read(fresh)).rejects.toMatchObject({ code: 'query.too_old' })
  expect(requests()).toBe(before + 1)
  hosted.heardOf(ANCHOR.address, { nothingNewer: false })
  await time.run(1_100)
  await refused

  hosted.heardOf(ANCHOR.address, { nothingNewer: false })
  const asked = NOW + BigInt(time.now)
  const read = hosted.read(fresh)
  await time.run(20)
  hosted.heardOf(ANCHOR.address, { nothingNewer: true })
  expect(await read).toMatchObject({ asOf: asked, stale: false, term: firstTermOf(1n) + 1n })
})

test('what an anchor said does not count any more once it is not home', async () => {
  let homes = CONTEXT.homes()
  const { start, time } = machine({ ...CONTEXT, homes: () => homes })
  const hosted = await start()
  hosted.place(placementOf(1n))
  const { entries, proof } = committed()
  hosted.take(entries, proof)
  await time.run(1_000)
  hosted.heardOf(ANCHOR.address, { nothingNewer: false }) // the answer to what was asked at the start
  const fresh = { ...ANY_FRESHNESS, maxAgeMs: 50n }
  const read = hosted.read(fresh)
  hosted.heardOf(ANCHOR.address, { nothingNewer: true })
  await read
  const first = CONTEXT.membership()
  const members = first.members.map((member) => ({ ...member, node: NODE.address }))
  homes = homesOver([first, { ...first, epoch: 2n, members, earlierBeacons: [ZERO_32] }], keccak)
  const refused = expect(hosted.read(fresh)).rejects.toMatchObject({ code: 'query.too_old' })
  await time.run(time.now + 1_100)
  await refused
})
