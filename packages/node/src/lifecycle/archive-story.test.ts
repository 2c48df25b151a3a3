/** An instance outlives its network: it is exported, everything that held it is destroyed, and it goes on from the file. */
import {
  type Archive,
  type CertifiedJournalCheckpoint,
  digestOf,
  Export,
  formatArchive,
  formatTokenRef,
  type JournalCheckpoint,
  type KeptCheckpoint,
  nobleCrypto,
  parseArchive,
  Restore,
  type RestoreAnswer,
  type StreamItem,
  ZERO_32,
} from '@smartlayer/protocol'
import { expect, test } from 'vitest'
import { MemoryWorld, type WorldOptions } from '../testing/memory-world.ts'

const { keccak } = nobleCrypto

type Lived = { readonly world: MemoryWorld; readonly archive: Archive; readonly items: readonly StreamItem[] }

async function started(options: WorldOptions = {}): Promise<MemoryWorld> {
  const world = new MemoryWorld(options)
  await world.start()
  return world
}

async function placed(world: MemoryWorld): Promise<MemoryWorld> {
  await world.time.run(600)
  world.anchors[0]!.placement(formatTokenRef(world.ref)).catch(() => undefined)
  await world.time.run(4_000)
  return world
}

/** Two facts, and an export that its owner asked for. */
async function lived(): Promise<Lived> {
  const world = await placed(await started())
  const items = [await world.publish({ add: 5 }), await world.publish({ add: 7 })]
  await world.time.run(1_000)
  return { world, items, archive: await exported(world) }
}

async function exported(world: MemoryWorld, signer = world.owner): Promise<Archive> {
  const request: Export = { instance: world.token.instance, nonce: ZERO_32, time: world.now }
  const signature = signer.sign(digestOf(Export, request, world.domain, keccak))
  const asked = world.anchors[0]!.lifecycle.export(formatTokenRef(world.ref), { request, signature })
  asked.catch(() => undefined)
  await world.time.run(3_000)
  return parseArchive(formatArchive(await asked))
}

function orderOf(world: MemoryWorld, archive: Archive, change: Partial<Restore> = {}, signer = world.owner) {
  const { checkpoint } = archive.kept!.certified
  const statement: Restore = {
    instance: world.token.instance,
    network: archive.registry === world.domain.verifyingContract ? world.context.networkId : FIRST,
    incarnation: checkpoint.incarnation + 1n,
    n: checkpoint.n,
    root: checkpoint.root,
    time: world.now,
    ...change,
  }
  return { statement, signature: signer.sign(digestOf(Restore, statement, world.domain, keccak)) }
}

const FIRST = new MemoryWorld().context.networkId

async function restored(world: MemoryWorld, archive: Archive, order?: ReturnType<typeof orderOf>) {
  const asked = world.anchors.map(({ lifecycle }) =>
    lifecycle.restore(formatTokenRef(world.ref), { archive, order }).catch((error) => ({ step: 'refused', error })),
  )
  await world.time.run(100)
  return Promise.all(asked) as Promise<readonly (RestoreAnswer | { step: 'refused'; error: { code: string } })[]>
}

/** Gathers the endorsements of home anchors and begins the incarnation with them. */
async function begun(
  world: MemoryWorld,
  archive: Archive,
  { order = orderOf(world, archive), at = world.anchors } = {},
): Promise<KeptCheckpoint> {
  const endorsed = (await restored(world, archive, order)).filter((answer) => answer.step === 'endorsed')
  const checkpoint = endorsed[0]?.checkpoint as JournalCheckpoint
  const certified: CertifiedJournalCheckpoint = { checkpoint, signatures: endorsed.map(({ signature }) => signature) }
  const kept = { certified, snapshot: archive.kept!.snapshot, certificate: undefined } as KeptCheckpoint
  const asked = at.map(({ lifecycle }) => lifecycle.begin(formatTokenRef(world.ref), kept))
  await world.time.run(100)
  await Promise.all(asked)
  return kept
}

const rootsIn = (world: MemoryWorld) =>
  world.services.flatMap((node) => node.instances.map((hosted) => hosted.replica.confirmed?.root))
const statesIn = (world: MemoryWorld) =>
  world.services.flatMap((node) => node.instances.map((hosted) => hosted.replica.state))

test('an export holds the state that the replicas have, and only owner and holder get it', async () => {
  const { world, archive } = await lived()
  expect(archive.kept!.certified.checkpoint.root).toBe(rootsIn(world)[0])
  expect(JSON.parse(archive.kept!.snapshot)).toMatchObject({ data: { total: 12 } })
  expect(archive.entries).toEqual([])
  expect((await exported(world, world.holder)).kept).toEqual(archive.kept)
  await expect(exported(world, world.issuer)).rejects.toMatchObject({ code: 'attestation.signer' })
})

