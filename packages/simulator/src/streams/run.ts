/** Runs seeds of the world of streams: first with faults, then healed until everything certified is everywhere. */
import { fastCrypto } from '@smartlayer/node'
import { type Hasher, readData, subsetOf } from '@smartlayer/protocol'
import { drawsOf } from '../random.ts'
import { type SeedResult, type SeriesOptions, type Simulated, series } from '../series.ts'
import { chooseLiar, StreamFaults } from './faults.ts'
import { cursorOn } from './follower.ts'
import type { Issuer, IssuerPlan } from './issuer.ts'
import { Subscriber } from './subscriber.ts'
import { QUORUM, StreamWorld, SUBSETS } from './world.ts'

export type StreamTotals = {
  readonly entries: number
  readonly receipts: number
  readonly forks: number
  readonly epochs: number
  /** Streams that stay where they are: their issuer lost its state (see `isContended`), or forked and gets no new epoch. */
  readonly contended: number
  readonly blocked: number
  readonly lies: number
  readonly crashes: number
  readonly partitions: number
  readonly drops: number
  readonly duplicates: number
  readonly events: number
  readonly virtualSeconds: number
}
export type SimulateStreamsOptions = SeriesOptions<StreamTotals> & {
  /** A bug was planted before: seeds run once, because it is enough to see it. */
  readonly planted?: boolean
  /** Ends each run at this virtual time in ms, to look at what happened before. */
  readonly untilMs?: number | undefined
  /** Hears of every event of every first run, in words. */
  readonly onEvent?: ((line: string) => void) | undefined
}

const FAULTS_UNTIL_MS = 9_000
/** Followers say every 30 s again what they follow: whoever lost all else recovers by that. */
const LIVENESS_MS = 35_000
const LOOK_MS = 20
/** Every so many seeds end with a rest, in which all that waits must end. */
const QUIET_SEEDS = 10
const QUIET_MS = 15_000
const FOLLOWERS = 4
const STREAMS = 2
const FORKS = 0.35
const ENTRIES = { least: 10, most: 24 } as const
const NO_TOTALS: StreamTotals = {
  entries: 0,
  receipts: 0,
  forks: 0,
  epochs: 0,
  contended: 0,
  blocked: 0,
  lies: 0,
  crashes: 0,
  partitions: 0,
  drops: 0,
  duplicates: 0,
  events: 0,
  virtualSeconds: 0,
}

/** Simulates seeds, each twice unless a bug is planted. Never throws for a violation: the result says what failed. */
export async function simulateStreams(options: SimulateStreamsOptions): Promise<Simulated<StreamTotals>> {
  const { keccak } = (await fastCrypto()).crypto
  return series(options, {
    run: (seed, again) => runSeed(seed, keccak, { ...options, onEvent: again ? undefined : options.onEvent }),
    twice: !options.planted,
    none: NO_TOTALS,
  })
}

async function runSeed(
  seed: number,
  keccak: Hasher,
  { untilMs, onEvent }: SimulateStreamsOptions,
): Promise<SeedResult<StreamTotals>> {
  const world = new StreamWorld(seed, { keccak, followers: FOLLOWERS, issuers: plansOf(seed), onEvent })
  chooseLiar(world)
  for (const actor of world.actors) world.start(actor)
  const subscriber = subscriberOf(world)
  const faults = new StreamFaults(world, { subscriber, untilMs: FAULTS_UNTIL_MS })
  const look = () => {
    lookAround(world)
    world.time.at(LOOK_MS, look)
  }
  world.time.at(LOOK_MS, look)
  const broken = () => world.violation !== undefined
  const last = untilMs ?? Number.POSITIVE_INFINITY
  await world.time.run(Math.min(FAULTS_UNTIL_MS + 1, last), broken)
  const end = Math.min(FAULTS_UNTIL_MS + LIVENESS_MS, last)
  const open = () => [...unsettled(world, subscriber)]
  while (!broken() && world.time.now < end && open().length > 0) {
    await world.time.run(Math.min(end, world.time.now + 200), broken)
  }
  if (!broken() && untilMs === undefined) {
    const [first] = open()
    const afterS = LIVENESS_MS / 1000
    if (first) world.checkers.fail(first.invariant, `${afterS} s after healing: ${first.what}; ${standing(world)}`)
    else if (seed % QUIET_SEEDS === 0) await checkRest(world, broken)
  }
  const { violation, trace } = world
  const totals = totalsOf(world, faults)
  return { seed, passed: !violation, trace: trace.hash, violation, lastEvents: [...trace.lastEvents], totals }
}

