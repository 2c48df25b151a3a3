/** Which home set stands for a subject (a token or a stream) now, stood before, and stood in a given home epoch. */
import type { Bytes32 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { type Home, homeUnder } from './home.ts'
import type { Membership } from './membership.ts'
import { lastDrawOf, NO_SALT, shardOf } from './shard.ts'

/** A home set with the epoch since which it has stood unchanged: the epoch that its terms and receipts name. */
export type HomeSet = Home & { readonly epoch: bigint }

export type Homes = {
  readonly membership: Membership
  shardOf(subject: Bytes32): number
  /** The set in force for a subject. */
  of(subject: Bytes32): HomeSet
  /** The set that stood for a subject in a home epoch; undefined where this view does not reach. */
  at(subject: Bytes32, epoch: bigint): HomeSet | undefined
  /** The sets of a shard one before the other, the one in force first, as far as this view reaches; there is always one. */
  history(shard: number): readonly [HomeSet, ...HomeSet[]]
}

/**
 * Homes by the memberships of consecutive epochs, of which the last is in force. A set stands from the epoch that drew it anew, or
 * in which its anchors or their order changed, until either happens again.
 */
export function homesOver(memberships: readonly Membership[], keccak: Hasher): Homes {
  const last = memberships.length - 1
  const membership = memberships[last]!
  const { shardCount, rotation } = membership.directory
  const standing = new Map<string, { readonly set: HomeSet; readonly start: number }>()
  const histories = new Map<number, readonly [HomeSet, ...HomeSet[]]>()

  const startOf = (shard: number, index: number): number => {
    if (index === 0 || isDrawn(shard, memberships[index]!.epoch, rotation)) return index
    const [now, before] = [index, index - 1].map((i) => homeUnder(shard, memberships[i]!, keccak).anchors.join())
    return now === before ? startOf(shard, index - 1) : index
  }
  const setAt = (shard: number, index: number) => {
    const key = `${shard}/${index}`
    const known = standing.get(key)
    if (known) return known
    const start = startOf(shard, index)
    const made = {
      set: { ...homeUnder(shard, memberships[index]!, keccak), epoch: memberships[start]!.epoch },
      start,
    }
    standing.set(key, made)
    return made
  }
  const shardFor = (subject: Bytes32) => shardOf(subject, NO_SALT, shardCount, keccak)

  return {
    membership,
    shardOf: shardFor,
    of: (subject) => setAt(shardFor(subject), last).set,
    at: (subject, epoch) => {
      const index = memberships.findIndex((known) => known.epoch === epoch)
      const found = index >= 0 ? setAt(shardFor(subject), index).set : undefined
      return found?.epoch === epoch ? found : undefined
    },
    history: (shard) => {
      const known = histories.get(shard)
      if (known) return known
      const sets: HomeSet[] = []
      for (let index = last; index >= 0; ) {
        const { set, start } = setAt(shard, index)
        sets.push(set)
        index = start - 1
      }
      const made = sets as [HomeSet, ...HomeSet[]]
      histories.set(shard, made)
      return made
    },
  }
}

function isDrawn(shard: number, epoch: bigint, rotation: number): boolean {
  return lastDrawOf(shard, epoch, rotation) === epoch
}
