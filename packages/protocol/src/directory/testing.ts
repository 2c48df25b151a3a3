/** For tests of the directory: members, beacons and views that a number decides. */
import { type Bytes32, toHex, uintWord, ZERO_32 } from '../primitives/bytes.ts'
import { keccakText, nobleCrypto } from '../primitives/crypto.ts'
import { type DirectoryView, viewOf } from './home.ts'
import type { Member, Membership, Role } from './membership.ts'
import { type DirectoryParameters, LOCAL_DIRECTORY } from './parameters.ts'
import type { Beacons } from './shard.ts'

const { keccak } = nobleCrypto
const UNIT = LOCAL_DIRECTORY.weight.unit

/** Node number `n`, with a stake of so many units of weight. */
export function memberNumber(n: number, weight = 10, role: Role = 'anchor'): Member {
  const node = toHex(keccak(uintWord(BigInt(n))).subarray(12))
  return {
    node,
    role,
    transportKey: ZERO_32,
    overlay: '',
    api: '',
    operator: ZERO_32,
    platform: ZERO_32,
    stake: BigInt(weight) * UNIT,
  }
}

export function membersUpTo(count: number, role: Role = 'anchor'): readonly Member[] {
  return Array.from({ length: count }, (_, n) => memberNumber(n, 10 + (n % 7), role))
}

/** Beacons of epochs 1 to `last`. */
export function beaconsUpTo(last: number): Beacons {
  return new Map(Array.from({ length: last }, (_, i) => [BigInt(i + 1), idNumber(i + 1)]))
}

export function idNumber(n: number): Bytes32 {
  return keccakText(keccak, `number ${n}`)
}

export function viewAt(
  epoch: number,
  members: readonly Member[],
  parameters: Partial<DirectoryParameters> = {},
): DirectoryView {
  const all = { ...LOCAL_DIRECTORY, ...parameters }
  return viewOf({ epoch: BigInt(epoch), members }, { beacons: beaconsUpTo(epoch), parameters: all }, keccak)
}

/** The same as a network shows it; beacons are those of `beaconsUpTo`. */
export function membershipAt(
  epoch: number,
  members: readonly Member[],
  parameters: Partial<DirectoryParameters> = {},
): Membership {
  const directory = { ...LOCAL_DIRECTORY, ...parameters }
  const earlierBeacons = Array.from({ length: Math.min(epoch, directory.rotation) - 1 }, (_, i) =>
    idNumber(epoch - 1 - i),
  )
  return { epoch: BigInt(epoch), members, beacon: idNumber(epoch), earlierBeacons, directory }
}