/** Nothing waits for ever: some seconds after the last request nothing is left of what was under way. */
async function checkRest(world: StreamWorld, broken: () => boolean): Promise<void> {
  for (const issuer of world.issuers) issuer.stop()
  for (const follower of world.followers) world.crash(follower)
  if (world.liar) world.liar.isLying = false
  await world.time.run(world.time.now + QUIET_MS, broken)
  for (const { name, service } of world.anchors) {
    const left = Object.entries(service?.waiting ?? {}).filter(([, count]) => count > 0)
    if (left.length > 0) world.checkers.fail('INV-BOUNDED', `${name} still keeps ${left.join(', ')}`)
  }
}

/** At most one issuer forks. */
function plansOf(seed: number): readonly IssuerPlan[] {
  const draws = drawsOf(seed, 'plans')
  const forking = draws.chance(FORKS) ? draws.between(0, STREAMS - 1) : -1
  return Array.from({ length: STREAMS }, (_, i) => ({
    entries: draws.between(ENTRIES.least, ENTRIES.most),
    forks: i === forking,
  }))
}

function subscriberOf(world: StreamWorld): Subscriber {
  const { time, trace, checkers } = world
  const draws = drawsOf(world.seed, 'subscriber')
  const { stream } = draws.pick(world.issuers)
  const subset = draws.chance(0.5) ? stream : subsetOf(SUBSETS[0], world.keys.crypto.keccak)
  return new Subscriber({ time, trace, draws, follows: { stream, subset }, anchors: () => world.honest, checkers })
}

/** What readers and operators see of every honest anchor, at this moment. */
function lookAround(world: StreamWorld): void {
  for (const { signer, service } of world.honest) {
    if (!service) continue
    for (const { stream } of world.issuers) world.checkers.look(signer.address, service, stream)
  }
}

type Open = { readonly invariant: 'INV-LIVENESS' | 'INV-FORK' | 'INV-REVOKED'; readonly what: string }

/** What must come true once faults end, and is not true yet. */
function* unsettled(world: StreamWorld, subscriber: Subscriber): Generator<Open> {
  for (const issuer of world.issuers) {
    const mayStay = world.checkers.forks.has(issuer.stream) || isContended(world, issuer)
    if (!issuer.done && !mayStay) yield late(`${issuer.name} waits for ${issuer.pending} receipts`)
    yield* behindAnchors(world, issuer)
    yield* unprovenForks(world, issuer)
    yield* unknownRevocations(world, issuer)
  }
  yield* behindFollowers(world)
  const { stream, subset } = subscriber.follows
  const length = world.checkers.known(stream, subset)
  if (subscriber.cursor < length) yield late(`the subscriber stands at ${subscriber.cursor} of ${length}`)
}

/**
 * An issuer that lost its state may have two entries at the next place, of two epochs, held by so many honest anchors each that
 * neither can get 2f + 1 receipts without the others. Nobody can tell then which of them a liar signed, so the stream stays.
 */
function isContended(world: StreamWorld, { stream, epochs }: Issuer): boolean {
  if (epochs === 0) return false
  for (let place = world.checkers.known(stream) + 1n; ; place++) {
    const held = world.honest.map(({ signer }) => world.checkers.heldAt(signer.address, stream, place))
    const uids = new Set(held.filter((uid) => uid !== undefined))
    if (uids.size === 0) return false
    if (uids.size === 1) continue
    const free = held.filter((uid) => uid === undefined).length
    const most = Math.max(...[...uids].map((uid) => held.filter((other) => other === uid).length))
    return most + free < QUORUM
  }
}

