/** Merkle mountain ranges over the UIDs of a stream: one root for any prefix, short proofs, and appends that touch little. */
import { type Bytes32, fromHex, toHex, uintWord } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'

/**
 * The peaks of a prefix: one root per set bit of `size`, largest mountain first. Leaf = keccak(0x00 ‖ uid),
 * node = keccak(0x01 ‖ left ‖ right), root = keccak(0x02 ‖ size ‖ peaks).
 */
export type Mountains = { readonly size: bigint; readonly peaks: readonly Bytes32[] }

/** The way from a leaf to the root of a prefix: siblings inside its mountain, then all peaks of the range. */
export type MountainProof = { readonly siblings: readonly Bytes32[]; readonly peaks: readonly Bytes32[] }

export const NO_MOUNTAINS: Mountains = { size: 0n, peaks: [] }
/** No stream is longer than 2^48. */
export const MOUNTAIN_LIMIT = 48

export function leafOf(uid: Bytes32, keccak: Hasher): Bytes32 {
  const bytes = new Uint8Array(33)
  bytes.set(fromHex(uid), 1)
  return toHex(keccak(bytes))
}

export function nodeOf(left: Bytes32, right: Bytes32, keccak: Hasher): Bytes32 {
  const bytes = new Uint8Array(65)
  bytes[0] = 1
  bytes.set(fromHex(left), 1)
  bytes.set(fromHex(right), 33)
  return toHex(keccak(bytes))
}

/** The range with one more UID. */
export function append({ size, peaks }: Mountains, uid: Bytes32, keccak: Hasher): Mountains {
  const next = [...peaks]
  let node = leafOf(uid, keccak)
  for (let rest = size; rest & 1n; rest >>= 1n) node = nodeOf(next.pop()!, node, keccak)
  next.push(node)
  return { size: size + 1n, peaks: next }
}

export function rootOf({ size, peaks }: Mountains, keccak: Hasher): Bytes32 {
  const bytes = new Uint8Array(33 + 32 * peaks.length)
  bytes[0] = 2
  bytes.set(uintWord(size), 1)
  peaks.forEach((peak, i) => {
    bytes.set(fromHex(peak), 33 + 32 * i)
  })
  return toHex(keccak(bytes))
}

/** Which mountain holds the 1-based place, and where: heights largest first. Undefined when the place is outside. */
function mountainOf(size: bigint, sequence: bigint): { peak: number; height: number; first: bigint } | undefined {
  if (sequence < 1n || sequence > size) return undefined
  let first = 1n
  let peak = 0
  for (let height = MOUNTAIN_LIMIT; height >= 0; height--) {
    const width = 1n << BigInt(height)
    if (!(size & width)) continue
    if (sequence < first + width) return { peak, height, first }
    first += width
    peak++
  }
  return undefined
}

/**
 * Proves the entry at 1-based `sequence` in the range of `size`. `subtree(first, height)` gives the root of the complete
 * subtree of 2^height leaves that begins at `first`; whoever keeps such roots pays for few leaves only.
 */
export function prove(
  { size, sequence }: { size: bigint; sequence: bigint },
  subtree: (first: bigint, height: number) => Bytes32,
): MountainProof {
  const place = mountainOf(size, sequence)
  if (!place) throw new RangeError(`no entry ${sequence} among ${size}`)
  const siblings: Bytes32[] = []
  for (let height = 0; height < place.height; height++) {
    const width = 1n << BigInt(height)
    const own = place.first + ((sequence - place.first) / width) * width
    const isLeft = ((own - place.first) / width) % 2n === 0n
    siblings.push(subtree(isLeft ? own + width : own - width, height))
  }
  const peaks: Bytes32[] = []
  let first = 1n
  for (let height = MOUNTAIN_LIMIT; height >= 0; height--) {
    const width = 1n << BigInt(height)
    if (!(size & width)) continue
    peaks.push(subtree(first, height))
    first += width
  }
  return { siblings, peaks }
}

/** True when `uid` stands at `sequence` in the range of this size and root. */
export function proves(
  { siblings, peaks }: MountainProof,
  { uid, sequence, size, root }: { uid: Bytes32; sequence: bigint; size: bigint; root: Bytes32 },
  keccak: Hasher,
): boolean {
  const place = mountainOf(size, sequence)
  if (!place || siblings.length !== place.height || rootOf({ size, peaks }, keccak) !== root) return false
  let node = leafOf(uid, keccak)
  let index = sequence - place.first
  for (const sibling of siblings) {
    node = index & 1n ? nodeOf(sibling, node, keccak) : nodeOf(node, sibling, keccak)
    index >>= 1n
  }
  return peaks[place.peak] === node
}
