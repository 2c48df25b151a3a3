/** Stake-weighted rendezvous: whom a salt puts first, bit for bit equal on every machine and on chain. */
import { type Address, type Bytes32, concat, fromHex, toHex, utf8 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { halfSipHash, littleEndianWords, MESSAGE_WORDS } from '../primitives/half-sip-hash.ts'
import type { Member } from './membership.ts'
import { STAKE_WEIGHT, type WeightRule } from './parameters.ts'

/** A ticket is at most 2^31, so that its product with a weight stays an exact integer below 2^53. */
export const WEIGHT_LIMIT = 2 ** 22 - 1

const FRACTION_BITS = 26
const ONE = 2 ** FRACTION_BITS
const TABLE_BITS = 12
const TABLE_SIZE = 2 ** TABLE_BITS
/** Bits of a normalised draw below those that choose the table's entry. */
const REST_BITS = 31 - TABLE_BITS
const REST = 2 ** REST_BITS
const MANTISSA_ONE = 2 ** 31

/** log2(1 + i / 4096) in Q26, one entry more than there are steps. */
const LOG2_TABLE = Float64Array.from({ length: TABLE_SIZE + 1 }, (_, i) => log2OfStep(i))

/** Who is scored, in flat arrays: eight words of key digest and one weight each. Ties go to the lower index. */
export type Contenders = { readonly digests: Int32Array; readonly weights: Uint32Array }

/** The 64 bits of a salt that key the draws. */
export type SaltKey = { readonly k0: number; readonly k1: number }

/** Members ready to be scored. They are sorted by address, so that a tie goes to the lower address. */
export function contendersOf(members: readonly Member[], rule: WeightRule, keccak: Hasher): Contenders {
  const digests = new Int32Array(MESSAGE_WORDS * members.length)
  for (const [i, { node }] of members.entries()) digests.set(keyDigestOf(node, keccak), MESSAGE_WORDS * i)
  return { digests, weights: Uint32Array.from(members, ({ stake }) => weightOf(stake, rule)) }
}

export function byAddress(members: readonly Member[]): readonly Member[] {
  return members.toSorted((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0))
}

/** Members in rendezvous order under a salt, best first. */
export function rendezvousOrder(
  members: readonly Member[],
  salt: Bytes32,
  keccak: Hasher,
  rule: WeightRule = STAKE_WEIGHT,
): readonly Member[] {
  const sorted = byAddress(members)
  const order = new Uint32Array(sorted.length)
  rankInto(order, contendersOf(sorted, rule, keccak), saltKeyOf(salt))
  return Array.from(order, (index) => sorted[index]!)
}

/** Fills `seats` with the indexes of the best contenders, best first. There are at least as many contenders as seats. */
export function rankInto(seats: Uint32Array, contenders: Contenders, { k0, k1 }: SaltKey): void {
  const { digests, weights } = contenders
  const tickets = new Float64Array(seats.length)
  const last = seats.length - 1
  for (let index = 0; index < weights.length; index++) {
    const ticket = ticketOf(halfSipHash(k0, k1, digests, MESSAGE_WORDS * index))
    if (index > last && tickets[last]! * weights[index]! <= ticket * weights[seats[last]!]!) continue
    let at = Math.min(index, last)
    for (; at > 0; at--) {
      const holder = seats[at - 1]!
      if (tickets[at - 1]! * weights[index]! <= ticket * weights[holder]!) break
      seats[at] = holder
      tickets[at] = tickets[at - 1]!
    }
    seats[at] = index
    tickets[at] = ticket
  }
}

/** True when contender `a` comes before contender `b`: the smaller ticket / weight wins, compared by products. */
export function precedes({ digests, weights }: Contenders, a: number, b: number, { k0, k1 }: SaltKey): boolean {
  const left = ticketOf(halfSipHash(k0, k1, digests, MESSAGE_WORDS * a)) * weights[b]!
  const right = ticketOf(halfSipHash(k0, k1, digests, MESSAGE_WORDS * b)) * weights[a]!
  return left === right ? a < b : left < right
}

/** −log2(draw / 2^32) in Q26: from 1 for the highest draw to 2^31 for the lowest. The table's steps are joined by straight lines. */
export function ticketOf(draw: number): number {
  const positive = draw === 0 ? 1 : draw
  const zeros = Math.clz32(positive)
  const normal = (positive << zeros) >>> 0
  const step = (normal >>> REST_BITS) & (TABLE_SIZE - 1)
  const low = LOG2_TABLE[step]!
  const rise = LOG2_TABLE[step + 1]! - low
  return (zeros + 1) * ONE - low - Math.floor((rise * (normal & (REST - 1))) / REST)
}

/** The ticket of one node under a salt. */
export function ticketUnder(salt: Bytes32, node: Address, keccak: Hasher): number {
  const { k0, k1 } = saltKeyOf(salt)
  return ticketOf(halfSipHash(k0, k1, keyDigestOf(node, keccak), 0))
}

/** What a stake weighs: at least 1, at most the cap. */
export function weightOf(stake: bigint, { unit, cap }: WeightRule): number {
  const units = stake / unit
  return units < 1n ? 1 : units > BigInt(cap) ? cap : Number(units)
}

/** What is drawn over: the words of the keccak of a node's address. */
function keyDigestOf(node: Address, keccak: Hasher): Int32Array {
  return littleEndianWords(keccak(fromHex(node)))
}

/** The salt of one purpose: what is drawn for one can say nothing about another. */
export function saltOf(purpose: string, randomness: Bytes32, subject: Bytes32, keccak: Hasher): Bytes32 {
  return toHex(keccak(concat(utf8(`smartlayer/${purpose}/1`), fromHex(randomness), fromHex(subject))))
}

export function saltKeyOf(salt: Bytes32): SaltKey {
  const [k0, k1] = littleEndianWords(fromHex(salt)) as unknown as [number, number]
  return { k0, k1 }
}

/** Squaring a mantissa in Q31 bit by bit; integers alone, so that a contract gets the same entry. */
function log2OfStep(step: number): number {
  if (step === TABLE_SIZE) return ONE
  let mantissa = MANTISSA_ONE + step * REST
  let fraction = 0
  for (let bit = 0; bit < FRACTION_BITS; bit++) {
    mantissa = squareQ31(mantissa)
    fraction *= 2
    if (mantissa < 2 * MANTISSA_ONE) continue
    mantissa = Math.floor(mantissa / 2)
    fraction += 1
  }
  return fraction
}

/** floor(x² / 2^31) for x < 2^32, in halves whose products are exact. */
function squareQ31(x: number): number {
  const high = Math.floor(x / 65_536)
  const low = x % 65_536
  return 2 * high * high + Math.floor((high * low * 131_072 + low * low) / MANTISSA_ONE)
}
