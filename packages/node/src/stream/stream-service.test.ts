import {
  accepted,
  type Bytes32,
  type CertifiedReceipt,
  checkReceipt,
  encodeItem,
  homeOf,
  isSmartLayerError,
  nobleCrypto,
  nobleSigner,
  parseRetention,
  type StreamItem,
  streamItemShape,
  subsetOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { TEST, type TestEntry, TestStream } from '@smartlayer/protocol/testing'
import { expect, test } from 'vitest'
import { storeLog } from '../adapters/store-log.ts'
import type { Ports } from '../ports/ports.ts'
import type { LogEntry } from '../ports/stream-log.ts'
import { StreamWorld, type StreamWorldOptions } from '../testing/stream-world.ts'
import { pack } from './packing.ts'

const { keccak } = nobleCrypto
const FLIGHT = 'flight/LH454'

async function begin(options: Partial<StreamWorldOptions> = {}): Promise<{ world: StreamWorld; stream: TestStream }> {
  const stream = new TestStream()
  return { world: await StreamWorld.open({ issuers: [stream.issuer.address], ...options }), stream }
}

/** Publishes at one anchor and lets the world run until there is an answer. */
async function publish(
  world: StreamWorld,
  entries: readonly TestEntry[],
  anchor = 0,
): Promise<CertifiedReceipt | string> {
  let answer: CertifiedReceipt | string | undefined
  world.anchors[anchor]!.service.publish(entries.map(({ item }) => item))
    .then((receipt) => (answer = receipt))
    .catch((error) => (answer = isSmartLayerError(error) ? error.code : String(error)))
  for (let i = 0; i < 600 && answer === undefined; i++) await world.time.run(10)
  return answer ?? 'no answer'
}

const codeOf = (answer: CertifiedReceipt | string) => (typeof answer === 'string' ? answer : 'receipt')
const certifiedAt = (world: StreamWorld, stream: TestStream) =>
  world.anchors.map(({ service }) => service.state(stream.stream).certified)

function holds(
  world: StreamWorld,
  receipt: CertifiedReceipt,
  { uid, item }: TestEntry,
  sequence: bigint,
  stream: Bytes32,
): boolean {
  const home = homeOf(stream, world.membership, keccak)
  expect(item).toBeDefined()
  return accepted(
    checkReceipt(receipt, { stream, sequence, uid }, { home, domain: world.context.domain, crypto: nobleCrypto }),
  )
}

/** Takes what a follower has, in order, as an instance would; it goes on where it stood. */
function drain(world: StreamWorld, index: number, stream: TestStream, subset = FLIGHT): readonly StreamItem[] {
  const { inputs, cursors } = world.followers[index]!
  const key = subsetOf(subset, keccak)
  const taken: StreamItem[] = []
  for (let at = cursors.get(key) ?? 0n; ; at++) {
    inputs.follow(stream.stream, key, at)
    cursors.set(key, at)
    const next = inputs.next(stream.stream, key, at)
    if (!next) return taken
    taken.push(next)
  }
}

test('an entry has its receipt from 2f + 1 anchors, is on all of them, and reaches who follows its subset', async () => {
  const { world, stream } = await begin({ followers: 2 })
  world.followers[0]!.inputs.follow(stream.stream, subsetOf(FLIGHT, keccak), 0n)
  await world.time.run(100)
  const entry = stream.add(FLIGHT, { delay: 3 })
  const receipt = await publish(world, [entry])
  expect(typeof receipt !== 'string' && holds(world, receipt, entry, 1n, stream.stream)).toBe(true)
  await world.time.run(50)
  expect(certifiedAt(world, stream)).toEqual([1n, 1n, 1n, 1n])
  expect(drain(world, 0, stream)).toEqual([entry.item])
  expect(world.bytesAt(world.followers[1]!.node)).toBe(0)
})

test('many requests at once share messages, and each gets a receipt that leads back to its own entry', async () => {
  const { world, stream } = await begin()
  const entries = Array.from({ length: 40 }, (_, i) => stream.add(FLIGHT, { i }))
  const answers = entries.map((entry) => world.anchors[0]!.service.publish([entry.item]))
  for (let i = 0; i < 50; i++) await world.time.run(10)
  const receipts = await Promise.all(answers)
  receipts.forEach((receipt, i) => {
    expect(holds(world, receipt, entries[i]!, BigInt(i + 1), stream.stream)).toBe(true)
  })
  expect(receipts.some(({ links }) => links.length > 0)).toBe(true)
})

test('a batch has one signature, one receipt, and comes whole', async () => {
  const { world, stream } = await begin({ followers: 1 })
  const batch = stream.addBatch(
    FLIGHT,
    Array.from({ length: 64 }, (_, i) => ({ i })),
  )
  const receipt = await publish(world, batch)
  expect(typeof receipt !== 'string' && holds(world, receipt, batch.at(-1)!, 64n, stream.stream)).toBe(true)
  await world.time.run(100)
  const first = drain(world, 0, stream)
  await world.time.run(1_500)
  expect([...first, ...drain(world, 0, stream)]).toEqual(batch.map(({ item }) => item))
})

test('publishing again is safe: the same receipt, nothing stored twice', async () => {
  const { world, stream } = await begin()
  const entry = stream.add(FLIGHT, { delay: 3 })
  await publish(world, [entry])
  await publish(world, [stream.add(FLIGHT, { delay: 4 })])
  for (const anchor of [0, 3]) {
    const again = await publish(world, [entry], anchor)
    expect(typeof again !== 'string' && holds(world, again, entry, 1n, stream.stream)).toBe(true)
  }
  expect(certifiedAt(world, stream)).toEqual([2n, 2n, 2n, 2n])
})

test('with 20 % of all messages lost everything is certified and arrives in order', async () => {
  const { world, stream } = await begin({ followers: 3 })
  world.loss = 0.2
  for (const index of [0, 1, 2]) drain(world, index, stream)
  for (let i = 0; i < 40; i++) expect(codeOf(await publish(world, [stream.add(FLIGHT, { i })], i % 4))).toBe('receipt')
  for (let i = 0; i < 40; i++) {
    await world.time.run(250)
    for (const index of [0, 1, 2]) drain(world, index, stream)
  }
  for (const { inputs } of world.followers) expect(inputs.status(9)[0]).toMatchObject({ after: 40n, state: 'live' })
  expect(certifiedAt(world, stream)).toEqual([40n, 40n, 40n, 40n])
})

test('an anchor that was cut off, and one that lost its disk, catch up by ranges and sign again', async () => {
  const { world, stream } = await begin()
  world.cut.add(world.anchors[3]!.node)
  for (let i = 0; i < 30; i++) await publish(world, [stream.add(FLIGHT, { i })])
  await world.time.run(12_000)
  world.cut.clear()
  await world.time.run(5_000)
  expect(certifiedAt(world, stream)).toEqual([30n, 30n, 30n, 30n])
  expect(world.anchors[3]!.service.checkpoint(stream.stream)?.checkpoint.size).toBe(30n)
  world.restart(2, { wiped: true })
  await world.time.run(40_000)
  expect(certifiedAt(world, stream)).toEqual([30n, 30n, 30n, 30n])
  world.cut.add(world.anchors[0]!.node)
  expect(codeOf(await publish(world, [stream.add(FLIGHT, { last: true })], 1))).toBe('receipt')
})

test('without 2f + 1 home anchors there is no receipt, and the entry gets it when they are back', async () => {
  const { world, stream } = await begin()
  world.cut.add(world.anchors[2]!.node).add(world.anchors[3]!.node)
  const entry = stream.add(FLIGHT, { delay: 1 })
  expect(codeOf(await publish(world, [entry]))).toBe('stream.no_quorum')
  expect(world.anchors[0]!.service.entries(stream.stream, { after: 0n, limit: 9 })).toEqual([])
  world.cut.clear()
  expect(codeOf(await publish(world, [entry]))).toBe('receipt')
  expect(world.anchors[0]!.service.entries(stream.stream, { after: 0n, limit: 9 })).toHaveLength(1)
})

test('a fork is proven at every anchor, freezes the stream after its last receipt, and a new epoch goes on', async () => {
  const { world, stream } = await begin({ followers: 1 })
  drain(world, 0, stream)
  await publish(world, [stream.add(FLIGHT, { delay: 1 })])
  const rival = stream.make(FLIGHT, { delay: 2, lie: true })
  const entry = stream.add(FLIGHT, { delay: 2 })
  expect(codeOf(await publish(world, [entry]))).toBe('receipt')
  expect(codeOf(await publish(world, [rival]))).toBe('stream.fork')
  await world.time.run(200)
  for (const { service } of world.anchors) {
    expect(service.state(stream.stream).frozenAfter).toBe(2n)
    expect(service.fork(stream.stream)).toBeDefined()
  }
  expect(codeOf(await publish(world, [stream.make(FLIGHT, { delay: 3 })]))).toBe('stream.frozen')
  expect(world.followers[0]!.inputs.status(9)[0]).toMatchObject({ state: 'frozen' })
  stream.epoch = 2n
  const key = nobleSigner(`0x${'0b'.repeat(32)}`)
  const opening = stream.add('~epochs', { reason: 'fork', key: key.address }, { kind: 'epoch' })
  expect(codeOf(await publish(world, [opening]))).toBe('receipt')
  stream.key = key
  stream.delegation = opening.item
  const next = stream.add(FLIGHT, { delay: 3 })
  expect(codeOf(await publish(world, [next]))).toBe('receipt')
  await world.time.run(2_500)
  expect(drain(world, 0, stream).at(-1)).toEqual(next.item)
})

test('an entry that one anchor alone signed gives way to the one that the others certified', async () => {
  const { world, stream } = await begin()
  await publish(world, [stream.add(FLIGHT, { delay: 1 })])
  const others = [0, 1, 2].map((index) => world.anchors[index]!.node)
  const rival = stream.make(FLIGHT, { delay: 'only at anchor 3' })
  for (const node of others) world.cut.add(node)
  expect(codeOf(await publish(world, [rival], 3))).toBe('stream.no_quorum')
  world.cut.clear()
  world.cut.add(world.anchors[3]!.node)
  const entry = stream.add(FLIGHT, { delay: 2 })
  expect(codeOf(await publish(world, [entry]))).toBe('receipt')
  world.cut.clear()
  await world.time.run(20_000)
  expect(certifiedAt(world, stream)).toEqual([2n, 2n, 2n, 2n])
  const [, second] = world.anchors[3]!.service.entries(stream.stream, { after: 0n, limit: 9 })
  expect(second?.item).toEqual(entry.item)
  expect(world.anchors[3]!.service.hasReceipt({ stream: stream.stream, sequence: 2n, uid: rival.uid }, () => {})).toBe(
    'other',
  )
})

test('a revocation is known to anchors and followers within two seconds, and what it takes back is refused', async () => {
  const { world, stream } = await begin({ followers: 1 })
  const entry = stream.add(FLIGHT, { delay: 1 })
  await publish(world, [entry])
  drain(world, 0, stream)
  const batch = stream.addBatch(FLIGHT, [{ a: 1 }, { a: 2 }])
  await publish(world, batch)
  await world.time.run(1_500)
  const batchRoot = batch[0]!.item.attestation.batch!.root.message
  const { uidOf } = await import('@smartlayer/protocol')
  const root = uidOf(batchRoot, keccak)
  await publish(world, [
    stream.add(FLIGHT, { revokes: entry.uid, of: 'attestation', reason: 'typing error' }, { kind: 'revocation' }),
  ])
  await publish(world, [
    stream.add(FLIGHT, { revokes: root, of: 'batch', reason: 'wrong file' }, { kind: 'revocation' }),
  ])
  await world.time.run(2_000)
  for (const { service } of world.anchors) {
    expect(service.revocations.find(entry.uid)).toBeDefined()
    expect(codeOf(await publish(world, [entry]))).toBe('attestation.revoked')
    expect(codeOf(await publish(world, batch))).toBe('attestation.revoked')
    break
  }
  const { inputs } = world.followers[0]!
  for (const { item } of [entry, ...batch]) expect(inputs.revocationOf(stream.issuer.address, item)).toBeDefined()
})

test('a revocation that overtakes its fact does not stop the stream: the fact takes its place, and is refused from then on', async () => {
  const { world, stream } = await begin()
  const fact = stream.add(FLIGHT, { delay: 1 })
  const body = { revokes: fact.uid, of: 'attestation', reason: 'typing error' }
  const revocation = stream.add(FLIGHT, body, { kind: 'revocation' })
  for (const { node } of world.anchors)
    world.deliver(node, node, { type: 'revocation', item: streamItemShape.toJson(revocation.item) })
  await world.time.run(100)
  expect(world.anchors[1]!.service.revocations.find(fact.uid)).toBeDefined()
  expect(codeOf(await publish(world, [fact]))).toBe('receipt')
  expect(codeOf(await publish(world, [revocation]))).toBe('receipt')
  await world.time.run(500)
  expect(codeOf(await publish(world, [fact], 2))).toBe('attestation.revoked')
})

test('a node receives nothing of what it does not follow, with a thousand subsets in the network', async () => {
  const { world, stream } = await begin({ followers: 3 })
  const other = new TestStream(`0x${'08'.repeat(32)}`)
  const wide = await StreamWorld.open({ issuers: [stream.issuer.address, other.issuer.address], followers: 3 })
  for (let i = 0; i < 1_000; i++) wide.followers[0]!.inputs.follow(stream.stream, subsetOf(`flight/${i}`, keccak), 0n)
  wide.followers[1]!.inputs.follow(stream.stream, subsetOf('flight/7', keccak), 0n)
  await wide.time.run(100)
  for (let i = 0; i < 1_000; i += 50) {
    const batch = Array.from({ length: 50 }, (_, k) => stream.add(`flight/${i + k}`, { pad: 'x'.repeat(500) }))
    expect(codeOf(await publish(wide, batch))).toBe('receipt')
  }
  await wide.time.run(5_000)
  expect(wide.bytesAt(wide.followers[2]!.node)).toBe(0)
  const one = ['stream-item', 'stream-range'] as const
  const followed = one.reduce((sum, type) => sum + wide.bytesAt(wide.followers[1]!.node, type), 0)
  const everything = one.reduce((sum, type) => sum + wide.bytesAt(wide.followers[0]!.node, type), 0)
  expect(followed).toBeGreaterThan(1_000)
  expect(followed).toBeLessThan(everything / 200)
  expect(drain(wide, 1, stream, 'flight/7')).toHaveLength(1)
  expect(world.bytesAt(world.followers[0]!.node)).toBe(0)
})

test('a crowd of followers is served by neighbours as well, and nobody misses anything', async () => {
  const { world, stream } = await begin({ followers: 40 })
  for (let i = 0; i < 40; i++) drain(world, i, stream)
  await world.time.run(1_500)
  for (let i = 0; i < 10; i++) await publish(world, [stream.add(FLIGHT, { i })])
  for (let beat = 0; beat < 12; beat++) {
    await world.time.run(250)
    for (let i = 0; i < 40; i++) drain(world, i, stream)
  }
  for (const { inputs } of world.followers) expect(inputs.status(1)[0]).toMatchObject({ after: 10n })
})

test('a large body is announced first and fetched by who lacks it', async () => {
  const { world, stream } = await begin({ followers: 1 })
  drain(world, 0, stream)
  await world.time.run(100)
  const entry = stream.add(FLIGHT, { pad: 'x'.repeat(30_000) })
  await publish(world, [entry])
  await world.time.run(300)
  expect(world.bytesAt(world.followers[0]!.node, 'stream-header')).toBeGreaterThan(500)
  expect(world.bytesAt(world.followers[0]!.node, 'stream-item')).toBe(0)
  expect(drain(world, 0, stream)).toEqual([entry.item])
})

test('a pruned stream keeps the last of each subset and every promised cursor, and a new anchor starts from there', async () => {
  const { world, stream } = await begin({ retention: parseRetention('latest')!, hotS: 0n })
  for (let i = 0; i < 60; i++) await publish(world, [stream.add(`flight/${i % 3}`, { i })])
  await world.time.run(8_000)
  await publish(world, [stream.add('flight/0', { i: 60 })])
  await world.time.run(12_000)
  const pruned = world.anchors.map(({ service }) => {
    service.promise(stream.stream, 'reader', { after: 57n })
    return service.prune(stream.stream)
  })
  await world.time.run(500)
  expect(await Promise.all(pruned)).toEqual([57n, 57n, 57n, 57n])
  const { service } = world.anchors[0]!
  expect(service.floor(stream.stream)).toBe(57n)
  expect(() => service.entries(stream.stream, { after: 3n, limit: 9 })).toThrowError('pruned')
  expect(service.entries(stream.stream, { after: 57n, limit: 9 })).toHaveLength(4)
  world.restart(3, { wiped: true })
  await world.time.run(60_000)
  expect(certifiedAt(world, stream)).toEqual([61n, 61n, 61n, 61n])
  expect(world.anchors[3]!.service.floor(stream.stream)).toBe(57n)
  world.cut.add(world.anchors[0]!.node)
  expect(codeOf(await publish(world, [stream.add('flight/1', { i: 61 })], 1))).toBe('receipt')
})

test('an entry that a disk changed comes back from the others, and no other one takes its place', async () => {
  const logs: Ports['log'][] = []
  const mended: LogEntry[] = []
  const damaged: { stream: Bytes32; sequence: bigint }[] = []
  const logOf = (store: Ports['store']): Ports['log'] => {
    const log = storeLog(store)
    const isSpoilt = logs.length === 2
    logs.push(log)
    if (!isSpoilt) return log
    return {
      ...log,
      damaged: () => damaged,
      mend: async (entries) => {
        mended.push(...entries)
        damaged.splice(0)
      },
    }
  }
  const { world, stream } = await begin({ logOf })
  const entries = Array.from({ length: 5 }, (_, i) => stream.add(FLIGHT, { i }))
  await publish(world, entries)
  await world.time.run(500)
  const other = stream.make(FLIGHT, { i: 1 }, { data: { sequence: 2n } })
  damaged.push({ stream: stream.stream, sequence: 2n })
  const packed = pack([encodeItem(other.item)])
  world.deliver(world.anchors[0]!.node, world.anchors[2]!.node, {
    type: 'stream-range',
    stream: stream.stream,
    subset: stream.stream,
    packed,
  })
  expect(mended).toEqual([])
  await world.time.run(1_000)
  expect(mended).toEqual([logs[0]!.at(stream.stream, 2n)])
})

test('every bad input has its own code', async () => {
  const { world, stream } = await begin()
  await publish(world, [stream.add(FLIGHT, { delay: 1 })])
  const stranger = nobleSigner(`0x${'0c'.repeat(32)}`)
  const forged = { ...stranger, address: stream.issuer.address }
  const now = TEST.timeS
  const bad: readonly [string, TestEntry, string][] = [
    ['forged', stream.make(FLIGHT, {}, { signer: forged }), 'attestation.signature'],
    ['by another issuer', stream.make(FLIGHT, {}, { signer: stranger }), 'attestation.signer'],
    ['of another network', stream.make(FLIGHT, {}, { data: { context: ZERO_32 } }), 'attestation.context'],
    [
      'of another token type',
      stream.make(FLIGHT, {}, { about: { recipient: `0x${'dd'.repeat(20)}` } }),
      'token.unknown',
    ],
    [
      'expired',
      stream.make(FLIGHT, {}, { about: { expirationTime: now - 5n, time: now - 10n } }),
      'attestation.expired',
    ],
    ['not yet valid', stream.make(FLIGHT, {}, { data: { validFrom: now + 900n } }), 'attestation.not_yet_valid'],
    ['of an unknown schema', stream.make(FLIGHT, {}, { about: { schema: ZERO_32 } }), 'attestation.schema'],
    ['after a gap', stream.make(FLIGHT, {}, { data: { sequence: 9n } }), 'stream.sequence_gap'],
    ['with another predecessor', stream.make(FLIGHT, {}, { about: { refUID: ZERO_32 } }), 'stream.predecessor'],
    ['with a gap in its subset', stream.make(FLIGHT, {}, { data: { subSequence: 9n } }), 'stream.subset'],
    ['for another stream', stream.make(FLIGHT, {}, { data: { stream: ZERO_32 } }), 'stream.identity'],
    ['of another epoch', stream.make(FLIGHT, {}, { data: { epoch: 4n } }), 'stream.epoch'],
    ['of a kind that issuers do not publish', stream.make(FLIGHT, {}, { kind: 'outcome' }), 'stream.kind'],
    ['that lives too long', stream.make(FLIGHT, {}, { about: { expirationTime: now * 2n } }), 'attestation.lifetime'],
  ]
  for (const [what, entry, code] of bad) expect([what, codeOf(await publish(world, [entry]))]).toEqual([what, code])
  const good = stream.make(FLIGHT, { delay: 2 })
  const replayed = { ...good, item: { ...good.item, body: '{"delay":9}' } }
  expect(codeOf(await publish(world, [replayed]))).toBe('attestation.content')
  expect(codeOf(await publish(world, [good]))).toBe('receipt')
  expect(codeOf(await publish(world, [good, good]))).toBe('stream.batch')
})
