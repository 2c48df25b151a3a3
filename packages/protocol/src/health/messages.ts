/** Signed messages of health: what probers measured, what follows from it, and what a node says of itself (docs/spec/health.md). */
import type { Bytes32, Hex } from '../primitives/bytes.ts'
import { toHex } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { type Domain, digestOf } from '../primitives/domain.ts'
import { listOf, record, signature } from '../primitives/shape.ts'
import { address, bytes32, list, string, struct, type TypeOf, uint } from '../primitives/struct.ts'
import { LATENCY_BUCKETS } from './latency.ts'

/** Samples that one penalty may rest on. */
export const EVIDENCE_LIMIT = 256
/** Nodes that one list of weights names. */
export const WEIGHTS_LIMIT = 256
const SIGNATURE_LIMIT = 31

/** An anchor asks a service node whether it is there, and where it stands in an instance (zero: in none). */
export const Ping = struct('Ping', { prober: address, node: address, nonce: bytes32, instance: bytes32 })
export type Ping = TypeOf<typeof Ping>

/** The answer to the ping with this digest. `n` is the last entry that the node executed of the instance; 0 without one. */
export const Pong = struct('Pong', { ping: bytes32, n: uint(64), instances: uint(32), limit: uint(32) })
export type Pong = TypeOf<typeof Pong>

/**
 * What one anchor measured of one node in one window. Of `probes` some were `answered`, some `failed` (an answer came, and it
 * was wrong or a refusal), the rest found nobody. `stale` counts those answered from too old a position, `stalenessMs` is
 * the oldest. `latency` counts answers by bucket. Times in milliseconds since 1970.
 */
export const ProbeSample = struct('ProbeSample', {
  node: address,
  prober: address,
  start: uint(64),
  lengthMs: uint(32),
  probes: uint(32),
  answered: uint(32),
  failed: uint(32),
  stale: uint(32),
  stalenessMs: uint(64),
  latency: list(uint(32), LATENCY_BUCKETS),
})
export type ProbeSample = TypeOf<typeof ProbeSample>

/**
 * A node gets no placement until `until`, because it missed its objectives in the windows from `first` to `last`, as the
 * samples with these hashes show. `repeat` counts the penalties before this one that still weigh.
 */
export const PenaltyRecord = struct('PenaltyRecord', {
  node: address,
  first: uint(64),
  last: uint(64),
  from: uint(64),
  until: uint(64),
  repeat: uint(32),
  samples: list(bytes32, EVIDENCE_LIMIT),
})
export type PenaltyRecord = TypeOf<typeof PenaltyRecord>

/** Planned maintenance, by the node itself. `issued` tells a later word from an earlier one; `until` of at most `from` takes it back. */
export const Drain = struct('Drain', { node: address, issued: uint(64), from: uint(64), until: uint(64) })
export type Drain = TypeOf<typeof Drain>

/** Why a home anchor wants a placement to be made anew. */
export const REPLACE_REASONS = ['gone', 'draining', 'penalised', 'few'] as const
export type ReplaceReason = (typeof REPLACE_REASONS)[number]

/** A home anchor asks the executor to release its placement, so that it is made anew without `node` (zero: with more replicas). */
export const Replace = struct('Replace', { placement: bytes32, node: address, reason: string(16) })
export type Replace = TypeOf<typeof Replace>

/** How reads should be shared out among nodes, by one anchor: parts of 10,000. Time in milliseconds since 1970. */
export const ReadWeights = struct('ReadWeights', {
  anchor: address,
  time: uint(64),
  nodes: list(address, WEIGHTS_LIMIT),
  weights: list(uint(16), WEIGHTS_LIMIT),
})
export type ReadWeights = TypeOf<typeof ReadWeights>

export type SignedSample = { readonly sample: ProbeSample; readonly signature: Hex }
export type SignedDrain = { readonly drain: Drain; readonly signature: Hex }
/** A penalty with the signatures of its node's probers; it counts with 2f + 1. */
export type CertifiedPenalty = { readonly record: PenaltyRecord; readonly signatures: readonly Hex[] }
/** Two different samples of one prober for one node and window: one of them is a lie. */
export type SampleConflict = { readonly first: SignedSample; readonly second: SignedSample }

export const signedSampleShape = record({ sample: ProbeSample, signature })
export const signedDrainShape = record({ drain: Drain, signature })
export const certifiedPenaltyShape = record({ record: PenaltyRecord, signatures: listOf(signature, SIGNATURE_LIMIT) })
export const sampleConflictShape = record({ first: signedSampleShape, second: signedSampleShape })

/** The name of a sample in penalties: its EIP-712 digest. */
export function sampleHash(sample: ProbeSample, domain: Domain, keccak: Hasher): Bytes32 {
  return toHex(digestOf(ProbeSample, sample, domain, keccak))
}
