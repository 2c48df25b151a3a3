/** What nodes say to each other: every overlay message with its shape and limits. Signatures never cover this encoding. */
import { Action } from '../access/messages.ts'
import { answerShape, placementInfoShape } from '../api/messages.ts'
import { attestationShape } from '../attestation/envelope.ts'
import { Received, Sent } from '../composition/message.ts'
import { READ_DEPTH_LIMIT, READ_FACTS_LIMIT, READ_TOTAL_MS } from '../composition/read.ts'
import { HOME_LIMIT } from '../directory/parameters.ts'
import { SEALED_LEASE_LIMIT } from '../election/hand-over.ts'
import { Placement, Release, Renew } from '../election/messages.ts'
import { STATE_LIMIT } from '../execution/instance.ts'
import {
  certifiedPenaltyShape,
  EVIDENCE_LIMIT,
  PenaltyRecord,
  Ping,
  Pong,
  Replace,
  sampleConflictShape,
  signedDrainShape,
  signedSampleShape,
} from '../health/messages.ts'
import { Accept, Executed, Held, JournalCheckpoint } from '../journal/messages.ts'
import {
  integer,
  listOf,
  oneOf,
  optional,
  record,
  type ShapeOf,
  sharedSignature,
  signature,
  text,
} from '../primitives/shape.ts'
import { address, bool, bytes32, uint } from '../primitives/struct.ts'
import { BODY_LIMIT, streamItemShape } from '../stream/item.ts'
import { certifiedCheckpointShape, certifiedReceiptShape, Receipt, StreamCheckpoint } from '../stream/messages.ts'
import {
  attestedGrantShape,
  certificateShape,
  certifiedJournalCheckpointShape,
  certifiedPlacementShape,
  certifiedRenewalShape,
  commitProofShape,
  journaledEntryShape,
  messageInputShape,
  signedReportShape,
  signedReportsShape,
  TOKEN_TEXT_LIMIT,
} from './shapes.ts'

const RANGE_LIMIT = 64
/** Entries that one range may hold, and the bytes of their binary form before base64. */
export const STREAM_RANGE_LIMIT = 1_024
export const STREAM_RANGE_BYTES = 512 * 1_024
/** Streams or subsets that one message may speak of. */
export const INTEREST_LIMIT = 1_024
/** Nodes that are introduced to a follower at a time. */
const NEIGHBOUR_LIMIT = 12
const PROOF_LIMIT = 48
/** Samples that one message may hold. */
export const SAMPLES_LIMIT = 256
/** Instances and streams in one page of a hand-over. */
export const SEALED_PAGE_LIMIT = 32
const SHARD_LIMIT = 1 << 22
/** Sleepers that one message speaks of. */
const WAKE_LIMIT = 64

const lease = { placement: bytes32, term: uint(64), expires: uint(64) }
export const votedLeaseShape = record({ ...lease, released: bool })
const sealedRecordShape = record({
  token: text(TOKEN_TEXT_LIMIT),
  instance: bytes32,
  asleep: bool,
  placement: optional(certifiedPlacementShape),
  leases: listOf(record(lease), SEALED_LEASE_LIMIT),
  certificate: optional(certificateShape),
  restored: optional(certifiedJournalCheckpointShape),
})
export type SealedRecordMessage = ShapeOf<typeof sealedRecordShape>

/** What the network itself keeps of an instance comes on top of what its script may keep. */
const snapshot = text(2 * STATE_LIMIT)
const signedExecutedShape = record({ executed: Executed, signature: sharedSignature })

/** A checkpoint as it is kept and handed on: with the state that it vouches for, and the certificate of its entry. */
export const keptCheckpointShape = record({
  certified: certifiedJournalCheckpointShape,
  snapshot,
  certificate: optional(certificateShape),
})
export type KeptCheckpoint = ShapeOf<typeof keptCheckpointShape>

/** One stream or one subset of it; for the whole stream `subset` is the stream's own id. */
const interest = record({ stream: bytes32, subset: bytes32 })
const interestFrom = record({ stream: bytes32, subset: bytes32, after: uint(64) })
/** The last entry of a stream or subset that is known to have a receipt. */
const streamHead = record({ stream: bytes32, subset: bytes32, epoch: uint(64), sequence: uint(64), uid: bytes32 })
/** Entries in their binary form, one after another with a length before each, in base64. */
const packed = text(Math.ceil((STREAM_RANGE_BYTES + 500_000) / 3) * 4)

