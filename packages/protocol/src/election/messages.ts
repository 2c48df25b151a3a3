/** Signed messages of the election: reports, placements, renewals, releases (docs/spec/election.md). */

import type { Certificate, CertifiedJournalCheckpoint } from '../journal/messages.ts'
import { type Bytes32, type Hex, toHex } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { type Domain, digestOf } from '../primitives/domain.ts'
import { address, bytes32, list, struct, type TypeOf, uint } from '../primitives/struct.ts'

/** What an anchor knows of an instance when a term is prepared: its highest certificate (all zero: none, or the checkpoint). */
export const Report = struct('Report', {
  instance: bytes32,
  term: uint(64),
  certificateTerm: uint(64),
  certificateN: uint(64),
  certificateHash: bytes32,
})
export type Report = TypeOf<typeof Report>

/** Who executes an instance, in one term. Times in milliseconds since 1970; `head*` is where its journal continues. */
export const Placement = struct('Placement', {
  instance: bytes32,
  term: uint(64),
  incarnation: uint(64),
  proposer: address,
  executor: address,
  replicas: list(address, 31),
  headTerm: uint(64),
  headN: uint(64),
  headHash: bytes32,
  notBefore: uint(64),
  expires: uint(64),
})
export type Placement = TypeOf<typeof Placement>

/** Extends the lease of a placement; never its nodes. */
export const Renew = struct('Renew', { placement: bytes32, expires: uint(64) })
export type Renew = TypeOf<typeof Renew>

/** The executor's last word in a term: durable before it leaves, after calls in flight ended. */
export const Release = struct('Release', { placement: bytes32, n: uint(64), head: bytes32 })
export type Release = TypeOf<typeof Release>

/** A report with its signature and the certificate that proves it. */
export type SignedReport = {
  readonly report: Report
  readonly signature: Hex
  readonly certificate: Certificate | undefined
  /** Proves the report instead, where the incarnation began with a checkpoint and nothing is certified in it yet. */
  readonly restored: CertifiedJournalCheckpoint | undefined
}

/** A placement with the votes of its home anchors; valid with 2f + 1. */
export type CertifiedPlacement = { readonly placement: Placement; readonly votes: readonly Hex[] }

/** A renewal with its votes; valid with 2f + 1. */
export type CertifiedRenewal = { readonly renew: Renew; readonly votes: readonly Hex[] }

/** The name of a placement in all later messages: its EIP-712 digest. */
export function placementHash(placement: Placement, domain: Domain, keccak: Hasher): Bytes32 {
  return toHex(digestOf(Placement, placement, domain, keccak))
}
