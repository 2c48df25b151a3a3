/** Shards: where the records of a token belong, and under which salt the home of a shard is drawn. */
import { SmartLayerError } from '../errors/smart-layer-error.ts'
import { type Bytes32, concat, toHex, uintWord, utf8, writeHex, ZERO_32 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { saltOf } from './rendezvous.ts'

/** Chain randomness of each epoch, drawn when its registration was over. */
export type Beacons = ReadonlyMap<bigint, Bytes32>

/** What networks use for every subject: ids can be chosen after any salt is known, so one of the type would hide nothing. */
export const NO_SALT: Bytes32 = ZERO_32

const TAG = utf8('smartlayer/shard/1')
/** Written anew by each call: hashing is synchronous, and a fresh array would cost more than the hash. */
const PREIMAGE = concat(TAG, new Uint8Array(64))

/** The shard of a token. Whoever makes ids can choose it, but not who will be its home after the next draw (docs/spec/directory.md). */
export function shardOf(token: Bytes32, typeSalt: Bytes32, shardCount: number, keccak: Hasher): number {
  writeHex(PREIMAGE, TAG.length, typeSalt)
  writeHex(PREIMAGE, TAG.length + 32, token)
  const digest = keccak(PREIMAGE)
  const number = (digest[0]! << 24) | (digest[1]! << 16) | (digest[2]! << 8) | digest[3]!
  return (number >>> 0) % shardCount
}

/** The salt of a token type, from the first finalized block after the one that registered it. */
export function typeSaltOf(tokenType: Bytes32, randomness: Bytes32, keccak: Hasher): Bytes32 {
  return saltOf('type', randomness, tokenType, keccak)
}

/** The beacon of an epoch, from the first finalized block after its registration closed (`beaconAfter`). */
export function beaconOf(epoch: bigint, randomness: Bytes32, keccak: Hasher): Bytes32 {
  return saltOf('beacon', randomness, toHex(uintWord(epoch)), keccak)
}

/** The salt under which the home of a shard is drawn in an epoch. Throws `directory.beacon_unknown`. */
export function saltOfShard(
  shard: number,
  { epoch, beacons, rotation }: { epoch: bigint; beacons: Beacons; rotation: number },
  keccak: Hasher,
): Bytes32 {
  const beacon = beaconIn(beacons, lastDrawOf(shard, epoch, rotation))
  return saltOf('salt', beacon, toHex(uintWord(BigInt(shard))), keccak)
}

/** The last epoch up to this one in which number `n` (of a shard, of a node) was drawn anew: n modulo R; before its turn the first. */
export function lastDrawOf(n: number, epoch: bigint, rotation: number): bigint {
  const since = (Number(epoch % BigInt(rotation)) - (n % rotation) + rotation) % rotation
  const draw = epoch - BigInt(since)
  return draw < 1n ? 1n : draw
}

export function beaconIn(beacons: Beacons, epoch: bigint): Bytes32 {
  const beacon = beacons.get(epoch)
  if (beacon === undefined) throw SmartLayerError.of('directory.beacon_unknown', { epoch })
  return beacon
}
