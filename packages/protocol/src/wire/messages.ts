/** What nodes say to each other: every overlay message with its shape and limits. Signatures never cover this encoding. */
import { Action, Grant, GrantCheck } from '../access/messages.ts'
import { attestationShape } from '../attestation/envelope.ts'
import { Placement, Release, Renew, Report } from '../election/messages.ts'
import { Accept, Entry, Executed, Held } from '../journal/messages.ts'
import { integer, listOf, oneOf, optional, record, type ShapeOf, signature, text } from '../primitives/shape.ts'
import { address, bool, bytes32, uint } from '../primitives/struct.ts'
import { Receipt } from '../stream/messages.ts'

/** Largest body of an input or an answer, in UTF-16 units (docs/spec/attestation.md). */
export const BODY_LIMIT = 65_536
const HOME_LIMIT = 31
const RANGE_LIMIT = 64
/** Longest CAIP-19 token id. */
export const TOKEN_TEXT_LIMIT = 200

const signatures = listOf(signature, HOME_LIMIT)
const body = text(BODY_LIMIT)

export const certificateShape = record({ entry: Entry, accepts: signatures })
export const certifiedPlacementShape = record({ placement: Placement, votes: signatures })
export const certifiedRenewalShape = record({ renew: Renew, votes: signatures })
export const signedReportShape = record({ report: Report, signature, certificate: optional(certificateShape) })
export const attestedGrantShape = record({
  grant: Grant,
  signature,
  checks: listOf(record({ check: GrantCheck, signature }), HOME_LIMIT),
})
export const commitProofShape = oneOf('by', {
  held: record({ entry: Entry, held: signatures }),
  next: record({ entry: Entry, next: certificateShape }),
})

export const journalInputShape = oneOf('kind', {
  'term-start': record({}),
  input: record({ name: text(64), attestation: attestationShape, body }),
  action: record({ action: Action, signature, grant: optional(attestedGrantShape), args: body }),
  attempt: record({ attestation: attestationShape, body }),
  outcome: record({ attestation: attestationShape, body }),
})

/** An entry as it is stored and repaired: with its input and what certifies it. */
export const journaledEntryShape = record({
  entry: Entry,
  executorSignature: signature,
  input: journalInputShape,
  certificate: optional(certificateShape),
})
export type JournaledEntry = ShapeOf<typeof journaledEntryShape>

export const streamItemShape = record({ attestation: attestationShape, body })
export type StreamItem = ShapeOf<typeof streamItemShape>

export const wireShape = oneOf('type', {
  // Election, at home anchors.
  activate: record({ token: text(TOKEN_TEXT_LIMIT) }),
  prepare: record({ instance: bytes32, term: uint(64) }),
  // `leasedUntil` is a hint, not a promise: when the last lease ends that this anchor voted for (0: none runs).
  report: record({ signed: signedReportShape, leasedUntil: uint(64) }),
  'placement-proposal': record({ placement: Placement, reports: listOf(signedReportShape, HOME_LIMIT) }),
  vote: record({ instance: bytes32, placement: bytes32, signature }),
  placement: record({ token: text(TOKEN_TEXT_LIMIT), certified: certifiedPlacementShape }),
  'renew-request': record({ instance: bytes32, renew: Renew }),
  renewed: record({ instance: bytes32, renew: Renew, signature }),
  lease: record({ instance: bytes32, certified: certifiedRenewalShape }),
  release: record({ instance: bytes32, release: Release, signature }),
  // Journal.
  proposal: record({
    proposed: journaledEntryShape,
    placement: certifiedPlacementShape,
    predecessor: optional(certificateShape),
  }),
  accepted: record({ place: Accept, signature }),
  certificate: record({ certificate: certificateShape }),
  held: record({ place: Held, signature }),
  committed: record({ journaled: journaledEntryShape, proof: commitProofShape }),
  executed: record({ executed: Executed, signature }),
  'journal-request': record({ instance: bytes32, from: uint(64), limit: integer(1, RANGE_LIMIT) }),
  'journal-range': record({
    instance: bytes32,
    token: text(TOKEN_TEXT_LIMIT),
    placement: optional(certifiedPlacementShape),
    lease: optional(certifiedRenewalShape),
    entries: listOf(journaledEntryShape, RANGE_LIMIT),
    proof: optional(commitProofShape),
  }),
  // Streams.
  publish: record({ item: streamItemShape }),
  receipt: record({ receipt: Receipt, signature }),
  'stream-item': record({ item: streamItemShape }),
  'stream-request': record({ stream: bytes32, subset: bytes32, after: uint(64), limit: integer(1, RANGE_LIMIT) }),
  'stream-range': record({ stream: bytes32, subset: bytes32, items: listOf(streamItemShape, RANGE_LIMIT) }),
  subscribe: record({ subsets: listOf(record({ stream: bytes32, subset: bytes32 }), 1024) }),
  // Calls that reach a replica which is not the executor.
  'action-request': record({
    instance: bytes32,
    action: Action,
    signature,
    grant: optional(attestedGrantShape),
    args: body,
  }),
  // Liveness, and refusals with their reason.
  heartbeat: record({ node: address, ready: bool, instances: integer(0, 1_000_000) }),
  refused: record({ instance: bytes32, about: text(32), code: text(64), facts: text(1024) }),
})
export type WireMessage = ShapeOf<typeof wireShape>
export type WireType = WireMessage['type']
