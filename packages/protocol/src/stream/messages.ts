/** Signed messages of streams: the receipts of home anchors (docs/spec/stream.md). */
import type { Hex } from '../primitives/bytes.ts'
import { bytes32, struct, type TypeOf, uint } from '../primitives/struct.ts'

/** An anchor stored this attestation durably at this place of its stream; it signs at most one UID per place. */
export const Receipt = struct('Receipt', { stream: bytes32, epoch: uint(64), sequence: uint(64), uid: bytes32 })
export type Receipt = TypeOf<typeof Receipt>

/** A receipt with the signatures of home anchors; valid with 2f + 1. */
export type CertifiedReceipt = { readonly receipt: Receipt; readonly signatures: readonly Hex[] }
