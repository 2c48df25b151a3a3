/** What chance does to the directory: grinding, Sybil splitting, movement, load and capture, drawn by the very rule that nodes use. */
import {
  type Beacons,
  type Bytes32,
  buildShards,
  type Contenders,
  carryShards,
  changeOf,
  type DirectoryView,
  emptyTable,
  faultsTolerated,
  keccakText,
  type Member,
  NETWORK_DIRECTORY,
  nobleCrypto,
  rankInto,
  type SaltKey,
  type ShardTable,
  toHex,
  uintWord,
  viewOf,
  weightOf,
  ZERO_32,
} from '@smartlayer/protocol'

const { keccak } = nobleCrypto
const DIGEST_WORDS = 8
const HOME_SIZE = 7
const { rotation: ROTATION, weight: WEIGHT } = NETWORK_DIRECTORY
/** A shard's salt of epoch 40 differs from that of epoch 41 for one shard in R. */
const EPOCH = 40

export type Sizes = {
  /** Trials of grinding for each number of ground keys. */
  readonly grinding: readonly { readonly keys: number; readonly trials: number }[]
  readonly honest: number
  readonly sybilShards: number
  readonly nodes: number
  readonly shards: number
  readonly changes: number
  readonly captureDraws: number
}

export const SMALL: Sizes = {
  grinding: [{ keys: 20_000, trials: 10 }],
  honest: 1_000,
  sybilShards: 500,
  nodes: 100,
  shards: 1_500,
  changes: 20,
  captureDraws: 4_000,
}

export const USUAL: Sizes = {
  grinding: [
    { keys: 10_000, trials: 60 },
    { keys: 100_000, trials: 60 },
    { keys: 1_000_000, trials: 20 },
  ],
  honest: 10_000,
  sybilShards: 4_000,
  nodes: 1_000,
  shards: 16_384,
  changes: 20,
  captureDraws: 20_000,
}

export const LARGE: Sizes = { ...USUAL, nodes: 10_000, shards: 150_000, sybilShards: 20_000, captureDraws: 100_000 }

/** One line: what was found, the bound it is held to, and whether it keeps it; a line without a bound informs. */
export type Line = { readonly name: string; readonly found: string; readonly bound?: string; readonly ok?: boolean }

export function directoryStatistics(sizes: Sizes): readonly Line[] {
  return [
    ...grindingLines(sizes),
    ...sybilLines(sizes),
    ...tableLines(sizes),
    ...captureTable(),
    capturedAsExpected(sizes),
  ]
}

/** An attacker registers the seven best of many keys: for a salt it knows, or for one drawn only afterwards. */
function grindingLines({ grinding, honest }: Sizes): readonly Line[] {
  return grinding.flatMap(({ keys, trials }, at) => {
    const known = { all: 0, majority: 0 }
    const drawnLater = { all: 0, majority: 0 }
    for (let trial = 0; trial < trials; trial++) {
      const chance = randomFrom(1_000 * at + trial)
      const target = keyFrom(chance)
      const ground = contendersFrom(keys, () => 10, chance)
      const chosen = new Uint32Array(HOME_SIZE)
      rankInto(chosen, ground, target)
      const field = joined(
        contendersFrom(honest, () => 10, chance),
        pick(ground, chosen),
      )
      note(known, seatsBeyond(honest, field, target))
      note(drawnLater, seatsBeyond(honest, field, keyFrom(chance)))
    }
    const text = ({ all, majority }: typeof known) =>
      `all ${percent(all / trials)}, majority ${percent(majority / trials)}`
    const name = `grinding ${keys.toLocaleString('en')} keys against ${honest.toLocaleString('en')} nodes`
    return [
      { name: `${name}, salt known`, found: text(known) },
      bounded(`${name}, salt drawn later`, drawnLater.majority, { most: 0 }, () => text(drawnLater)),
    ]
  })
}

function note(counts: { all: number; majority: number }, seats: number): void {
  if (seats === HOME_SIZE) counts.all++
  if (seats > HOME_SIZE / 2) counts.majority++
}

/** An attacker with a tenth of all stake splits it over more and more nodes. */
function sybilLines({ sybilShards }: Sizes): readonly Line[] {
  const honest = 1_000
  return [1, 10, 100, 1_000].map((identities) => {
    const chance = randomFrom(identities)
    const weight = Math.floor((honest * 100) / 9 / identities)
    const field = joined(
      contendersFrom(honest, () => 100, chance),
      contendersFrom(identities, () => weight, chance),
    )
    let seats = 0
    for (let shard = 0; shard < sybilShards; shard++) seats += seatsBeyond(honest, field, keyFrom(chance))
    const share = seats / (sybilShards * HOME_SIZE)
    return bounded(`a tenth of the stake in ${identities} nodes: share of seats`, share, { most: 0.11 }, percent)
  })
}

