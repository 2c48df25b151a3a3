/** How anchor records and journaled entries rest on disk. */
import {
  type AnchorRecord,
  bytes32,
  certificateShape,
  certifiedJournalCheckpointShape,
  certifiedPlacementShape,
  emptyRecord,
  listOf,
  optional,
  Report,
  record,
  uint,
  votedLeaseShape,
} from '@smartlayer/protocol'

export const headShape = record({ term: uint(64), n: uint(64), hash: bytes32 })

export const anchorRecordShape = record({
  instance: bytes32,
  /** Left out by records from before there were incarnations. */
  incarnation: optional(uint(64)),
  restored: optional(certifiedJournalCheckpointShape),
  term: uint(64),
  report: optional(Report),
  voted: optional(bytes32),
  leases: listOf(votedLeaseShape, 1024),
  placement: optional(record({ certified: certifiedPlacementShape, hash: bytes32 })),
  accepted: optional(headShape),
  certified: optional(record({ certificate: certificateShape, head: headShape })),
  held: optional(headShape),
  committed: headShape,
})

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function encodeRecord({ placement, ...rest }: AnchorRecord): Uint8Array {
  const stored = placement && {
    certified: { placement: placement.placement, votes: placement.votes },
    hash: placement.hash,
  }
  return encodeJson(anchorRecordShape.toJson({ ...rest, placement: stored }))
}

export function decodeRecord(bytes: Uint8Array): AnchorRecord {
  const { placement, incarnation = 0n, ...rest } = anchorRecordShape.parse(decodeJson(bytes), 'record')
  return {
    ...emptyRecord(rest.instance),
    incarnation,
    ...rest,
    placement: placement && { ...placement.certified, hash: placement.hash },
  }
}

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value))
}

export function decodeJson(bytes: Uint8Array): unknown {
  return JSON.parse(decoder.decode(bytes))
}