function* behindAnchors(world: StreamWorld, { stream }: Issuer): Generator<Open> {
  const length = world.checkers.known(stream)
  for (const { name, signer, service } of world.honest) {
    const certified = service?.state(stream).certified ?? 0n
    if (certified < length) yield late(`${name} knows ${certified} of ${length} as certified`)
    const held = world.checkers.heldBy(signer.address, stream)
    if (held < length) yield late(`${name} holds ${held} of ${length}`)
  }
}

/** Every honest anchor keeps the proof, and nothing of the epoch follows what was certified. */
function* unprovenForks(world: StreamWorld, { stream }: Issuer): Generator<Open> {
  const epoch = world.checkers.forks.get(stream)
  if (epoch === undefined) return
  for (const { name, service } of world.honest) {
    const proof = service?.fork(stream)
    const proven = proof && readData(proof.first)?.epoch
    if (proven === undefined || proven < epoch)
      yield { invariant: 'INV-FORK', what: `${name} has no proof of the fork` }
    const state = service?.state(stream)
    if (state?.epoch === epoch && state.frozenAfter !== state.certified) {
      yield { invariant: 'INV-FORK', what: `${name} is not frozen after ${state.certified}` }
    }
  }
}

function* unknownRevocations(world: StreamWorld, { stream }: Issuer): Generator<Open> {
  const { chains } = world.checkers
  for (const uid of chains.of(stream).places.slice(0, Number(world.checkers.known(stream)))) {
    const { revokes, data } = chains.made(uid)!
    if (!revokes) continue
    const followers = world.followers.filter(({ follows }) =>
      follows.some((each) => each.stream === stream && (each.subset === stream || each.subset === data.subset)),
    )
    for (const { name, service, follower } of [...world.honest, ...followers]) {
      if ((service ?? follower)?.revocations.find(revokes)) continue
      yield { invariant: 'INV-REVOKED', what: `${name} does not know that ${revokes} was taken back` }
    }
  }
}

function* behindFollowers(world: StreamWorld): Generator<Open> {
  for (const { name, disk, follows, follower } of world.followers) {
    for (const { stream, subset } of follows) {
      // Of two branches a liar may have shown the lost one first; the journal's refusal is what counts (`FollowerNode`).
      if (world.checkers.forks.has(stream) && follower?.holdsRival({ stream, subset })) continue
      const length = world.checkers.known(stream, subset)
      const cursor = cursorOn(disk, { stream, subset })
      if (cursor < length) yield late(`${name} applied ${cursor} of ${length}`)
    }
  }
}

/** Where every anchor stands, for whoever looks for the reason. */
function standing(world: StreamWorld): string {
  return world.issuers
    .map(({ name, stream }) => {
      const anchors = world.anchors.map(({ name: anchor, service }) => {
        const state = service?.state(stream)
        if (!state) return `${anchor} down`
        const { epoch, sequence, certified, frozenAfter } = state
        return `${anchor} ${certified} of ${sequence} in epoch ${epoch}${frozenAfter === undefined ? '' : ' frozen'}`
      })
      return `${name}: ${anchors.join(', ')}`
    })
    .join('; ')
}

function late(what: string): Open {
  return { invariant: 'INV-LIVENESS', what }
}

function totalsOf(world: StreamWorld, { partitions }: StreamFaults): StreamTotals {
  const { network, checkers, issuers, time } = world
  const waiting = issuers.filter(({ done }) => !done)
  const lengths = issuers.map(({ stream }) => checkers.chains.of(stream).places.length)
  return {
    entries: lengths.reduce((sum, length) => sum + length, 0),
    receipts: checkers.receipts,
    forks: checkers.forks.size,
    epochs: issuers.reduce((sum, { epochs }) => sum + epochs, 0),
    contended: waiting.filter(({ stream }) => !checkers.forks.has(stream)).length,
    blocked: waiting.filter(({ stream }) => checkers.forks.has(stream)).length,
    lies: world.liar?.lies ?? 0,
    crashes: world.crashes,
    partitions,
    drops: network.drops,
    duplicates: network.duplicates,
    events: time.events,
    virtualSeconds: Math.round(time.now / 1000),
  }
}
