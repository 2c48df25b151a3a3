/** Shapes that messages between nodes and the HTTP API have in common: what anchors voted for, journaled entries, grants. */
import { Action, Grant, GrantCheck } from '../access/messages.ts'
import { attestationShape } from '../attestation/envelope.ts'
import { MESSAGE_UNITS_LIMIT, Received, Sent } from '../composition/message.ts'
import { Placement, Renew, Report } from '../election/messages.ts'
import { Entry, JournalCheckpoint } from '../journal/messages.ts'
import { Retire } from '../lifecycle/messages.ts'
import { listOf, oneOf, optional, record, type ShapeOf, sharedSignature, signature, text } from '../primitives/shape.ts'
import { bytes32 } from '../primitives/struct.ts'
import { BODY_LIMIT, streamItemShape } from '../stream/item.ts'

const HOME_LIMIT = 31
/** Entries that one publish message may hold. */
export const PUBLISH_LIMIT = 64
/** Longest CAIP-19 token id. */
export const TOKEN_TEXT_LIMIT = 200

const signatures = listOf(sharedSignature, HOME_LIMIT)
const body = text(BODY_LIMIT)

export const certificateShape = record({ entry: Entry, accepts: signatures })
export const certifiedPlacementShape = record({ placement: Placement, votes: signatures })
export const certifiedRenewalShape = record({ renew: Renew, votes: signatures })
export const certifiedJournalCheckpointShape = record({ checkpoint: JournalCheckpoint, signatures })
/** What is reported is proven by its certificate, or by the checkpoint with which an incarnation began. */
export const signedReportShape = record({
  report: Report,
  signature,
  certificate: optional(certificateShape),
  restored: optional(certifiedJournalCheckpointShape),
})
export const signedReportsShape = listOf(signedReportShape, HOME_LIMIT)
export const attestedGrantShape = record({
  grant: Grant,
  signature,
  checks: listOf(record({ check: GrantCheck, signature }), HOME_LIMIT),
})
export const commitProofShape = oneOf('by', {
  held: record({ entry: Entry, held: signatures }),
  next: record({ entry: Entry, next: certificateShape }),
})

export const messageInputShape = record({
  from: text(TOKEN_TEXT_LIMIT),
  scriptHash: bytes32,
  sent: Sent,
  body: text(MESSAGE_UNITS_LIMIT),
  placement: certifiedPlacementShape,
  proof: commitProofShape,
  signatures,
})

export const journalInputShape = oneOf('kind', {
  'term-start': record({}),
  input: record({
    name: text(64),
    attestation: attestationShape,
    body,
    delegation: optional(record({ attestation: attestationShape, body })),
    revocation: optional(streamItemShape),
  }),
  action: record({ action: Action, signature, grant: optional(attestedGrantShape), args: body }),
  attempt: record({ attestation: attestationShape, body }),
  outcome: record({ attestation: attestationShape, body }),
  lifecycle: record({ end: oneOf('by', { expiry: record({}), owner: record({ retire: Retire, signature }) }) }),
  message: messageInputShape,
  receipt: record({
    from: text(TOKEN_TEXT_LIMIT),
    scriptHash: bytes32,
    received: Received,
    placement: certifiedPlacementShape,
    signatures,
  }),
})

/** An entry as it is stored and repaired: with its input and what certifies it. */
export const journaledEntryShape = record({
  entry: Entry,
  executorSignature: signature,
  input: journalInputShape,
  certificate: optional(certificateShape),
})
export type JournaledEntry = ShapeOf<typeof journaledEntryShape>
