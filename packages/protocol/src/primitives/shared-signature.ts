/** One signature for many digests: signed is the root of a tree over them, and each carries the way from itself to the root. */
import { type Address, concat, fromHex, type Hex, toHex, utf8 } from './bytes.ts'
import type { Crypto, Hasher, Signer } from './crypto.ts'
import { merkleProof, merkleRoot, merkleTree, rootFromProof } from './merkle.ts'

/** Digests under one signature at most: the way to the root is then at most this many hashes of 32 bytes. */
export const SHARED_LIMIT = 256
export const SHARED_DEPTH = 8
/** Roots whose signer is remembered: those who get many digests of one root check its signature once. */
const REMEMBERED_LIMIT = 4_096

const TAG = utf8('smartlayer/shared/1')
const PLAIN_CHARACTERS = 2 + 2 * 65
const HASH_CHARACTERS = 64

/** Signs at least one digest, at most `SHARED_LIMIT`. One alone is simply signed. Signatures come in the order of the digests. */
export function signShared(digests: readonly Uint8Array[], signer: Signer, keccak: Hasher): readonly Hex[] {
  if (digests.length === 1) return [signer.sign(digests[0]!)]
  const tree = merkleTree(digests, keccak)
  const signature = signer.sign(rootDigest(merkleRoot(tree), keccak))
  return digests.map((_, i) => concatHex(signature, merkleProof(tree, i)))
}

/** Who signed a digest, alone or with others; undefined when nobody did. */
export function recoverShared(digest: Uint8Array, signature: Hex, crypto: Crypto): Address | undefined {
  if (signature.length === PLAIN_CHARACTERS) return crypto.recover(digest, signature)
  const root = rootFromProof(digest, pathOf(signature), crypto.keccak)
  const plain = signature.slice(0, PLAIN_CHARACTERS) as Hex
  const memory = memoryOf(crypto)
  const key = toHex(root) + plain
  if (memory.has(key)) return memory.get(key)
  const signer = crypto.recover(rootDigest(root, crypto.keccak), plain)
  memory.set(key, signer)
  if (memory.size > REMEMBERED_LIMIT) {
    const [oldest] = memory.keys()
    memory.delete(oldest!)
  }
  return signer
}

/** True for the length of a plain signature, or of one with a way to the root that is short enough. */
export function isSharedLength(bytes: number): boolean {
  return bytes >= 65 && (bytes - 65) % 32 === 0 && bytes <= 65 + 32 * SHARED_DEPTH
}

function rootDigest(root: Uint8Array, keccak: Hasher): Uint8Array {
  return keccak(concat(TAG, root))
}

function concatHex(signature: Hex, path: readonly Uint8Array[]): Hex {
  return `${signature}${path.map((hash) => toHex(hash).slice(2)).join('')}` as Hex
}

function pathOf(signature: Hex): readonly Uint8Array[] {
  const path: Uint8Array[] = []
  for (let at = PLAIN_CHARACTERS; at < signature.length; at += HASH_CHARACTERS)
    path.push(fromHex(`0x${signature.slice(at, at + HASH_CHARACTERS)}`))
  return path
}

const memories = new WeakMap<Crypto, Map<string, Address | undefined>>()

function memoryOf(crypto: Crypto): Map<string, Address | undefined> {
  const known = memories.get(crypto)
  if (known) return known
  const memory = new Map<string, Address | undefined>()
  memories.set(crypto, memory)
  return memory
}
