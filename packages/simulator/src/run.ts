/** Runs seeds of the whole network: first with faults, then healed until all agree. */
import { fastCrypto } from '@smartlayer/node'
import type { Hasher } from '@smartlayer/protocol'
import { streamOf } from '@smartlayer/protocol'
import type { Bug } from './bugs.ts'
import { Faults } from './faults.ts'
import { drawsOf } from './random.ts'
import { type CounterState, SUBSET } from './script.ts'
import { type SeedResult, type SeriesOptions, type Simulated, series } from './series.ts'
import { logOn } from './store.ts'
import { Issuer } from './workload.ts'
import { type Actor, World } from './world.ts'

export type NetworkTotals = {
  readonly drops: number
  readonly duplicates: number
  readonly crashes: number
  readonly partitions: number
  readonly clockSteps: number
  readonly epochs: number
  readonly entries: number
  readonly effects: number
  readonly events: number
  readonly virtualSeconds: number
}
export type SimulateOptions = SeriesOptions<NetworkTotals> & {
  /** Facts that the issuer publishes. */
  readonly steps?: number
  /** Ports are changed for a bug here; source edits must have been planted before (see `plant`). */
  readonly bug?: Bug | undefined
  /** Ends each run at this virtual time in ms, to look at what happened before. */
  readonly untilMs?: number | undefined
  /** Hears of every event of every first run, in words. */
  readonly onEvent?: ((line: string) => void) | undefined
}

const FACTS = 92
const FAULTS_UNTIL_MS = 16_000
const LIVENESS_MS = 20_000
const LEAST_ENTRIES = 100
const NO_TOTALS: NetworkTotals = {
  drops: 0,
  duplicates: 0,
  crashes: 0,
  partitions: 0,
  clockSteps: 0,
  epochs: 0,
  entries: 0,
  effects: 0,
  events: 0,
  virtualSeconds: 0,
}

/** Simulates `seeds` seeds from `from` on, each twice unless a bug is planted. Never throws for a violation: the result says what failed. */
export async function simulate(options: SimulateOptions): Promise<Simulated<NetworkTotals>> {
  const { keccak } = (await fastCrypto()).crypto
  return series(options, {
    run: (seed, again) => runSeed(seed, keccak, again ? { ...options, onEvent: undefined } : options),
    twice: !options.bug,
    none: NO_TOTALS,
  })
}

async function runSeed(seed: number, keccak: Hasher, options: SimulateOptions): Promise<SeedResult<NetworkTotals>> {
  const { bug, steps = FACTS, untilMs } = options
  const world = new World(seed, { keccak, seam: bug?.seam, onEvent: options.onEvent })
  const faults = new Faults(world, { untilMs: FAULTS_UNTIL_MS, seam: bug?.seam })
  for (const actor of world.actors) world.start(actor)
  world.time.at(600, () => world.activate())
  const draws = drawsOf(seed, 'issuer')
  const issuer = new Issuer({
    time: world.time,
    trace: world.trace,
    draws,
    crypto: world.keys.crypto,
    signer: world.issuer,
    networkId: world.context.networkId,
    easDomain: world.context.easDomain,
    token: world.token,
    facts: steps,
    anchor: () => draws.pick(world.anchors).anchor,
    broken: (detail) => world.checkers.fail('NO-BUGS', detail),
  })
  const watch = () => {
    world.checkers.tick()
    world.time.at(20, watch)
  }
  world.time.at(20, watch)
  const broken = () => world.violation !== undefined
  await world.time.run(Math.min(FAULTS_UNTIL_MS + 1, untilMs ?? Number.POSITIVE_INFINITY), broken)
  const end = Math.min(FAULTS_UNTIL_MS + LIVENESS_MS, untilMs ?? Number.POSITIVE_INFINITY)
  while (!broken() && world.time.now < end && !settled(world, issuer)) {
    await world.time.run(Math.min(end, world.time.now + 200), broken)
  }
  if (!broken() && untilMs === undefined) checkEnd(world, issuer)
  const { network, violation, trace } = world
  const { drops, duplicates } = network
  const totals = {
    drops,
    duplicates,
    crashes: world.crashes,
    partitions: faults.partitions,
    clockSteps: faults.steps,
    epochs: world.epochs.startsAt.length,
    entries: world.checkers.entries.size,
    effects: world.outside.done.size,
    events: world.time.events,
    virtualSeconds: Math.round(world.time.now / 1000),
  }
  return { seed, passed: !violation, trace: trace.hash, violation, lastEvents: [...trace.lastEvents], totals }
}

