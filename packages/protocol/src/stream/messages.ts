/** Signed messages of streams: receipts and checkpoints of home anchors, and what an issuer says about its own stream. */
import { Attest } from '../attestation/envelope.ts'
import type { Address, Bytes32, Hex } from '../primitives/bytes.ts'
import { isHex } from '../primitives/bytes.ts'
import { listOf, record, type Shape, signature } from '../primitives/shape.ts'
import { bytes32, struct, type TypeOf, uint } from '../primitives/struct.ts'

/** Home anchors of one stream, at most. */
const HOME_LIMIT = 31
/** Entries that one receipt may stand beyond the entry it is shown for. */
export const LINK_LIMIT = 64
const REASON_LIMIT = 200

/**
 * An anchor stored this attestation, and all before it in the stream's hash chain, durably; it signs at most one UID per
 * (stream, epoch, sequence). `homeEpoch` is the epoch of the membership whose home set signs.
 */
export const Receipt = struct('Receipt', {
  stream: bytes32,
  epoch: uint(64),
  sequence: uint(64),
  uid: bytes32,
  homeEpoch: uint(64),
})
export type Receipt = TypeOf<typeof Receipt>

/**
 * A receipt with the signatures of 2f + 1 home anchors. When the receipt is for a later entry than the one it is shown for,
 * `links` holds the messages of the entries after that one, up to the receipt's own: their `refUID`s lead back to it.
 */
export const certifiedReceiptShape = record({
  receipt: Receipt,
  signatures: listOf(signature, HOME_LIMIT),
  links: listOf(Attest as Shape<TypeOf<typeof Attest>>, LINK_LIMIT),
})
export type CertifiedReceipt = {
  readonly receipt: Receipt
  readonly signatures: readonly Hex[]
  readonly links: readonly TypeOf<typeof Attest>[]
}

/**
 * The first `size` entries of a stream: the root of the Merkle mountain range over their UIDs and the last of these. `time`
 * in seconds is the proposer's. Home anchors sign no two that contradict each other (C2SP tlog-witness).
 */
export const StreamCheckpoint = struct('StreamCheckpoint', {
  stream: bytes32,
  epoch: uint(64),
  size: uint(64),
  root: bytes32,
  head: bytes32,
  homeEpoch: uint(64),
  time: uint(64),
})
export type StreamCheckpoint = TypeOf<typeof StreamCheckpoint>

export const certifiedCheckpointShape = record({
  checkpoint: StreamCheckpoint,
  signatures: listOf(signature, HOME_LIMIT),
})
export type CertifiedCheckpoint = {
  readonly checkpoint: StreamCheckpoint
  readonly signatures: readonly Hex[]
}

/** Body of a `revocation` entry: the issuer takes back one of its attestations, or every leaf of one of its batch roots. */
export type RevocationBody = {
  readonly revokes: Bytes32
  readonly of: 'attestation' | 'batch'
  readonly reason: string
}

/** Body of an `epoch` entry: why a new epoch begins, and the key that signs the entries of it. */
export type EpochBody = { readonly reason: 'rotation' | 'lost state' | 'fork'; readonly key: Address }

const EPOCH_REASONS: readonly unknown[] = ['rotation', 'lost state', 'fork'] satisfies EpochBody['reason'][]

/** Readable key of the subset in which a stream's own epochs are recorded. */
export const EPOCH_SUBSET = '~epochs'

/** Reads the body of a revocation; undefined when it is not one. */
export function parseRevocation(body: string): RevocationBody | undefined {
  const value = membersOf(body, ['of', 'reason', 'revokes'])
  if (!value || !isHex(value.revokes, 32) || (value.of !== 'attestation' && value.of !== 'batch')) return undefined
  if (typeof value.reason !== 'string' || value.reason.length > REASON_LIMIT) return undefined
  return { revokes: value.revokes, of: value.of, reason: value.reason }
}

/** Reads the body of an epoch's first entry; undefined when it is not one. */
export function parseEpoch(body: string): EpochBody | undefined {
  const value = membersOf(body, ['key', 'reason'])
  if (!value || !isHex(value.key, 20) || !EPOCH_REASONS.includes(value.reason)) return undefined
  return { reason: value.reason as EpochBody['reason'], key: value.key }
}

/** The members of a JSON object that has exactly these, in order. */
function membersOf(text: string, names: readonly string[]): Record<string, unknown> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.keys(value).sort().join() === names.join() ? (value as Record<string, unknown>) : undefined
}
