import { homesOver, type Membership, nobleCrypto } from '@smartlayer/protocol'
import { expect, test } from 'vitest'
import { AnchoringNode } from '../anchoring-node.ts'
import { LOCAL_PARAMETERS } from '../context.ts'
import { MemoryWorld } from '../testing/memory-world.ts'

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
