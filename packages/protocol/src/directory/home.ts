/** Home anchors: the anchors that hold a shard's records and vote on them, in the order in which they propose. */
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { type Member, type Membership, quorumOf } from './membership.ts'
import type { DirectoryParameters } from './parameters.ts'
import { byAddress, type Contenders, contendersOf, rankInto, type SaltKey, saltKeyOf } from './rendezvous.ts'
import { type Beacons, NO_SALT, saltOfShard, shardOf } from './shard.ts'

/** Homes and shards remembered per membership; beyond it they are computed again. */
const REMEMBERED_LIMIT = 10_000

export type Home = {
  /** Home anchors in rendezvous order. */
  readonly anchors: readonly Address[]
  /** 2f + 1 of them. */
  readonly quorum: number
}

/** All that the homes of an epoch follow from. */
export type DirectoryView = {
  readonly epoch: bigint
  readonly beacons: Beacons
  readonly parameters: DirectoryParameters
  /** Sorted by address; `contenders` has the same order. */
  readonly anchors: readonly Member[]
  readonly contenders: Contenders
}

export function viewOf(
  { epoch, members }: Pick<Membership, 'epoch' | 'members'>,
  { beacons, parameters }: { beacons: Beacons; parameters: DirectoryParameters },
  keccak: Hasher,
): DirectoryView {
  const anchors = byAddress(members.filter(({ role }) => role === 'anchor'))
  return { epoch, beacons, parameters, anchors, contenders: contendersOf(anchors, parameters.weight, keccak) }
}

/** The home of a shard in the epoch of the view. Throws `directory.beacon_unknown`. */
export function homeOfShard(shard: number, view: DirectoryView, keccak: Hasher): Home {
  const seats = new Uint32Array(seatsOf(view))
  rankInto(seats, view.contenders, shardKeyOf(shard, view, keccak))
  return homeFrom(seats, view.anchors)
}

/** How many anchors a home of this view has: all of them while there are fewer than wanted. */
export function seatsOf({ anchors, parameters }: DirectoryView): number {
  return Math.min(parameters.homeSize, anchors.length)
}

export function shardKeyOf(shard: number, view: DirectoryView, keccak: Hasher): SaltKey {
  const { epoch, beacons, parameters } = view
  return saltKeyOf(saltOfShard(shard, { epoch, beacons, rotation: parameters.rotation }, keccak))
}

export function homeFrom(seats: Uint32Array, anchors: readonly Member[]): Home {
  const nodes: Address[] = []
  for (let rank = 0; rank < seats.length; rank++) nodes.push(anchors[seats[rank]!]!.node)
  return { anchors: nodes, quorum: quorumOf(nodes.length) }
}

/** The home anchors of a subject (a token or a stream) under this membership. */
export function homeOf(subject: Bytes32, membership: Membership, keccak: Hasher): Home {
  const { shards } = memoryOf(membership, keccak)
  const shard = shards.get(subject) ?? shardOf(subject, NO_SALT, membership.directory.shardCount, keccak)
  if (shards.size < REMEMBERED_LIMIT) shards.set(subject, shard)
  return homeUnder(shard, membership, keccak)
}

/** The home anchors of a shard under this membership. */
export function homeUnder(shard: number, membership: Membership, keccak: Hasher): Home {
  const { homes, view } = memoryOf(membership, keccak)
  const home = homes.get(shard) ?? homeOfShard(shard, view, keccak)
  if (homes.size < REMEMBERED_LIMIT) homes.set(shard, home)
  return home
}

type Memory = {
  readonly view: DirectoryView
  readonly shards: Map<Bytes32, number>
  readonly homes: Map<number, Home>
}

/** What was computed for a membership: every message of an instance asks for the same home. */
const remembered = new WeakMap<Membership, Memory>()

function memoryOf(membership: Membership, keccak: Hasher): Memory {
  const known = remembered.get(membership)
  if (known) return known
  const { epoch, beacon, earlierBeacons, directory: parameters } = membership
  const beacons = new Map([beacon, ...earlierBeacons].map((each, age) => [epoch - BigInt(age), each]))
  const view = viewOf(membership, { beacons, parameters }, keccak)
  const memory = { view, shards: new Map<Bytes32, number>(), homes: new Map<number, Home>() }
  remembered.set(membership, memory)
  return memory
}

/** Each term has one proposer, by rank: the home anchors take turns. */
export function proposerOf(home: Home, term: bigint): Address {
  return home.anchors[Number(term % BigInt(home.anchors.length))]!
}
