/** Sorted-pair keccak Merkle trees in the layout of OpenZeppelin's MerkleProof: many statements under one signature. */
import { compareBytes } from './bytes.ts'
import type { Hasher } from './crypto.ts'

/** A tree of n leaves as 2n − 1 nodes; node i has children 2i + 1 and 2i + 2, the root is node 0. */
export type MerkleTree = { readonly leafCount: number; readonly nodes: readonly Uint8Array[] }

/** Builds the tree over at least one 32-byte leaf, in the given order. */
export function merkleTree(leaves: readonly Uint8Array[], keccak: Hasher): MerkleTree {
  const n = leaves.length
  const nodes = new Array<Uint8Array>(2 * n - 1)
  leaves.forEach((leaf, i) => {
    nodes[2 * n - 2 - i] = leaf
  })
  const pair = new Uint8Array(64)
  for (let i = n - 2; i >= 0; i--) nodes[i] = hashPair(nodes[2 * i + 1]!, nodes[2 * i + 2]!, pair, keccak)
  return { leafCount: n, nodes }
}

export function merkleRoot(tree: MerkleTree): Uint8Array {
  return tree.nodes[0]!
}

/** The siblings from leaf `index` (0-based) up to the root; nodes as bytes, or already written as hex. */
export function merkleProof<N>(tree: { readonly leafCount: number; readonly nodes: readonly N[] }, index: number): N[] {
  const proof: N[] = []
  for (let i = 2 * tree.leafCount - 2 - index; i > 0; i = (i - 1) >> 1) proof.push(tree.nodes[i % 2 ? i + 1 : i - 1]!)
  return proof
}

/** The root that `leaf` and its siblings lead to. The caller recomputes the leaf from fields, never takes it from a peer. */
export function rootFromProof(leaf: Uint8Array, proof: readonly Uint8Array[], keccak: Hasher): Uint8Array {
  const pair = new Uint8Array(64)
  return proof.reduce((node, sibling) => hashPair(node, sibling, pair, keccak), leaf)
}

function hashPair(a: Uint8Array, b: Uint8Array, pair: Uint8Array, keccak: Hasher): Uint8Array {
  const ordered = compareBytes(a, b) <= 0
  pair.set(ordered ? a : b)
  pair.set(ordered ? b : a, 32)
  return keccak(pair)
}
