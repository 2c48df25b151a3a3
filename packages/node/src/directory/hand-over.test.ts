import {
  type Bytes32,
  emptyRecord,
  formatTokenRef,
  type Homes,
  homesOver,
  type Membership,
  nobleCrypto,
  tokenOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { expect, test } from 'vitest'
import { AnchoringNode } from '../anchoring-node.ts'
import { LOCAL_PARAMETERS, type NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import { ANCHOR, CONTEXT } from '../testing/lone-home.ts'
import { MemoryWorld, memoryStore, VirtualTime } from '../testing/memory-world.ts'
import { HandOver } from './hand-over.ts'
import { InstanceIndex } from './instance-index.ts'
import type { SealedPage } from './sealed-pages.ts'
import { Standings } from './standings.ts'

const { leaseMs, epsilonMs } = LOCAL_PARAMETERS

test('an anchor takes over nothing before its clock counts as set, and everything after', async () => {
  const world = new MemoryWorld()
  const { context } = world
  const first = context.membership()
  const second: Membership = { ...first, epoch: 2n, beacon: `0x${'b2'.repeat(32)}`, earlierBeacons: [first.beacon] }
  const homes = homesOver([first, second], nobleCrypto.keccak)
  const drawn = Array.from({ length: 16 }, (_, shard) => shard).filter((shard) => homes.history(shard).length > 1)
  const taken: { anchor: number; at: number }[] = []
  const endOfTurn = (run: () => void) => void world.time.at(0, run)
  const nodes = world.anchorMembers.map((_, anchor) => {
    const log = (_level: string, code: string) => {
      if (code === 'home.taken_over') taken.push({ anchor, at: world.time.now })
    }
    const ports = { ...world.portsOf(anchor), telemetry: { log, count: () => {} } }
    return new AnchoringNode(ports, { ...context, membership: () => second, homes: () => homes }, { endOfTurn })
  })
  for (const node of nodes) await node.start()
  await world.time.run(leaseMs + 2 * epsilonMs)
  expect(drawn.length).toBeGreaterThan(0)
  expect(taken).toEqual([])
  await world.time.run(2_000)
  expect(taken.map(({ anchor }) => anchor).sort()).toEqual([0, 1, 2, 3].flatMap((anchor) => drawn.map(() => anchor)))
})

test('a shard names all that came before its seal, also when another shard of the same epoch was asked for before', async () => {
  const { keccak } = nobleCrypto
  const time = new VirtualTime()
  const first = CONTEXT.membership()
  const epochs = [1n, 2n, 3n].map((epoch): Membership => ({ ...first, epoch, earlierBeacons: [ZERO_32, ZERO_32] }))
  let homes: Homes = homesOver(epochs.slice(0, 2), keccak)
  const context = { ...CONTEXT, homes: () => homes } as NodeContext
  const store = memoryStore(time)
  const clock = {
    now: () => BigInt(time.now),
    monotonic: () => time.now,
    after: (ms: number, run: () => void) => time.at(time.now + ms, run),
  }
  const ports = { clock, store, identity: { signer: ANCHOR, crypto: nobleCrypto }, telemetry: { log: () => {} } }
  const index = new InstanceIndex({ store }, keccak)
  const handlers = new Map<string, (from: string, message: object) => void>()
  const told: SealedPage[] = []
  const parts = {
    post: {
      on: (type: string, run: (from: string, message: object) => void) => void handlers.set(type, run),
      send: (_: string, page: SealedPage) => void told.push(page),
    },
    book: { isClockSet: false, settled: async (id: Bytes32) => emptyRecord(id), anchorContext: () => ({}) },
    index,
    standings: new Standings({ store }, context),
    streams: { after: () => [] },
  }
  const handOver = new HandOver(ports as unknown as Ports, context, parts as never)
  const ask = async (shard: number, epoch: bigint) => {
    handlers.get('seal-request')!('another anchor', { shard, epoch, after: ZERO_32 })
    await time.run(time.now + 1)
  }
  await time.run(50)
  homes = homesOver(epochs, keccak)
  await ask(2, 2n)
  const refs = Array.from({ length: 1_000 }, (_, n) => ({ chainId: 1n, contract: ANCHOR.address, tokenId: BigInt(n) }))
  const late = refs.find((each) => homes.shardOf(tokenOf(each, keccak)) === 3)!
  const added = index.add(`0x${'11'.repeat(32)}`, formatTokenRef(late))
  await time.run(time.now + 50)
  await added
  await time.run(time.now + LOCAL_PARAMETERS.retryMs + 50)
  await ask(3, 3n)
  handOver.stop()
  expect(told.map(({ shard, records }) => [shard, records.map(({ token }) => token)])).toEqual([
    [2, []],
    [3, [formatTokenRef(late)]],
  ])
})
