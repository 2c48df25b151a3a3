/** Batches: many attestations under one signature, through a Merkle root that is itself an attestation (SLBatch). */
import { type Bytes32, toHex, ZERO_32, ZERO_ADDRESS } from '../primitives/bytes.ts'
import { merkleProof, merkleRoot, merkleTree } from '../primitives/merkle.ts'
import {
  type Attestation,
  type AttestOptions,
  type AttestSigner,
  attest,
  attestDigest,
  attestMessage,
} from './envelope.ts'
import { type EasSchema, SLBatch } from './schemas.ts'

// biome-ignore lint/suspicious/noExplicitAny: items of one batch may have different schemas; each was typed where it was made
export type BatchItem = { readonly schema: EasSchema<any>; readonly data: any } & AttestOptions

export type BatchOptions = AttestSigner & {
  /** Seconds; the root lives as long as the longest of its leaves. */
  readonly time: bigint
  /** Number of the first leaf in the signer's own count. */
  readonly firstSequence: bigint
  readonly salt: Bytes32
}

/** Attests at least one item. One alone is simply signed; more share the signature of their root. */
export function attestBatch(items: readonly BatchItem[], options: BatchOptions): Attestation[] {
  const { signer, domain, keccak } = options
  const single = items.length === 1 ? items[0] : undefined
  if (single) return [attest(single.schema, single.data, single, options)]
  const messages = items.map((item) => attestMessage(item.schema, item.data, item, keccak))
  const tree = merkleTree(
    messages.map((message) => attestDigest(message, domain, keccak)),
    keccak,
  )
  const expirationTime = messages.reduce((latest, m) => (m.expirationTime > latest ? m.expirationTime : latest), 0n)
  const data = {
    root: toHex(merkleRoot(tree)),
    firstSequence: options.firstSequence,
    count: BigInt(items.length),
    evidence: ZERO_32,
  }
  const about = { recipient: ZERO_ADDRESS, time: options.time, expirationTime, salt: options.salt }
  const { message: rootMessage, signature } = attest(SLBatch, data, about, options)
  const root = { message: rootMessage, signature }
  const written = { leafCount: tree.leafCount, nodes: tree.nodes.map(toHex) } // once: proofs share most of their nodes
  return messages.map((message, i) => ({
    message,
    attester: signer.address,
    batch: { proof: merkleProof(written, i), root },
  }))
}