export const wireShape = oneOf('type', {
  // Election, at home anchors.
  activate: record({ token: text(TOKEN_TEXT_LIMIT) }),
  // `reports` of this term lead over a jump that is too long to be believed from one anchor.
  prepare: record({ instance: bytes32, term: uint(64), reports: signedReportsShape }),
  // `leasedUntil` is a hint, not a promise: when the last lease ends that this anchor voted for (0: none runs).
  report: record({ signed: signedReportShape, leasedUntil: uint(64) }),
  'placement-proposal': record({ placement: Placement, reports: signedReportsShape }),
  vote: record({ instance: bytes32, placement: bytes32, signature: sharedSignature }),
  placement: record({ token: text(TOKEN_TEXT_LIMIT), certified: certifiedPlacementShape }),
  'renew-request': record({ instance: bytes32, renew: Renew }),
  renewed: record({ instance: bytes32, renew: Renew, signature: sharedSignature }),
  lease: record({ instance: bytes32, certified: certifiedRenewalShape }),
  release: record({ instance: bytes32, release: Release, signature }),
  // Dormancy: the executor gave its lease back at a checkpoint; replicas in use say so; what wakes a sleeper.
  sleep: record({ instance: bytes32, placement: bytes32, n: uint(64) }),
  used: record({ instance: bytes32 }),
  'wake-on': record({
    calls: listOf(
      record({ stream: bytes32, subset: bytes32, after: uint(64), token: text(TOKEN_TEXT_LIMIT) }),
      WAKE_LIMIT,
    ),
  }),
  // Anchors that are not home of a token ask those that are.
  'placement-request': record({ token: text(TOKEN_TEXT_LIMIT) }),
  'placement-found': record({
    token: text(TOKEN_TEXT_LIMIT),
    certified: certifiedPlacementShape,
    lease: optional(certifiedRenewalShape),
  }),
  // Hand-over of a shard from one home set to the next: what binds each instance and stream there, in pages by their ids.
  'seal-request': record({ shard: integer(0, SHARD_LIMIT), epoch: uint(64), after: bytes32 }),
  sealed: record({
    shard: integer(0, SHARD_LIMIT),
    epoch: uint(64),
    after: bytes32,
    records: listOf(sealedRecordShape, SEALED_PAGE_LIMIT),
    streams: listOf(
      record({ stream: bytes32, sequence: uint(64), uid: bytes32, receipt: optional(certifiedReceiptShape) }),
      SEALED_PAGE_LIMIT,
    ),
    next: optional(bytes32),
  }),
  // Journal.
  proposal: record({
    proposed: journaledEntryShape,
    placement: certifiedPlacementShape,
    predecessor: optional(certificateShape),
  }),
  accepted: record({ place: Accept, signature: sharedSignature }),
  certificate: record({ certificate: certificateShape }),
  held: record({ place: Held, signature: sharedSignature }),
  committed: record({ journaled: journaledEntryShape, proof: commitProofShape }),
  executed: record({ executed: Executed, signature: sharedSignature }),
  // Checkpoints of a journal: offered with the roots that a majority of the replicas signed, endorsed by home anchors.
  'journal-offer': record({ snapshot, roots: listOf(signedExecutedShape, HOME_LIMIT) }),
  'journal-endorsed': record({ checkpoint: JournalCheckpoint, signature }),
  'journal-checkpoint': record({ certified: certifiedJournalCheckpointShape }),
  // A home anchor asks the executor for a checkpoint now: somebody wants the whole instance.
  'checkpoint-wanted': record({ instance: bytes32 }),
  // What is before a checkpoint was cut: who lacks it goes on from the state there.
  'journal-snapshot': record({ token: text(TOKEN_TEXT_LIMIT), kept: keptCheckpointShape }),
  'journal-request': record({ instance: bytes32, from: uint(64), limit: integer(1, RANGE_LIMIT) }),
  'journal-range': record({
    instance: bytes32,
    token: text(TOKEN_TEXT_LIMIT),
    placement: optional(certifiedPlacementShape),
    lease: optional(certifiedRenewalShape),
    entries: listOf(journaledEntryShape, RANGE_LIMIT),
    proof: optional(commitProofShape),
  }),
  // Streams: publishing and certifying, among home anchors.
  publish: record({ packed }),
  receipt: record({ receipt: Receipt, signature }),
  // What a home anchor that lags needs to know: 2f + 1 signed up to here.
  certified: record({ certified: certifiedReceiptShape }),
  'checkpoint-proposal': record({ checkpoint: StreamCheckpoint }),
  'checkpoint-signature': record({ checkpoint: StreamCheckpoint, signature }),
  checkpoint: record({ certified: certifiedCheckpointShape }),
  // Streams: following, spreading, repair. `following` counts the interests that the sender believes to have told.
  follow: record({
    fresh: bool,
    // Entries are pushed to an eager follower, heads alone to another one.
    eager: bool,
    add: listOf(interestFrom, INTEREST_LIMIT),
    drop: listOf(interest, INTEREST_LIMIT),
    following: integer(0, 1_000_000),
  }),
  // `uid` is a claim that saves work: what is known by it is not unpacked again, and what is unpacked is named by its bytes.
  'stream-item': record({ uid: bytes32, packed }),
  // A large body is announced by its attestation alone; who wants it asks for its place.
  'stream-header': record({ attestation: attestationShape }),
  'stream-heads': record({ heads: listOf(streamHead, INTEREST_LIMIT), following: optional(integer(0, 1_000_000)) }),
  'stream-list-request': record({ after: bytes32 }),
  neighbours: record({ stream: bytes32, subset: bytes32, nodes: listOf(address, NEIGHBOUR_LIMIT) }),
  'stream-request': record({
    stream: bytes32,
    subset: bytes32,
    after: uint(64),
    limit: integer(1, STREAM_RANGE_LIMIT),
    bytes: integer(1, STREAM_RANGE_BYTES),
  }),
  // With a checkpoint and the proof of the
  // last entry the hash chain vouches for all of them; without, each is checked by its own signature.
  'stream-range': record({
    stream: bytes32,
    subset: bytes32,
    packed,
    proof: optional(
      record({
        certified: certifiedCheckpointShape,
        siblings: listOf(bytes32, PROOF_LIMIT),
        peaks: listOf(bytes32, PROOF_LIMIT),
      }),
    ),
  }),
  'stream-pruned': record({
    stream: bytes32,
    subset: bytes32,
    floor: uint(64),
    certified: optional(certifiedCheckpointShape),
  }),
  // A home anchor that starts a pruned stream anew gets what is kept up to the floor, the last of each subset, and with the last
  // page a checkpoint and the peaks of its range.
  'snapshot-request': record({ stream: bytes32, after: uint(64) }),
  snapshot: record({
    stream: bytes32,
    floor: uint(64),
    packed,
    last: optional(record({ certified: certifiedCheckpointShape, peaks: listOf(bytes32, PROOF_LIMIT) })),
  }),
  // Streams: what concerns everybody who follows anything of them.
  fork: record({ first: streamItemShape, second: streamItemShape }),
  revocation: record({ item: streamItemShape }),
  // Calls that reach a replica which is not the executor.
  'action-request': record({
    instance: bytes32,
    action: Action,
    signature,
    grant: optional(attestedGrantShape),
    args: text(BODY_LIMIT),
  }),
  // Other tokens: where one lives, asked of its home anchors, and what its replicas answer to everybody.
  'place-request': record({ token: text(TOKEN_TEXT_LIMIT) }),
  'place-answer': record({ token: text(TOKEN_TEXT_LIMIT), info: optional(placementInfoShape), code: text(64) }),
  'read-request': record({
    id: integer(0, Number.MAX_SAFE_INTEGER),
    token: text(TOKEN_TEXT_LIMIT),
    method: text(64),
    args: text(BODY_LIMIT),
    chain: listOf(text(TOKEN_TEXT_LIMIT), READ_DEPTH_LIMIT),
    withinMs: integer(0, READ_TOTAL_MS),
    maxAgeMs: uint(64),
    minN: uint(64),
  }),
  'read-answer': record({
    id: integer(0, Number.MAX_SAFE_INTEGER),
    answer: optional(answerShape),
    code: text(64),
    facts: text(READ_FACTS_LIMIT),
  }),
  // Messages between tokens: signed by the sender's replicas, brought to the receiver's, and receipted by those.
  'sent-request': record({ sent: Sent }),
  'sent-signature': record({ sent: Sent, signature }),
  delivery: record({ instance: bytes32, message: messageInputShape }),
  'receipt-signature': record({ received: Received, signature }),
  // Liveness, and refusals with their reason.
  heartbeat: record({
    node: address,
    ready: bool,
    // Instances placed on the node, and how many it would take.
    instances: integer(0, 1_000_000),
    limit: integer(0, 1_000_000),
    // Its last word about planned maintenance, said again until all anchors have heard it.
    drain: optional(signedDrainShape),
  }),
  // Health: probes, what they measured, and what follows from it.
  ping: record({ ping: Ping, signature }),
  pong: record({ pong: Pong, signature }),
  samples: record({ samples: listOf(signedSampleShape, SAMPLES_LIMIT) }),
  'sample-conflict': record({ conflict: sampleConflictShape }),
  'penalty-proposal': record({ record: PenaltyRecord, samples: listOf(signedSampleShape, EVIDENCE_LIMIT) }),
  'penalty-signature': record({ node: address, record: bytes32, signature }),
  penalty: record({ certified: certifiedPenaltyShape }),
  replace: record({ instance: bytes32, replace: Replace, signature }),
  refused: record({ instance: bytes32, about: text(32), code: text(64), facts: text(1024) }),
})
export type WireMessage = ShapeOf<typeof wireShape>
export type WireType = WireMessage['type']
