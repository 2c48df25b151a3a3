import { createRequire } from 'node:module'
import { SimpleMerkleTree } from '@openzeppelin/merkle-tree'
import {
  type Attest,
  type Attestation,
  attestBatch,
  attestDigest,
  type BatchItem,
  easDomain,
  Attest as easStruct,
  type Hex,
  nobleCrypto,
  nobleSigner,
  type SignedAttest,
  SLOutput,
  toHex,
  uidOf,
  uintWord,
  ZERO_32,
} from '@smartlayer/protocol'
import { verifyTypedData } from 'viem'
import { describe, expect, it } from 'vitest'

// The SDK's ESM entry does not load in Node.
const { EAS, Offchain } = createRequire(import.meta.url)('@ethereum-attestation-service/eas-sdk')

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const ADDRESS: Hex = '0x4200000000000000000000000000000000000021'
const { keccak } = nobleCrypto
const domain = easDomain({ chainId: 8453n, eas: ADDRESS }, keccak)
const signer = nobleSigner(`0x${'11'.repeat(32)}`)
const { separator: _, ...easTypedDomain } = domain
const types = { Attest: Object.entries(easStruct.fields).map(([name, { type }]) => ({ name, type })) }
const offchain = new Offchain({ address: ADDRESS, version: '1.0.1', chainId: 8453n }, 2, new EAS(ADDRESS))

const data = {
  ...{ token: ZERO_32, stream: ZERO_32, sequence: 7n, audience: ZERO_32 },
  ...{ request: ZERO_32, result: ZERO_32, context: ZERO_32, evidence: ZERO_32 },
}
const items = Array.from(
  { length: 5 },
  (_, n): BatchItem => ({
    ...{ schema: SLOutput, data, recipient: ADDRESS, time: 1_790_000_000n, expirationTime: 1_790_000_300n },
    salt: toHex(uintWord(BigInt(n))),
  }),
)
const signing = { signer, domain, keccak, time: 1_790_000_000n, firstSequence: 1n, salt: ZERO_32 }
const [single] = attestBatch(items.slice(0, 1), signing) as unknown as [SignedAttest]
const leaves = attestBatch(items, signing)
const { root } = leaves[0]!.batch!

/** What the SDK calls a signed off-chain attestation. */
function asEas({ message, signature }: SignedAttest) {
  return {
    ...{ version: 2, uid: uidOf(message, keccak), domain: easTypedDomain, primaryType: 'Attest', types },
    message: { ...message, version: Number(message.version) },
    signature: {
      r: signature.slice(0, 66),
      s: `0x${signature.slice(66, 130)}`,
      v: Number.parseInt(signature.slice(130), 16),
    },
  }
}

function easAccepts(signed: SignedAttest): boolean {
  return offchain.verifyOffchainAttestationSignature(signer.address, asEas(signed))
}

function highS({ message, signature }: SignedAttest): SignedAttest {
  const s = (ORDER - BigInt(`0x${signature.slice(66, 130)}`)).toString(16).padStart(64, '0')
  return { message, signature: `${signature.slice(0, 66) as Hex}${s}${signature.endsWith('1b') ? '1c' : '1b'}` }
}

function viemAccepts({ message, signature }: SignedAttest): Promise<boolean> {
  const typed = { address: signer.address, domain: easTypedDomain, types, primaryType: 'Attest', message, signature }
  return verifyTypedData(typed as unknown as Parameters<typeof verifyTypedData>[0])
}

describe.each([
  ['an answer signed alone', single],
  ['the root of a batch', root],
] as const)('%s', (_, signed) => {
  const tampered: SignedAttest = { ...signed, message: { ...signed.message, time: 1n } }

  it('is accepted by the EAS SDK, under the UID that the SDK computes', () => {
    expect(easAccepts(signed)).toBe(true)
    const m: Attest = signed.message
    expect(
      Offchain.getOffchainUID(
        ...[2, m.schema, m.recipient, m.time, m.expirationTime, m.revocable, m.refUID, m.data, m.salt],
      ),
    ).toBe(uidOf(m, keccak))
  })

  it('is refused by the EAS SDK when a field changed or the signature has a high s', () => {
    expect(easAccepts(tampered)).toBe(false)
    expect(() => easAccepts(highS(signed))).toThrow()
  })

  it('is accepted by viem, and refused when a field changed', async () => {
    expect(await viemAccepts(signed)).toBe(true)
    expect(await viemAccepts(tampered)).toBe(false)
  })
})

it('has leaves that OpenZeppelin finds under the root that EAS verified', () => {
  const rootHash = root.message.data.slice(0, 66)
  const leafOf = ({ message }: Attestation) => toHex(attestDigest(message, domain, keccak))
  for (const leaf of leaves) {
    expect(SimpleMerkleTree.verify(rootHash, leafOf(leaf), [...leaf.batch!.proof])).toBe(true)
  }
  expect(SimpleMerkleTree.verify(rootHash, leafOf(leaves[0]!), [...leaves[1]!.batch!.proof])).toBe(false)
})
