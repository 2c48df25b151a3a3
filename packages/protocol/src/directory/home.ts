/** Home anchors: the anchors that hold a subject's records and vote on it, in the order in which they propose. */
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { anchorsOf, type Membership, quorumOf } from './membership.ts'
import { rendezvousOrder, saltOf } from './rendezvous.ts'

/** Most home anchors of one subject: larger sets are chosen by value at risk (docs/spec/election.md). */
const HOME_LIMIT = 31
/** Homes remembered per membership; beyond it they are computed again. */
const REMEMBERED_LIMIT = 10_000

export type Home = {
  /** Home anchors in rendezvous order of the subject. */
  readonly anchors: readonly Address[]
  /** 2f + 1 of them. */
  readonly quorum: number
}

/** The home anchors of a token, a stream or an instance under this membership; all anchors while there are few. */
export function homeOf(subject: Bytes32, membership: Membership, keccak: Hasher, size = HOME_LIMIT): Home {
  const known = homesOf(membership)
  const key = `${subject}/${size}`
  const home = known.get(key) ?? computeHome(subject, membership, keccak, size)
  if (!known.has(key) && known.size < REMEMBERED_LIMIT) known.set(key, home)
  return home
}

/** Homes that were computed for a membership: every message of an instance asks for the same one. */
const remembered = new WeakMap<Membership, Map<string, Home>>()

function homesOf(membership: Membership): Map<string, Home> {
  const known = remembered.get(membership) ?? new Map<string, Home>()
  remembered.set(membership, known)
  return known
}

function computeHome(subject: Bytes32, membership: Membership, keccak: Hasher, size: number): Home {
  const salt = saltOf('home', membership.beacon, subject, keccak)
  const anchors = rendezvousOrder(anchorsOf(membership), salt, keccak).slice(0, size)
  return { anchors: anchors.map((anchor) => anchor.node), quorum: quorumOf(anchors.length) }
}

/** Each term has one proposer, by rank: the home anchors take turns. */
export function proposerOf(home: Home, term: bigint): Address {
  return home.anchors[Number(term % BigInt(home.anchors.length))]!
}
