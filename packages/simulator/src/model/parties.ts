/** Who takes part in the model: home sets of four anchors, one liar in each; a signature is the name of its signer. */
import {
  type Address,
  type Bytes32,
  type Door,
  domainOf,
  epochOfTerm,
  FIRST_EPOCH,
  firstTermOf,
  type Home,
  nobleCrypto,
  quorumOf,
} from '@smartlayer/protocol'

/** Honest anchors of a home set. The fourth lies: every signature of its key exists, over anything, from the start. */
export const HONEST = 3
/** Bound of the difference of two honest clocks. An honest clock shows the true time or one tick more, anew at each reading. */
export const EPSILON = 1
/** The true time at any moment: all other times are kept as their distance from it. */
export const NOW = 1_000n

export const INSTANCE: Bytes32 = `0x${'1'.repeat(64)}`

/** Whoever sits in two sets has a name in each: names count only among those of one set. */
export const HOMES: readonly Home[] = [homeOfSet(0), homeOfSet(1), homeOfSet(2)]

/** Synthetic signatures for the production checks of certificates and commits. */
export const DOOR: Door = {
  domain: domainOf(
    { name: 'Model', version: '1', chainId: 1n, verifyingContract: `0x${'0'.repeat(40)}` },
    nobleCrypto.keccak,
  ),
  crypto: { keccak: nobleCrypto.keccak, recover: (_, signature) => signature },
}

/** The home epoch of a set; sets are counted from zero. */
export function epochOfSet(set: number): bigint {
  return FIRST_EPOCH + BigInt(set)
}

/** The set of home anchors that a term belongs to. */
export function setOf(term: bigint): number {
  return Number(epochOfTerm(term) - FIRST_EPOCH)
}

export function homeOfTerm(term: bigint): Home {
  return HOMES[setOf(term)]!
}

export function termIn(set: number, counter: bigint): bigint {
  return firstTermOf(epochOfSet(set)) + counter
}

/** The address of an anchor; the liar is the last one of its set. */
export function anchorAddress(set: number, index: number): Address {
  return HOMES[set]!.anchors[index]!
}

/** Signatures of `count` honest anchors of a set, and the liar's. */
export function signaturesOf(set: number, count: number): readonly Address[] {
  return [...HOMES[set]!.anchors.slice(0, count), anchorAddress(set, HONEST)]
}

/** Every term of the model has a service node of its own: whoever may be executor twice can do no more. */
export function nodeAddress(index: number): Address {
  return `0x${'e'.repeat(38)}${String(index).padStart(2, '0')}`
}

/** Names that stand for hashes of placements: their times change with the passing of time, their names do not. */
export function nameHash(name: string): Bytes32 {
  const bytes = [...name].map((letter) => letter.charCodeAt(0).toString(16).padStart(2, '0')).join('')
  return `0x${bytes.padEnd(64, '0')}`
}

function homeOfSet(set: number): Home {
  const anchors = Array.from({ length: HONEST + 1 }, (_, i): Address => `0x${'a'.repeat(36)}00${set}${i}`)
  return { anchors, quorum: quorumOf(anchors.length) }
}
