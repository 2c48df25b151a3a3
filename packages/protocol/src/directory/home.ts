/** Home anchors: the anchors that hold a shard's records and vote on them, in the order in which they propose. */
import { type Address, type Bytes32, concat, fromHex, utf8 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { anchorsOf, type Membership, quorumOf } from './membership.ts'
import { rendezvousOrder, saltOf } from './rendezvous.ts'

/** Homes and shards remembered per membership; beyond it they are computed again. */
const REMEMBERED_LIMIT = 10_000

export type Home = {
  /** Home anchors in rendezvous order of the shard. */
  readonly anchors: readonly Address[]
  /** 2f + 1 of them. */
  readonly quorum: number
}

/** The home anchors of a subject (a token or a stream) under this membership. */
export function homeOf(subject: Bytes32, membership: Membership, keccak: Hasher): Home {
  const { shards } = memoryOf(membership)
  const shard = shards.get(subject) ?? shardOf(subject, membership.homes.shards, keccak)
  if (shards.size < REMEMBERED_LIMIT) shards.set(subject, shard)
  return homeOfShard(shard, membership, keccak)
}

/** The home anchors of all subjects of a shard. */
export function homeOfShard(shard: number, membership: Membership, keccak: Hasher): Home {
  const { homes } = memoryOf(membership)
  const home = homes.get(shard) ?? drawHome(shard, membership, keccak)
  if (homes.size < REMEMBERED_LIMIT) homes.set(shard, home)
  return home
}

/** A subject falls into a shard by its hash alone; what keeps a shard from being captured is that its home is drawn anew. */
export function shardOf(subject: Bytes32, shards: number, keccak: Hasher): number {
  const digest = keccak(concat(utf8('smartlayer/shard/1'), fromHex(subject)))
  return new DataView(digest.buffer, digest.byteOffset).getUint32(0) % shards
}

/** True in the epochs that draw the shard's home anew: staggered, one in R. */
export function isRedrawn(epoch: bigint, shard: number, rotation: number): boolean {
  return epoch % BigInt(rotation) === BigInt(shard % rotation)
}

/** Each term has one proposer, by rank: the home anchors take turns. */
export function proposerOf(home: Home, term: bigint): Address {
  return home.anchors[Number(term % BigInt(home.anchors.length))]!
}

type Memory = { readonly shards: Map<Bytes32, number>; readonly homes: Map<number, Home> }

/** What was computed for a membership: every message of an instance asks for the same home. */
const remembered = new WeakMap<Membership, Memory>()

function memoryOf(membership: Membership): Memory {
  const known = remembered.get(membership) ?? { shards: new Map(), homes: new Map() }
  remembered.set(membership, known)
  return known
}

function drawHome(shard: number, membership: Membership, keccak: Hasher): Home {
  const word: Bytes32 = `0x${shard.toString(16).padStart(64, '0')}`
  const salt = saltOf('home', drawingBeacon(shard, membership), word, keccak)
  const drawn = rendezvousOrder(anchorsOf(membership), salt, keccak).slice(0, membership.homes.size)
  return { anchors: drawn.map(({ node }) => node), quorum: quorumOf(drawn.length) }
}

/** The beacon of the last epoch that drew this shard anew; before its first turn, that of the first epoch. */
function drawingBeacon(shard: number, { epoch, beacon, earlierBeacons, homes }: Membership): Bytes32 {
  const beacons = [beacon, ...earlierBeacons]
  const age = beacons.findIndex((_, i) => isRedrawn(epoch - BigInt(i), shard, homes.rotation))
  return beacons.at(age)!
}
