import { readFile } from 'node:fs/promises'
import { SimpleMerkleTree } from '@openzeppelin/merkle-tree'
import { Attest, type Hex } from '@smartlayer/protocol'
import { hashTypedData, recoverAddress } from 'viem'
import { describe, expect, it } from 'vitest'
import { SIGNED_STRUCTS, vectorFiles } from '../scripts/vectors.ts'

const files = vectorFiles()
const attestation = JSON.parse(files['attestation.json'])
const messages = JSON.parse(files['messages.json'])

type TypedData = Parameters<typeof hashTypedData>[0]
type Leaf = { readonly message: object; readonly digest: Hex; readonly proof: string[] }
type Root = Leaf & { readonly message: { readonly data: Hex }; readonly signature: Hex; readonly signer: Hex }

function easDigest(message: object): Hex {
  const { version, chainId, eas } = attestation.domain
  const domain = { name: 'EAS Attestation', version, chainId: BigInt(chainId), verifyingContract: eas }
  const types = { Attest: Object.entries(Attest.fields).map(([name, { type }]) => ({ name, type })) }
  return hashTypedData({ domain, types, primaryType: 'Attest', message } as TypedData)
}

it.each(['attestation.json', 'messages.json', 'directory.json'] as const)(
  'vectors/%s is what scripts/vectors.ts writes',
  async (name) => {
    const written = await readFile(new URL(`../vectors/${name}`, import.meta.url), 'utf8')
    expect(files[name]).toBe(written)
  },
)

describe('viem agrees with', () => {
  it.each(attestation.attestations as (Root & { schema: string })[])('attestation $schema', async (vector) => {
    expect(easDigest(vector.message)).toBe(vector.digest)
    const signer = await recoverAddress({ hash: vector.digest, signature: vector.signature })
    expect(signer.toLowerCase()).toBe(vector.signer)
  })

  it.each(attestation.batches as { root: Root; leaves: Leaf[] }[])('batch %#', async ({ root, leaves }) => {
    expect(easDigest(root.message)).toBe(root.digest)
    const signer = await recoverAddress({ hash: root.digest, signature: root.signature })
    expect(signer.toLowerCase()).toBe(root.signer)
    for (const { message, digest, proof } of leaves) {
      expect(easDigest(message)).toBe(digest)
      expect(SimpleMerkleTree.verify(root.message.data.slice(0, 66), digest, proof)).toBe(true)
    }
  })

  it.each(messages.messages as { type: string; value: object; digest: Hex }[])('message $type', (vector) => {
    const struct = SIGNED_STRUCTS.find(({ name }) => name === vector.type)!
    const types = { [struct.name]: Object.entries(struct.fields).map(([name, { type }]) => ({ name, type })) }
    const domain = { ...messages.domain, chainId: BigInt(messages.domain.chainId) }
    expect(hashTypedData({ domain, types, primaryType: struct.name, message: vector.value } as TypedData)).toBe(
      vector.digest,
    )
  })
})
