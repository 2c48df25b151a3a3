/** Home anchors: the anchors that hold a shard's records and vote on them, in the order in which they propose. */
import { SmartLayerError } from '../errors/smart-layer-error.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { anchorsOf, type Member, type Membership, quorumOf } from './membership.ts'
import { type DirectoryParameters, HOME_LIMIT, STAKE_WEIGHT } from './parameters.ts'
import { byAddress, type Contenders, contendersOf, rankInto, type SaltKey, saltKeyOf, saltOf } from './rendezvous.ts'
import { type Beacons, lastDrawOf, saltOfShard } from './shard.ts'

/** Homes remembered per membership; beyond it they are computed again. */
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

/**
 * The epoch that terms of this home name: the first since which the shard has had the same anchors in the same order, but not
 * before its last draw. `views` holds one view of each epoch, in order; the newest counts, and the older ones back to the last
 * draw must be there. Throws `directory.view_missing`.
 */
export function homeEpochOf(shard: number, views: readonly DirectoryView[], keccak: Hasher): bigint {
  const newest = views.at(-1)
  if (!newest) throw SmartLayerError.of('directory.view_missing', { epoch: 1n })
  const drawn = lastDrawOf(shard, newest.epoch, newest.parameters.rotation)
  const home = homeOfShard(shard, newest, keccak)
  let since = newest
  while (since.epoch > drawn) {
    const before = views.at(Number(since.epoch - newest.epoch) - 2)
    if (before?.epoch !== since.epoch - 1n) {
      throw SmartLayerError.of('directory.view_missing', { epoch: since.epoch - 1n })
    }
    if (before.contenders !== since.contenders && !isSame(homeOfShard(shard, before, keccak), home)) break
    since = before
  }
  return since.epoch
}

function isSame(a: Home, b: Home): boolean {
  return a.anchors.length === b.anchors.length && a.anchors.every((anchor, i) => anchor === b.anchors[i])
}

/** The home anchors of a token, a stream or an instance under this membership; all anchors while there are few. */
export function homeOf(subject: Bytes32, membership: Membership, keccak: Hasher, size = HOME_LIMIT): Home {
  const known = homesOf(membership, keccak)
  const key = `${subject}/${size}`
  const home = known.homes.get(key) ?? computeHome(subject, membership.beacon, known, { keccak, size })
  if (known.homes.size < REMEMBERED_LIMIT) known.homes.set(key, home)
  return home
}

type Known = {
  readonly anchors: readonly Member[]
  readonly contenders: Contenders
  readonly homes: Map<string, Home>
}

/** Homes that were computed for a membership: every message of an instance asks for the same one. */
const remembered = new WeakMap<Membership, Known>()

function homesOf(membership: Membership, keccak: Hasher): Known {
  const before = remembered.get(membership)
  if (before) return before
  const anchors = byAddress(anchorsOf(membership))
  const known = { anchors, contenders: contendersOf(anchors, STAKE_WEIGHT, keccak), homes: new Map<string, Home>() }
  remembered.set(membership, known)
  return known
}

function computeHome(
  subject: Bytes32,
  beacon: Bytes32,
  { anchors, contenders }: Known,
  { keccak, size }: { keccak: Hasher; size: number },
): Home {
  const seats = new Uint32Array(Math.min(size, anchors.length))
  rankInto(seats, contenders, saltKeyOf(saltOf('home', beacon, subject, keccak)))
  return homeFrom(seats, anchors)
}

/** Each term has one proposer, by rank: the home anchors take turns. */
export function proposerOf(home: Home, term: bigint): Address {
  return home.anchors[Number(term % BigInt(home.anchors.length))]!
}
