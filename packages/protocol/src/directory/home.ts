/** Home anchors: the anchors that hold a subject's records and vote on it, in the order in which they propose. */
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { anchorsOf, type Membership, quorumOf } from './membership.ts'
import { rendezvousOrder, saltOf } from './rendezvous.ts'

/** Most home anchors of one subject: larger sets are chosen by value at risk (docs/spec/election.md). */
const HOME_LIMIT = 31

export type Home = {
  /** Home anchors in rendezvous order of the subject. */
  readonly anchors: readonly Address[]
  /** 2f + 1 of them. */
  readonly quorum: number
}

/** The home anchors of a token, a stream or an instance under this membership; all anchors while there are few. */
export function homeOf(subject: Bytes32, membership: Membership, keccak: Hasher, size = HOME_LIMIT): Home {
  const salt = saltOf('home', membership.beacon, subject, keccak)
  const anchors = rendezvousOrder(anchorsOf(membership), salt, keccak).slice(0, size)
  return { anchors: anchors.map((anchor) => anchor.node), quorum: quorumOf(anchors.length) }
}

/** Each term has one proposer, by rank: the home anchors take turns. */
export function proposerOf(home: Home, term: bigint): Address {
  return home.anchors[Number(term % BigInt(home.anchors.length))]!
}
