/** Who probes a service node: a few anchors by rendezvous, so that nobody chooses its judges. */
import { anchorsOf, type Membership, quorumOf } from '../directory/membership.ts'
import { rendezvousOrder, saltOf } from '../directory/rendezvous.ts'
import type { Address } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { HEALTH_LIMITS } from './parameters.ts'

export type Probers = {
  readonly anchors: readonly Address[]
  /** 2f + 1 of them: so many samples make a measure, so many signatures a penalty. */
  readonly quorum: number
}

/** Probers that were computed for a membership. */
const remembered = new WeakMap<Membership, Map<Address, Probers>>()

export function probersOf(node: Address, membership: Membership, keccak: Hasher): Probers {
  const known = remembered.get(membership) ?? new Map<Address, Probers>()
  remembered.set(membership, known)
  const probers = known.get(node) ?? computeProbers(node, membership, keccak)
  if (known.size < HEALTH_LIMITS.nodes) known.set(node, probers)
  return probers
}

function computeProbers(node: Address, membership: Membership, keccak: Hasher): Probers {
  const subject = `0x${node.slice(2).padStart(64, '0')}` as const
  const salt = saltOf('probers', membership.beacon, subject, keccak)
  const order = rendezvousOrder(anchorsOf(membership), salt, keccak).slice(0, HEALTH_LIMITS.probers)
  return { anchors: order.map((anchor) => anchor.node), quorum: quorumOf(order.length) }
}