/** Load, movement on join and leave, and rotation, on whole shard tables. */
function tableLines({ nodes, shards, changes }: Sizes): readonly Line[] {
  const members = Array.from({ length: nodes + changes }, (_, n) => memberNumber(n))
  const before = viewOfMembers(EPOCH, members.slice(0, nodes), shards)
  const table = built(before)
  const loads = loadsOf(table)
  const [joins, leaves] = movements(table, members, changes)
  const next = carried(table, viewOfMembers(EPOCH + 1, members.slice(0, nodes), shards))
  const rotated = movedShards(table, next) / shards
  const where = `${nodes.toLocaleString('en')} nodes, ${shards.toLocaleString('en')} shards`
  return [
    bounded(`load ÷ ideal, p99, ${where}`, quantile(loads, 0.99), { most: 1.5 }, ratio),
    {
      name: `load ÷ ideal, p1 / p50 / max, ${where}`,
      found: [0.01, 0.5, 1].map((q) => ratio(quantile(loads, q))).join(' / '),
    },
    bounded(`seats moved ÷ ideal when a node joins, ${where}`, joins, { most: 1.2 }, ratio),
    bounded(`seats moved ÷ ideal when a node leaves, ${where}`, leaves, { most: 1.2 }, ratio),
    bounded(`shards that move in an epoch × R, ${where}`, rotated * ROTATION, { least: 0.95, most: 1.05 }, ratio),
  ]
}

/** Seats that changed hands over the seats that those who came or went have by their weight, over several changes. */
function movements(table: ShardTable, members: readonly Member[], changes: number): readonly [number, number] {
  const { view } = table
  const nodes = view.anchors.length
  const sums = { joined: 0, left: 0, idealJoined: 0, idealLeft: 0 }
  for (let change = 0; change < changes; change++) {
    const present = members.slice(0, nodes)
    const comes = [...present, members[nodes + change]!]
    const stays = present.filter((_, n) => n !== change * Math.floor(nodes / changes))
    const { shardCount } = view.parameters
    sums.joined += movedSeats(table, carried(table, viewOfMembers(EPOCH, comes, shardCount)))
    sums.left += movedSeats(table, carried(table, viewOfMembers(EPOCH, stays, shardCount)))
    const seats = shardCount * HOME_SIZE
    sums.idealJoined += (seats * weightOfMember(members[nodes + change]!)) / totalWeight(comes)
    sums.idealLeft += seats * (1 - totalWeight(stays) / totalWeight(present))
  }
  return [sums.joined / sums.idealJoined, sums.left / sums.idealLeft]
}

/** P(more than f of m home anchors are an attacker's) by its share of stake: binomial, exact. */
function captureTable(): readonly Line[] {
  const shares = [0.05, 0.1, 0.2, 0.3]
  return [4, 7, 13, 21, 31].map((m) => ({
    name: `P(more than f = ${faultsTolerated(m)} of m = ${m}) at 5 / 10 / 20 / 30 % of stake`,
    found: shares.map((share) => captureProbability(m, share).toExponential(1)).join(' / '),
  }))
}

/** The drawn homes are captured as often as the binomial says, within four standard deviations. */
function capturedAsExpected({ captureDraws }: Sizes): Line {
  const [share, honest, attackers] = [0.2, 800, 200]
  const chance = randomFrom(7)
  const field = contendersFrom(honest + attackers, () => 100, chance)
  let captured = 0
  for (let draw = 0; draw < captureDraws; draw++) {
    if (seatsBeyond(honest, field, keyFrom(chance)) > faultsTolerated(HOME_SIZE)) captured++
  }
  const expected = captureProbability(HOME_SIZE, share)
  const deviations =
    Math.abs(captured / captureDraws - expected) / Math.sqrt((expected * (1 - expected)) / captureDraws)
  const name = `m = 7 captured at 20 % of stake: ${percent(captured / captureDraws)}, by the binomial ${percent(expected)}`
  return bounded(name, deviations, { most: 4 }, (value) => `${ratio(value)} σ`)
}

export function captureProbability(m: number, share: number): number {
  let probability = 0
  for (let k = faultsTolerated(m) + 1; k <= m; k++) probability += choose(m, k) * share ** k * (1 - share) ** (m - k)
  return probability
}

function choose(n: number, k: number): number {
  let ways = 1
  for (let i = 1; i <= k; i++) ways = (ways * (n - k + i)) / i
  return ways
}

