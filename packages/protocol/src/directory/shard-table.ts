/** The homes of all shards at a glance: built once in slices, then carried from epoch to epoch by what changed. */
import type { Hasher } from '../primitives/crypto.ts'
import { type DirectoryView, type Home, homeFrom, seatsOf, shardKeyOf } from './home.ts'
import type { Member } from './membership.ts'
import { precedes, rankInto, type SaltKey, weightOf } from './rendezvous.ts'
import { lastDrawOf } from './shard.ts'

export type ShardTable = {
  readonly view: DirectoryView
  /** Places in `view.anchors`, `seatsOf(view)` for each shard, in rank order. */
  readonly seats: Uint32Array
  /** Two words of salt key for each shard: most salts stay from one epoch to the next. */
  readonly keys: Int32Array
}

/** A table whose shards are still to be filled in, by `buildShards` or `carryShards`. */
export function emptyTable(view: DirectoryView): ShardTable {
  const { shardCount } = view.parameters
  return { view, seats: new Uint32Array(shardCount * seatsOf(view)), keys: new Int32Array(2 * shardCount) }
}

/** Fills in shards `from` to `to - 1`: a service builds slice by slice, so that it goes on answering. */
export function buildShards(table: ShardTable, { from, to }: { from: number; to: number }, keccak: Hasher): void {
  for (let shard = from; shard < to; shard++) {
    const key = shardKeyOf(shard, table.view, keccak)
    writeKey(table, shard, key)
    rankInto(rowOf(table, shard), table.view.contenders, key)
  }
}

/** The home of a shard that was filled in. */
export function homeIn(table: ShardTable, shard: number): Home {
  return homeFrom(rowOf(table, shard), table.view.anchors)
}

/** What differs between the anchors of two tables of one network. */
export type TableChange = {
  readonly before: ShardTable
  readonly after: ShardTable
  /** New place of each former anchor; -1 when it left, or weighs something else now. */
  readonly movedTo: Int32Array
  /** New places of anchors that joined or weigh something else. */
  readonly joined: readonly number[]
  /** For each turn, a shard modulo R: whether it was drawn anew since. */
  readonly redrawn: readonly boolean[]
}

/** Prepares a table of `view` that takes over from `before` what still holds; both have the same parameters. */
export function changeOf(before: ShardTable, view: DirectoryView): TableChange {
  const { weight } = view.parameters
  const places = new Map(view.anchors.map(({ node }, place) => [node, place]))
  const isKept = (former: Member, place: number | undefined): place is number =>
    place !== undefined && weightOf(view.anchors[place]!.stake, weight) === weightOf(former.stake, weight)
  const movedTo = Int32Array.from(before.view.anchors, (former) => {
    const place = places.get(former.node)
    return isKept(former, place) ? place : -1
  })
  const kept = new Set(movedTo)
  const joined = view.anchors.map((_, place) => place).filter((place) => !kept.has(place))
  return { before, after: emptyTable(view), movedTo, joined, redrawn: redrawnTurns(before.view, view) }
}

/** Fills in shards `from` to `to - 1` of the table after a change: the same as building them, at the cost of what changed. */
export function carryShards(change: TableChange, { from, to }: { from: number; to: number }, keccak: Hasher): void {
  const { after, redrawn } = change
  const { rotation } = after.view.parameters
  for (let shard = from; shard < to; shard++) {
    const isKept = !redrawn[shard % rotation] && carryRow(change, shard)
    if (!isKept) buildShards(after, { from: shard, to: shard + 1 }, keccak)
  }
}

function redrawnTurns(before: DirectoryView, after: DirectoryView): readonly boolean[] {
  const { rotation } = after.parameters
  return Array.from({ length: rotation }, (_, turn) => {
    return lastDrawOf(turn, after.epoch, rotation) !== lastDrawOf(turn, before.epoch, rotation)
  })
}

/** Takes a home over and lets who joined take seats in it. False when one of its anchors is gone: all must be asked again. */
function carryRow({ before, after, movedTo, joined }: TableChange, shard: number): boolean {
  const key = keyOf(before, shard)
  const row = rowOf(after, shard)
  let taken = 0
  for (const seat of rowOf(before, shard)) {
    const place = movedTo[seat]!
    if (place < 0) return false
    row[taken++] = place
  }
  for (const place of joined) taken = giveSeat(row, taken, place, { view: after.view, key })
  writeKey(after, shard, key)
  return true
}

/** Lets a contender in where its score belongs; the last one falls out of a full row. Returns how many seats are taken. */
function giveSeat(
  row: Uint32Array,
  taken: number,
  place: number,
  { view: { contenders }, key }: { view: DirectoryView; key: SaltKey },
): number {
  let at = taken
  while (at > 0 && precedes(contenders, place, row[at - 1]!, key)) at--
  if (at === row.length) return taken
  row.copyWithin(at + 1, at, Math.min(taken, row.length - 1))
  row[at] = place
  return Math.min(taken + 1, row.length)
}

function rowOf({ seats, view }: ShardTable, shard: number): Uint32Array {
  const width = seatsOf(view)
  return seats.subarray(shard * width, (shard + 1) * width)
}

function keyOf({ keys }: ShardTable, shard: number): SaltKey {
  return { k0: keys[2 * shard]!, k1: keys[2 * shard + 1]! }
}

function writeKey({ keys }: ShardTable, shard: number, { k0, k1 }: SaltKey): void {
  keys[2 * shard] = k0
  keys[2 * shard + 1] = k1
}
