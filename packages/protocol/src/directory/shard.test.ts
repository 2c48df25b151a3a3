import fc from 'fast-check'
import { encodePacked, keccak256 } from 'viem'
import { expect, it } from 'vitest'
import { nobleCrypto } from '../primitives/crypto.ts'
import { beaconOf, lastDrawOf, saltOfShard, shardOf, typeSaltOf } from './shard.ts'
import { beaconsUpTo, idNumber } from './testing.ts'

const { keccak } = nobleCrypto
const R = 30

function packed(tag: string, a: `0x${string}`, b: `0x${string}`) {
  return keccak256(encodePacked(['string', 'bytes32', 'bytes32'], [tag, a, b]))
}

it('hashes shards, type salts, beacons and salts as a contract does', () => {
  const [token, salt] = [idNumber(1), idNumber(2)]
  const number = BigInt(packed('smartlayer/shard/1', salt, token)) >> 224n
  expect(shardOf(token, salt, 1_000, keccak)).toBe(Number(number % 1_000n))
  expect(typeSaltOf(token, salt, keccak)).toBe(packed('smartlayer/type/1', salt, token))
  expect(beaconOf(7n, salt, keccak)).toBe(packed('smartlayer/beacon/1', salt, `0x${'7'.padStart(64, '0')}`))
  expect(saltOfShard(5, { epoch: 9n, beacons: new Map([[5n, salt]]), rotation: R }, keccak)).toBe(
    packed('smartlayer/salt/1', salt, `0x${'5'.padStart(64, '0')}`),
  )
})

it('spreads the tokens of one type over all shards', () => {
  const shards = Array.from({ length: 4_000 }, (_, n) => shardOf(idNumber(n), idNumber(-1), 16, keccak))
  const counts = Array.from({ length: 16 }, (_, shard) => shards.filter((s) => s === shard).length)
  // 250 expected in each; five standard deviations are 77.
  for (const count of counts) expect(Math.abs(count - 250)).toBeLessThan(77)
})

it('puts the same tokens elsewhere under another salt: who registers a type cannot aim', () => {
  const same = Array.from({ length: 1_000 }, (_, n) => n).filter(
    (n) => shardOf(idNumber(n), idNumber(-1), 256, keccak) === shardOf(idNumber(n), idNumber(-2), 256, keccak),
  )
  expect(same.length).toBeLessThan(20)
})

it('draws a shard anew exactly when its turn comes, once in R epochs, and not before its first turn', () => {
  fc.assert(
    fc.property(fc.nat(100_000), fc.integer({ min: 1, max: 5_000 }), (shard, epoch) => {
      const drawn = Number(lastDrawOf(shard, BigInt(epoch), R))
      if (drawn !== 1) expect(drawn % R).toBe(shard % R)
      expect(drawn).toBeGreaterThan(epoch - R)
      expect(drawn).toBeLessThanOrEqual(epoch)
      const isTurn = epoch % R === shard % R
      const before = epoch === 1 ? 1 : Number(lastDrawOf(shard, BigInt(epoch - 1), R))
      expect(drawn).toBe(isTurn ? epoch : before)
    }),
  )
})

it('redraws one shard in R in every epoch', () => {
  for (const epoch of [2n, 31n, 500n]) {
    const drawn = Array.from({ length: 3_000 }, (_, shard) => lastDrawOf(shard, epoch, R)).filter((e) => e === epoch)
    expect(drawn.length).toBe(100)
  }
})

it('says which beacon is missing', () => {
  const beacons = new Map([...beaconsUpTo(40)].filter(([epoch]) => epoch !== 33n))
  expect(() => saltOfShard(3, { epoch: 40n, beacons, rotation: R }, keccak)).toThrow(
    expect.objectContaining({ code: 'directory.beacon_unknown', facts: { epoch: 33n } }),
  )
})