/** How many of the seats under a key go to contenders from `start` on. */
function seatsBeyond(start: number, field: Contenders, key: SaltKey): number {
  const seats = new Uint32Array(HOME_SIZE)
  rankInto(seats, field, key)
  return seats.filter((seat) => seat >= start).length
}

function viewOfMembers(epoch: number, members: readonly Member[], shardCount: number): DirectoryView {
  const parameters = { ...NETWORK_DIRECTORY, shardCount, homeSize: HOME_SIZE }
  return viewOf({ epoch: BigInt(epoch), members }, { beacons: BEACONS, parameters }, keccak)
}

const BEACONS: Beacons = new Map(
  Array.from({ length: EPOCH + 1 }, (_, i): [bigint, Bytes32] => [BigInt(i + 1), keccakText(keccak, `beacon ${i}`)]),
)

function built(view: DirectoryView): ShardTable {
  const table = emptyTable(view)
  buildShards(table, { from: 0, to: view.parameters.shardCount }, keccak)
  return table
}

function carried(table: ShardTable, view: DirectoryView): ShardTable {
  const change = changeOf(table, view)
  carryShards(change, { from: 0, to: view.parameters.shardCount }, keccak)
  return change.after
}

/** Seats of each node over what its weight would give it. */
function loadsOf({ view, seats }: ShardTable): readonly number[] {
  const counts = new Float64Array(view.anchors.length)
  for (const seat of seats) counts[seat]!++
  const { weights } = view.contenders
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return Array.from(counts, (count, n) => count / ((seats.length * weights[n]!) / total))
}

/** Seats whose holder had none in that home before. */
function movedSeats(before: ShardTable, after: ShardTable): number {
  let moved = 0
  for (let at = 0; at < after.seats.length; at += HOME_SIZE) {
    const had = new Set(nodesOf(before, at))
    moved += nodesOf(after, at).filter((node) => !had.has(node)).length
  }
  return moved
}

function movedShards(before: ShardTable, after: ShardTable): number {
  let moved = 0
  for (let at = 0; at < after.seats.length; at += HOME_SIZE) {
    if (nodesOf(before, at).join() !== nodesOf(after, at).join()) moved++
  }
  return moved
}

function nodesOf({ view, seats }: ShardTable, at: number): readonly string[] {
  return Array.from(seats.subarray(at, at + HOME_SIZE), (seat) => view.anchors[seat]!.node)
}

/** Node number `n`; most are light, some weigh up to ten times as much. */
function memberNumber(n: number): Member {
  const digest = keccak(uintWord(BigInt(n)))
  const weight = Math.floor(100 + 900 * (digest[0]! / 256) ** 3)
  return {
    node: toHex(digest.subarray(12)),
    role: 'anchor',
    transportKey: ZERO_32,
    overlay: '',
    api: '',
    operator: ZERO_32,
    platform: ZERO_32,
    stake: BigInt(weight) * WEIGHT.unit,
  }
}

function weightOfMember({ stake }: Member): number {
  return weightOf(stake, WEIGHT)
}

function totalWeight(members: readonly Member[]): number {
  return members.reduce((sum, member) => sum + weightOfMember(member), 0)
}

function contendersFrom(count: number, weight: (n: number) => number, chance: () => number): Contenders {
  const digests = Int32Array.from({ length: DIGEST_WORDS * count }, chance)
  return { digests, weights: Uint32Array.from({ length: count }, (_, n) => weight(n)) }
}

function joined(a: Contenders, b: Contenders): Contenders {
  return {
    digests: Int32Array.from([...a.digests, ...b.digests]),
    weights: Uint32Array.from([...a.weights, ...b.weights]),
  }
}

function pick({ digests, weights }: Contenders, places: Uint32Array): Contenders {
  return {
    digests: Int32Array.from(
      [...places].flatMap((n) => [...digests.subarray(DIGEST_WORDS * n, DIGEST_WORDS * (n + 1))]),
    ),
    weights: places.map((n) => weights[n]!),
  }
}

function keyFrom(chance: () => number): SaltKey {
  return { k0: chance(), k1: chance() }
}

/** 32-bit numbers that a seed decides (splitmix32). */
function randomFrom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) | 0
  }
}

function bounded(
  name: string,
  value: number,
  { least, most }: { least?: number; most: number },
  text: (value: number) => string,
): Line {
  const bound = least === undefined ? `≤ ${most}` : `${least} … ${most}`
  return { name, found: text(value), bound, ok: value <= most && (least === undefined || value >= least) }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

function ratio(value: number): string {
  return value.toFixed(2)
}
