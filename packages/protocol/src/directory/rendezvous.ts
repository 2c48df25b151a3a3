/** Weighted rendezvous: which anchors keep a token's records and in which order nodes are asked, equal on every machine. */
import { type Address, type Bytes32, concat, fromHex, toHex, utf8 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import type { Member } from './membership.ts'

const FRACTION_BITS = 26n

/** Members in rendezvous order under a salt: best first, by stake weight, ties by address. Integers only. */
export function rendezvousOrder(members: readonly Member[], salt: Bytes32, keccak: Hasher): readonly Member[] {
  const scored = members.map((member) => ({ member, ticket: ticketOf(member.node, salt, keccak) }))
  return scored.sort((a, b) => compare(a.ticket, a.member, b.ticket, b.member)).map(({ member }) => member)
}

/** The salt of one subject (a shard, an instance) under the beacon of its epoch. */
export function saltOf(purpose: string, beacon: Bytes32, subject: Bytes32, keccak: Hasher): Bytes32 {
  return toHex(keccak(concat(utf8(`smartlayer/${purpose}/1`), fromHex(beacon), fromHex(subject))))
}

/** −log2 of a 32-bit draw in Q26 by integer steps alone; smaller is better before weighting. */
function ticketOf(node: Address, salt: Bytes32, keccak: Hasher): bigint {
  const digest = keccak(concat(fromHex(salt), fromHex(node)))
  const draw =
    (BigInt(digest[0]!) << 24n) | (BigInt(digest[1]!) << 16n) | (BigInt(digest[2]!) << 8n) | BigInt(digest[3]!)
  return (32n << FRACTION_BITS) - log2(draw === 0n ? 1n : draw)
}

/** log2 of a positive integer in Q26, bit by bit (squaring), so that no table and no floating point is needed. */
function log2(value: bigint): bigint {
  let whole = 0n
  for (let rest = value; rest > 1n; rest >>= 1n) whole++
  let mantissa = (value << 62n) >> whole // in [1, 2) as Q62
  let fraction = 0n
  for (let bit = FRACTION_BITS - 1n; bit >= 0n; bit--) {
    mantissa = (mantissa * mantissa) >> 62n
    if (mantissa >= 2n << 62n) {
      mantissa >>= 1n
      fraction |= 1n << bit
    }
  }
  return (whole << FRACTION_BITS) | fraction
}

/** Compares ticket / stake by cross-multiplication. */
function compare(ticketA: bigint, a: Member, ticketB: bigint, b: Member): number {
  const left = ticketA * weightOf(b)
  const right = ticketB * weightOf(a)
  if (left !== right) return left < right ? -1 : 1
  return a.node < b.node ? -1 : 1
}

function weightOf(member: Member): bigint {
  return member.stake > 0n ? member.stake : 1n
}
