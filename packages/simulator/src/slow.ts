/** One scene of the simulated network: its executor becomes slow, and loses what it hosts while the instance goes on. */
import { fastCrypto } from '@smartlayer/node'
import type { Address, Hasher } from '@smartlayer/protocol'
import { oneEpoch } from './epochs.ts'
import { SLOW_MS } from './faults.ts'
import { drawsOf } from './random.ts'
import { Issuer } from './workload.ts'
import { type Actor, World } from './world.ts'

const FACTS = 400
const SLOW_FROM_MS = 4_000
const SLOW_UNTIL_MS = 24_000
const WEATHER = { loss: 0.02, duplication: 0.02, delayed: 0.01 }

export type SlowScene = {
  readonly trace: string
  readonly violation: string | undefined
  /** The node that was slow, and whether the placement that held it ended. */
  readonly slow: string
  readonly replicasBefore: readonly string[]
  readonly replicasAfter: readonly string[]
  /** Entries that were committed before it was slow, until it had no placement any more, and in the end. */
  readonly entries: { readonly before: number; readonly moved: number; readonly after: number }
  /** Longest time without a newly committed entry, in ms. */
  readonly longestPauseMs: number
  /** What each anchor thinks of the slow node, and of the others, when all is over. */
  readonly states: readonly string[]
  readonly others: readonly string[]
  readonly penalties: readonly number[]
}

export async function slowScene(seed: number): Promise<SlowScene> {
  return play(new World(seed, { keccak: (await fastCrypto()).crypto.keccak as Hasher, plan: oneEpoch }), seed)
}

async function play(world: World, seed: number): Promise<SlowScene> {
  world.network.weather = WEATHER
  for (const actor of world.actors) world.start(actor)
  world.time.at(600, () => world.activate())
  startIssuer(world, seed)
  const broken = () => world.violation !== undefined
  await world.time.run(SLOW_FROM_MS, broken)
  const replicasBefore = placedOn(world)
  const slow = world.services.find(({ service }) => service?.instances.some((hosted) => hosted.isExecutor))!
  const pauses = watchPauses(world)
  const before = world.checkers.entries.size
  world.slow(slow, SLOW_MS)
  while (!broken() && world.time.now < SLOW_UNTIL_MS && placedOn(world).includes(slow.name)) {
    await world.time.run(world.time.now + 100, broken)
  }
  const moved = world.checkers.entries.size
  await world.time.run(SLOW_UNTIL_MS, broken)
  const health = world.homeOf(world.token.instance).map(({ anchor }) => anchor!.health.ledger)
  const { address } = slow.signer
  const others = world.services.filter((actor) => actor !== slow).map(({ signer }) => signer.address)
  return {
    trace: world.trace.hash,
    violation: world.violation?.detail,
    slow: slow.name,
    replicasBefore,
    replicasAfter: placedOn(world),
    entries: { before, moved, after: world.checkers.entries.size },
    longestPauseMs: pauses(),
    states: health.map((ledger) => ledger.standing(address).state),
    others: health.flatMap((ledger) => others.map((node: Address) => ledger.standing(node).state)),
    penalties: health.map((ledger) => ledger.penalties(address).length),
  }
}

/** Names of the replicas of the placement of highest term. */
function placedOn({ services, anchors, token }: World): readonly string[] {
  const placed = anchors.flatMap(({ anchor }) => anchor?.book.get(token.instance).placement?.placement ?? [])
  const newest = placed.reduce((best, next) => (next.term > best.term ? next : best), placed[0]!)
  return services.filter(({ signer }) => newest.replicas.includes(signer.address)).map(({ name }: Actor) => name)
}

/** Measures from now on for how long nothing was committed. */
function watchPauses(world: World): () => number {
  let longest = 0
  let last = { at: world.time.now, entries: world.checkers.entries.size }
  const look = () => {
    const { size } = world.checkers.entries
    if (size > last.entries) last = { at: world.time.now, entries: size }
    longest = Math.max(longest, world.time.now - last.at)
    world.time.at(20, look)
  }
  world.time.at(20, look)
  return () => longest
}

function startIssuer(world: World, seed: number): void {
  const draws = drawsOf(seed, 'issuer')
  const { time, trace, keys, context, token, checkers } = world
  new Issuer({
    time,
    trace,
    draws,
    crypto: keys.crypto,
    signer: world.issuer,
    networkId: context.networkId,
    easDomain: context.easDomain,
    token,
    facts: FACTS,
    anchor: () => draws.pick(world.anchors).anchor,
    broken: (detail) => checkers.fail('NO-BUGS', detail),
  })
  const watch = () => {
    checkers.tick()
    time.at(20, watch)
  }
  time.at(20, watch)
}
