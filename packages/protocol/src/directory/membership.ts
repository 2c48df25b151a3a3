/** Membership: who takes part, as read from the registry, and how many of the anchors decide. */
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import type { DirectoryParameters } from './parameters.ts'

export type Role = 'anchor' | 'service'

/** One registered node. `overlay` is host:port for nodes, `api` the base URL for integrations. */
export type Member = {
  readonly node: Address
  readonly role: Role
  /** SHA-256 of the node's TLS public key (SPKI). */
  readonly transportKey: Bytes32
  readonly overlay: string
  readonly api: string
  readonly operator: Bytes32
  readonly platform: Bytes32
  readonly stake: bigint
}

/** The epoch with which a network begins. */
export const FIRST_EPOCH = 1n

/** The members of one epoch, sorted by address, and what draws their home sets: equal at every honest node. */
export type Membership = {
  readonly epoch: bigint
  readonly members: readonly Member[]
  /** The beacon of this epoch. */
  readonly beacon: Bytes32
  /** Those of the epochs before, the latest first, as far as homes drawn by them may still stand. */
  readonly earlierBeacons: readonly Bytes32[]
  readonly directory: DirectoryParameters
}

export function anchorsOf(membership: Membership): readonly Member[] {
  return membership.members.filter((member) => member.role === 'anchor')
}

export function serviceNodesOf(membership: Membership): readonly Member[] {
  return membership.members.filter((member) => member.role === 'service')
}

export function memberOf(membership: Membership, node: Address): Member | undefined {
  return membership.members.find((member) => member.node === node)
}

/** f of m = 3f + 1: how many of m home anchors may lie or be lost. */
export function faultsTolerated(anchorCount: number): number {
  return Math.floor((anchorCount - 1) / 3)
}

/** 2f + 1: how many home anchors decide. Any two such sets share an honest anchor. */
export function quorumOf(anchorCount: number): number {
  return anchorCount - faultsTolerated(anchorCount)
}
