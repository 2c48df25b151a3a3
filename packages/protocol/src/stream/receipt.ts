/** When a receipt or a checkpoint counts: enough home anchors signed it, and it stands for this entry. */
import { type Attest, uidOf } from '../attestation/envelope.ts'
import type { Home } from '../directory/home.ts'
import type { Bytes32 } from '../primitives/bytes.ts'
import type { Crypto } from '../primitives/crypto.ts'
import { type Domain, digestOf } from '../primitives/domain.ts'
import { signersAmong } from '../primitives/quorum.ts'
import { accept, type Refusal, reject, type Verdict } from '../primitives/verdict.ts'
import { type CertifiedCheckpoint, type CertifiedReceipt, LINK_LIMIT, Receipt, StreamCheckpoint } from './messages.ts'
import { type MountainProof, proves } from './mountains.ts'

type Door = { readonly home: Home; readonly domain: Domain; readonly crypto: Crypto }

/** 2f + 1 home anchors hold this entry: the receipt is for it, or for a later one whose links lead back to it. */
export function checkReceipt(
  { receipt, signatures, links }: CertifiedReceipt,
  entry: { readonly stream: Bytes32; readonly sequence: bigint; readonly uid: Bytes32 },
  { home, domain, crypto }: Door,
): Verdict<Receipt> {
  const refusal = notFor(receipt, links, entry, crypto)
  if (refusal) return refusal
  const digest = digestOf(Receipt, receipt, domain, crypto.keccak)
  const got = signersAmong(home.anchors, { digest, signatures }, crypto).length
  if (got >= home.quorum) return accept(receipt)
  return reject('stream.no_quorum', { got, needed: home.quorum, of: home.anchors.length })
}

function notFor(
  receipt: Receipt,
  links: readonly Attest[],
  entry: { readonly stream: Bytes32; readonly sequence: bigint; readonly uid: Bytes32 },
  { keccak }: Crypto,
): Refusal | undefined {
  if (receipt.stream !== entry.stream) {
    return reject('attestation.context', { expected: entry.stream, actual: receipt.stream })
  }
  let uid = entry.uid
  for (const link of links.slice(0, LINK_LIMIT)) {
    if (link.refUID !== uid) return reject('attestation.context', { expected: uid, actual: link.refUID })
    uid = uidOf(link, keccak)
  }
  const fits = receipt.uid === uid && receipt.sequence === entry.sequence + BigInt(links.length)
  return fits ? undefined : reject('attestation.context', { expected: uid, actual: receipt.uid })
}

/** 2f + 1 home anchors cosigned this checkpoint. */
export function checkCheckpoint(
  { checkpoint, signatures }: CertifiedCheckpoint,
  { home, domain, crypto }: Door,
): Verdict<StreamCheckpoint> {
  const digest = digestOf(StreamCheckpoint, checkpoint, domain, crypto.keccak)
  const got = signersAmong(home.anchors, { digest, signatures }, crypto).length
  if (got >= home.quorum) return accept(checkpoint)
  return reject('stream.no_quorum', { got, needed: home.quorum, of: home.anchors.length })
}

/** The entry stands at its place among those that the checkpoint counts. The checkpoint itself was checked before. */
export function checkInclusion(
  checkpoint: StreamCheckpoint,
  entry: { readonly sequence: bigint; readonly uid: Bytes32 },
  proof: MountainProof,
  { keccak }: Crypto,
): Verdict<undefined> {
  const { size, root } = checkpoint
  if (proves(proof, { ...entry, size, root }, keccak)) return accept(undefined)
  return reject('stream.checkpoint', { detail: `entry ${entry.sequence} is not proven` })
}
