/** The HTTP API of nodes: every request and answer as a shape, the same for server, SDK and documentation. */

import { Action, Query } from '../access/messages.ts'
import { attestationShape } from '../attestation/envelope.ts'
import { READ_DEPTH_LIMIT, READ_FAN_OUT_LIMIT } from '../composition/read.ts'
import type { Membership } from '../directory/membership.ts'
import { HOME_LIMIT } from '../directory/parameters.ts'
import { SealingKey } from '../execution/messages.ts'
import { Executed } from '../journal/messages.ts'
import {
  integer,
  listOf,
  oneOf,
  optional,
  record,
  type Shape,
  type ShapeOf,
  sharedSignature,
  signature,
  text,
} from '../primitives/shape.ts'
import { address, bool, bytes, bytes32, uint } from '../primitives/struct.ts'
import { BODY_LIMIT, streamItemShape } from '../stream/item.ts'
import { certifiedCheckpointShape, certifiedReceiptShape } from '../stream/messages.ts'
import {
  attestedGrantShape,
  certifiedJournalCheckpointShape,
  certifiedPlacementShape,
  certifiedRenewalShape,
  commitProofShape,
  journaledEntryShape,
  PUBLISH_LIMIT,
  TOKEN_TEXT_LIMIT,
} from '../wire/shapes.ts'

const MEMBER_LIMIT = 10_000
const PAGE_LIMIT = 256

export const memberShape = record({
  node: address,
  role: oneOfText('anchor', 'service'),
  transportKey: bytes32,
  overlay: text(255),
  api: text(255),
  operator: bytes32,
  platform: bytes32,
  stake: uint(256),
})

/** Epochs whose beacons may still draw homes. */
const BEACON_LIMIT = 64
const directoryShape = record({
  shardCount: integer(1, 1 << 22),
  rotation: integer(1, BEACON_LIMIT),
  homeSize: integer(1, HOME_LIMIT),
  nodesPerCell: integer(1, 1 << 20),
  weight: record({ unit: uint(256), cap: integer(1, 1 << 22) }),
})

/** GET /v1/network: what a client must know to verify. It checks members against the chain, or against f + 1 anchors. */
export const networkInfoShape = record({
  networkId: bytes32,
  chainId: uint(64),
  registry: address,
  tokenRegistry: address,
  eas: address,
  easVersion: text(16),
  epoch: uint(64),
  beacon: bytes32,
  earlierBeacons: listOf(bytes32, BEACON_LIMIT),
  directory: directoryShape,
  /** When epochs begin and end, in seconds. */
  schedule: record({ genesisS: uint(64), lengthS: uint(64), closingS: uint(64) }),
  members: listOf(memberShape, MEMBER_LIMIT),
  parameters: record({ leaseMs: uint(64), epsilonMs: uint(64), staleReadsMs: uint(64), replicas: integer(1, 31) }),
})
export type NetworkInfo = ShapeOf<typeof networkInfoShape>

/** What draws home sets, out of what a network says of itself. */
export function membershipOf({ epoch, beacon, earlierBeacons, directory, members }: NetworkInfo): Membership {
  return { epoch, beacon, earlierBeacons, directory, members }
}

/** GET /v1/tokens/:token/placement: where a token lives, with the votes that prove it. */
export const placementInfoShape = record({
  token: text(TOKEN_TEXT_LIMIT),
  instance: bytes32,
  scriptHash: bytes32,
  certified: certifiedPlacementShape,
  lease: optional(certifiedRenewalShape),
})
export type PlacementInfo = ShapeOf<typeof placementInfoShape>

/**
 * POST /v1/attestations: consecutive entries of one stream, and the receipt for the last of them that comes back. `domain`
 * says for which chain and EAS contract they were signed, so that a mix-up is told apart from a forgery.
 */
export const publishRequestShape = record({
  items: listOf(streamItemShape, PUBLISH_LIMIT),
  domain: optional(record({ chainId: uint(64), verifyingContract: address })),
})
export type PublishRequest = ShapeOf<typeof publishRequestShape>
export const receiptInfoShape = certifiedReceiptShape
export type ReceiptInfo = ShapeOf<typeof receiptInfoShape>

/** GET /v1/streams/:stream and /v1/streams/:stream/subsets/:subset: where to continue. */
export const streamHeadShape = record({
  stream: bytes32,
  epoch: uint(64),
  sequence: uint(64),
  head: bytes32,
  key: optional(address),
  certified: uint(64),
  frozenAfter: optional(uint(64)),
  floor: uint(64),
})
export type StreamHead = ShapeOf<typeof streamHeadShape>
export const subsetHeadShape = record({ stream: bytes32, subset: bytes32, sequence: uint(64), head: bytes32 })
export type SubsetHead = ShapeOf<typeof subsetHeadShape>