test('after all nodes are gone the owner lets it go on, in the next incarnation, from the same root', async () => {
  const { world: before, archive, items } = await lived()
  const world = await started({ startsAt: before.time.now + 60_000 })
  expect((await restored(world, archive)).map((answer) => 'error' in answer && answer.error.code)).toEqual(
    Array(4).fill('restore.incomplete'),
  )
  const { certified } = await begun(world, archive)
  expect(certified.checkpoint.root).toBe(archive.kept!.certified.checkpoint.root)
  await placed(world)
  for (const state of statesIn(world)) expect(state).toMatchObject({ incarnation: '1', data: { total: 12 } })
  world.anchors[0]!.publish(items).catch(() => undefined)
  await world.time.run(500)
  world.goOnAfter(items.at(-1)!)
  await world.publish({ add: 100 })
  await world.time.run(1_000)
  expect(statesIn(world)).toHaveLength(3)
  for (const state of statesIn(world)) expect(state).toMatchObject({ incarnation: '1', data: { total: 112 } })
})

test('an anchor that missed the restore, and had begun the instance anew, comes to the state that the others restored', async () => {
  const { world: before, archive } = await lived()
  const world = await started({ startsAt: before.time.now + 60_000 })
  await placed(world) // nobody knew better: the instance was begun anew, from nothing
  const late = world.addresses[3]!
  expect(world.anchors[3]!.book.get(world.token.instance)).toMatchObject({ incarnation: 0n, committed: { n: 1n } })
  world.cuts.add(late)
  await begun(world, archive, { at: world.anchors.slice(0, 3) })
  await world.time.run(8_000)
  world.cuts.delete(late)
  await world.time.run(8_000)
  for (const state of statesIn(world)) expect(state).toMatchObject({ incarnation: '1', data: { total: 12 } })
  const records = world.anchors.map(({ book }) => book.get(world.token.instance))
  for (const record of records) expect(record).toMatchObject({ incarnation: 1n, committed: records[0]!.committed })
  expect(records[0]!.committed.n).toBeGreaterThan(archive.kept!.certified.checkpoint.n)
})

test('on another network it begins with the same root, and hears the streams of that network from their start', async () => {
  const { world: before, archive } = await lived()
  const world = await started({ startsAt: before.time.now, registry: `0x${'b0'.repeat(20)}` })
  expect((await restored(world, archive)).map((answer) => 'error' in answer && answer.error.code)).toEqual(
    Array(4).fill('restore.elsewhere'),
  )
  const { certified } = await begun(world, archive)
  expect(certified.checkpoint).toMatchObject({ root: rootsIn(before)[0], incarnation: 1n, term: 0n })
  await placed(world)
  await world.publish({ add: 1 })
  await world.time.run(1_000)
  for (const state of statesIn(world)) expect(state).toMatchObject({ incarnation: '1', data: { total: 13 } })
  expect(rootsIn(world)).toHaveLength(3)
})

test('nobody but the owner raises an incarnation, and not over what home anchors know', async () => {
  const { world, archive } = await lived()
  await world.publish({ add: 1 })
  await world.time.run(500)
  const codes = async (order?: ReturnType<typeof orderOf>) =>
    (await restored(world, archive, order)).map((answer) => ('error' in answer ? answer.error.code : answer.step))
  expect(await codes(orderOf(world, archive, {}, world.issuer))).toEqual(Array(4).fill('attestation.signer'))
  expect(await codes(orderOf(world, archive, { root: ZERO_32 }))).toEqual(Array(4).fill('restore.statement'))
  expect(await codes(orderOf(world, archive))).toEqual(Array(4).fill('restore.behind'))
  expect(await codes()).toEqual(Array(4).fill('restore.behind'))
  await world.publish({ add: 1 })
  await world.time.run(500)
  for (const state of statesIn(world)) expect(state).toMatchObject({ incarnation: '0', data: { total: 14 } })
})

test('an archive that was tampered with is refused before anybody looks at what it says', async () => {
  const { world, archive } = await lived()
  const kept = { ...archive.kept!, snapshot: archive.kept!.snapshot.replace('"total":12', '"total":99') }
  const answers = await restored(world, { ...archive, kept }, orderOf(world, archive))
  expect(answers.map((answer) => 'error' in answer && answer.error.code)).toEqual(Array(4).fill('archive.malformed'))
})
