import { SimpleMerkleTree } from '@openzeppelin/merkle-tree'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from './bytes.ts'
import { nobleCrypto } from './crypto.ts'
import { merkleProof, merkleRoot, merkleTree, rootFromProof } from './merkle.ts'

const { keccak } = nobleCrypto
const leafList = fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { minLength: 1, maxLength: 40 })

it("builds OpenZeppelin's tree: same root, same proofs, each accepted there", () => {
  fc.assert(
    fc.property(leafList, (leaves) => {
      const tree = merkleTree(leaves, keccak)
      const theirs = SimpleMerkleTree.of(leaves, { sortLeaves: false })
      expect(toHex(merkleRoot(tree))).toBe(theirs.root)
      leaves.forEach((leaf, i) => {
        const proof = merkleProof(tree, i)
        expect(proof.map(toHex)).toEqual(theirs.getProof(i))
        expect(toHex(rootFromProof(leaf, proof, keccak))).toBe(theirs.root)
        expect(SimpleMerkleTree.verify(theirs.root, leaf, proof.map(toHex))).toBe(true)
      })
    }),
    { numRuns: 30 },
  )
})

it('leads elsewhere when leaf or sibling change', () => {
  const leaves = [1, 2, 3, 4, 5].map((n) => keccak(Uint8Array.of(n)))
  const tree = merkleTree(leaves, keccak)
  const proof = merkleProof(tree, 2)
  const root = toHex(merkleRoot(tree))
  expect(toHex(rootFromProof(leaves[2]!, proof, keccak))).toBe(root)
  expect(toHex(rootFromProof(leaves[3]!, proof, keccak))).not.toBe(root)
  expect(toHex(rootFromProof(leaves[2]!, proof.toReversed(), keccak))).not.toBe(root)
  expect(toHex(rootFromProof(leaves[2]!, proof.slice(1), keccak))).not.toBe(root)
})