/** GET /v1/streams/:stream/entries and /v1/streams/:stream/subsets/:subset/entries, `?after=&limit=`. */
export const streamPageShape = record({ items: listOf(streamItemShape, PAGE_LIMIT) })

/** GET /v1/streams/:stream/checkpoint: the newest cosigned one. */
export const checkpointInfoShape = certifiedCheckpointShape

/** GET /v1/streams/:stream/fork: both entries that the issuer signed for one place. */
export const forkProofShape = record({ first: streamItemShape, second: streamItemShape })
export type ForkProof = ShapeOf<typeof forkProofShape>

/** GET /v1/revocations/:uid: the entry that takes an attestation or a batch root back. */
export const revocationInfoShape = record({ item: streamItemShape })

/** One message of a subscription: an entry with its cursor (place in the stream or subset), or why it ends. */
export const subscriptionEventShape = oneOf('type', {
  entry: record({ cursor: uint(64), item: streamItemShape, receipt: optional(certifiedReceiptShape) }),
  frozen: record({ after: uint(64) }),
  pruned: record({ floor: uint(64), certified: optional(certifiedCheckpointShape) }),
})
export type SubscriptionEvent = ShapeOf<typeof subscriptionEventShape>

/** POST /v1/tokens/:token/query. `args` is canonical JSON text; its hash is in the signed query. */
export const queryRequestShape = record({
  query: Query,
  signature,
  args: text(BODY_LIMIT),
  grant: optional(attestedGrantShape),
})
export type QueryRequest = ShapeOf<typeof queryRequestShape>

/** POST /v1/tokens/:token/actions. */
export const actionRequestShape = record({
  action: Action,
  signature,
  args: text(BODY_LIMIT),
  grant: optional(attestedGrantShape),
})
export type ActionRequest = ShapeOf<typeof actionRequestShape>

/** A replica's signed root at the position an answer was computed from. */
export const signedRootShape = record({ executed: Executed, signature: sharedSignature })
export type SignedRoot = ShapeOf<typeof signedRootShape>

type PlainAnswer = { readonly [K in keyof PlainShapes]: ShapeOf<PlainShapes[K]> }
type PlainShapes = ReturnType<typeof plainAnswer>
/**
 * What a query or an action returns: the attestation over `result` (canonical JSON text), the position and root it was
 * computed from, how fresh they were (`asOf` in milliseconds), and the roots that a majority of the replicas signed there.
 */
export type Answer = PlainAnswer & {
  /** What other tokens answered, where the method reads them; the attestation binds them. */
  readonly reads?: readonly ReadPart[] | undefined
}

/** One read of another token: its answer with the placement that its replicas stand in, or the code of why it is missing. */
export type ReadPart = {
  readonly name: string
  readonly token: string
  readonly method: string
  readonly args: string
  readonly code: string
  readonly placement?: PlacementInfo | undefined
  readonly answer?: Answer | undefined
}

export const answerShape: Shape<Answer> = answerOf(READ_DEPTH_LIMIT)

function plainAnswer() {
  return {
    attestation: attestationShape,
    result: text(BODY_LIMIT),
    instance: bytes32,
    method: text(64),
    term: uint(64),
    n: uint(64),
    stateRoot: bytes32,
    asOf: uint(64),
    stale: bool,
    /** The instance ended: this is what it last said. A hint; the journal holds the entry that ended it. */
    ended: optional(record({ reason: oneOfText('expired', 'retired'), time: text(20) })),
    roots: listOf(signedRootShape, 31),
    /** What vouches for the node's code: always this text until nodes carry enclave evidence. */
    evidence: text(64),
  }
}

/** Answers with parts, whose answers have parts, down to this depth. */
function answerOf(depth: number): Shape<Answer> {
  if (depth === 0) return record(plainAnswer())
  const part: Shape<ReadPart> = record({
    name: text(64),
    token: text(TOKEN_TEXT_LIMIT),
    method: text(64),
    args: text(BODY_LIMIT),
    code: text(64),
    placement: optional(placementInfoShape),
    answer: optional(answerOf(depth - 1)),
  })
  return record({ ...plainAnswer(), reads: optional(listOf(part, READ_FAN_OUT_LIMIT)) })
}

/** POST /v1/grants: one anchor's check of a grant that its holder signed. */
export const grantRequestShape = record({ grant: attestedGrantShape })
export type GrantRequest = ShapeOf<typeof grantRequestShape>