/** Replicas of the present placement that are honest. */
function replicasOf(world: World): readonly Actor[] {
  const placed = world.services
    .flatMap(({ service }) => service?.instances[0]?.placement?.placement ?? [])
    .reduce<{ term: bigint; replicas: readonly string[] }>((best, next) => (next.term > best.term ? next : best), {
      term: 0n,
      replicas: [],
    })
  return world.services.filter(
    ({ signer }) => placed.replicas.includes(signer.address) && !world.byzantine.has(signer.address),
  )
}

/** Everything published was applied by every honest replica of the placement, alike, and no effect is under way. */
function settled(world: World, issuer: Issuer): boolean {
  if (!issuer.done) return false
  const replicas = replicasOf(world).map(({ service }) => service?.instances[0]?.replica)
  // How many replicas a placement has is the proposer's decision; that all of them keep up is what is asked here.
  if (replicas.length === 0) return false
  return replicas.every((replica) => {
    const state = replica?.state
    if (!state || replica.head.hash !== replicas[0]?.head.hash) return false
    const busy = state.effects.some(({ status }) => status === 'pending' || status === 'attempting')
    return !busy && (state.data as unknown as CounterState).last === issuer.followed
  })
}

function checkEnd(world: World, issuer: Issuer): void {
  const { checkers, token, keys } = world
  const { keccak } = keys.crypto
  if (!settled(world, issuer)) {
    const heads = replicasOf(world).map(
      ({ name, service }) =>
        `${name} at ${service?.instances[0]?.replica.head.n} fact ${JSON.stringify(service?.instances[0]?.replica.state?.data)}`,
    )
    const receipts = `${issuer.receipts.size} receipts, ${issuer.followed} facts to apply`
    return checkers.fail(
      'INV-LIVENESS',
      `not settled ${LIVENESS_MS / 1000} s after healing: ${receipts}; ${heads.join('; ')}`,
    )
  }
  const lane = token.rules.inputs.fact!.lane
  const stream = streamOf(world.issuer.address, token.rules.tokenType, lane, keccak)
  for (const [sequence, uid] of issuer.receipts) {
    const holders = world.homeOf(stream).filter(({ disk }) => logOn(disk).at(stream, sequence)?.uid === uid)
    if (holders.length < 3) checkers.fail('INV-COMMIT', `fact ${sequence} has a receipt and ${holders.length} holders`)
  }
  for (const { name, service } of replicasOf(world)) {
    const data = service!.instances[0]!.replica.state!.data as unknown as CounterState
    if (data.gaps > 0) checkers.fail('INV-ORDER', `${name} applied ${data.gaps} facts of ${SUBSET} out of order`)
    if (data.called + data.uncertain > data.asked) {
      checkers.fail('INV-ONE-EXECUTOR', `${name} recorded more outcomes than effects were asked for`)
    }
  }
  for (const [effect, times] of world.outside.done) {
    if (times > 1) checkers.fail('INV-ONE-EXECUTOR', `effect ${effect} was done ${times} times at the outside system`)
  }
  if (issuer.receipts.size >= FACTS) {
    if (checkers.entries.size < LEAST_ENTRIES) checkers.fail('INV-LIVENESS', `only ${checkers.entries.size} entries`)
    if (world.outside.done.size === 0) checkers.fail('INV-LIVENESS', 'no effect was performed')
  }
}