/**
 * GET /v1/instances/:instance/journal: committed entries in order; `proof` commits the last of them. What is before the newest
 * checkpoint may be cut.
 */
export const journalPageShape = record({
  instance: bytes32,
  entries: listOf(journaledEntryShape, PAGE_LIMIT),
  proof: optional(commitProofShape),
  checkpoint: optional(certifiedJournalCheckpointShape),
})
export type JournalPage = ShapeOf<typeof journalPageShape>

/** POST /v1/scripts: a script stored by content. */
export const scriptInfoShape = record({ cid: text(80), scriptHash: bytes32 })

/** GET /v1/sealing-key, and POST /v1/secrets: a secret of a token type, sealed to one node. */
export const sealingKeyShape = record({ key: SealingKey, signature })
export const secretRequestShape = record({
  contract: address,
  name: text(64),
  sealed: bytes(8192),
  time: uint(64),
  signature,
})
export type SecretRequest = ShapeOf<typeof secretRequestShape>

/** GET /v1/status: what a node says of itself. */
export const instanceStatusShape = record({
  instance: bytes32,
  token: text(TOKEN_TEXT_LIMIT),
  term: uint(64),
  executor: optional(address),
  replicas: listOf(address, 31),
  proposer: optional(address),
  expires: uint(64),
  committed: uint(64),
  executed: optional(uint(64)),
  confirmed: optional(uint(64)),
  stateRoot: optional(bytes32),
  /** What replicas signed last, as this node saw it. */
  roots: listOf(record({ node: address, n: uint(64), root: bytes32 }), 64),
  disputed: optional(text(200)),
  effects: listOf(
    record({
      id: bytes32,
      name: text(64),
      status: text(64),
      attempts: integer(0, 1_000_000),
      failures: integer(0, 1_000_000),
    }),
    64,
  ),
})
export type InstanceStatus = ShapeOf<typeof instanceStatusShape>
/** A stream at one of its home anchors. `state` is live, certifying, behind or frozen, and `reason` says why. */
export const streamStatusShape = record({
  stream: bytes32,
  issuer: optional(address),
  epoch: uint(64),
  sequence: uint(64),
  head: bytes32,
  certified: uint(64),
  checkpoint: uint(64),
  floor: uint(64),
  frozenAfter: optional(uint(64)),
  followers: integer(0, 1_000_000),
  state: text(16),
  reason: text(200),
})
export type StreamStatus = ShapeOf<typeof streamStatusShape>

/** A subset that a service node follows: `after` was applied, `known` is the furthest place it heard of. */
export const followedStatusShape = record({
  stream: bytes32,
  subset: bytes32,
  after: uint(64),
  known: uint(64),
  waiting: integer(0, 1_000_000),
  state: text(16),
  reason: text(200),
})
export type FollowedStatus = ShapeOf<typeof followedStatusShape>

export const statusShape = record({
  node: address,
  role: oneOfText('anchor', 'service'),
  version: text(32),
  evidence: text(64),
  ready: bool,
  reason: text(200),
  startedAt: uint(64),
  now: uint(64),
  epoch: uint(64),
  block: uint(64),
  peers: listOf(record({ node: address, connected: bool, lastSeen: uint(64) }), MEMBER_LIMIT),
  instances: listOf(instanceStatusShape, 1024),
  streams: listOf(streamStatusShape, 1024),
  followed: listOf(followedStatusShape, 1024),
})
export type NodeStatus = ShapeOf<typeof statusShape>

/** One message of the live socket `/v1/events`: what happened at this node, in order. */
export const nodeEventShape = record({
  sequence: integer(0, Number.MAX_SAFE_INTEGER),
  time: uint(64),
  node: address,
  event: text(64),
  facts: text(4096),
})
export type NodeEvent = ShapeOf<typeof nodeEventShape>

/** Every refusal over HTTP (RFC 9457), `application/problem+json`. */
export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly fix: string
  readonly request_id: string
  readonly retryable: boolean
  /** The facts behind `detail`, by name. */
  readonly facts: Readonly<Record<string, unknown>>
}

export const NO_EVIDENCE = 'no enclave evidence'

/** One of several words. */
export function oneOfText<T extends string>(
  ...values: readonly T[]
): { parse(input: unknown, at: string): T; toJson(value: T): unknown } {
  const shapes = oneOf('value', Object.fromEntries(values.map((value) => [value, record({})])))
  return {
    parse: (input, at) => (shapes.parse({ value: input }, at) as { value: T }).value,
    toJson: (value) => value,
  }
}
