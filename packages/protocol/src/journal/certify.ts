/** The door of the journal: which signatures make a certificate, a commit proof, a placement or a renewal count. */
import type { Home } from '../directory/home.ts'
import {
  type CertifiedPlacement,
  type CertifiedRenewal,
  Placement,
  placementHash,
  Renew,
} from '../election/messages.ts'
import type { Bytes32, Hex } from '../primitives/bytes.ts'
import type { Crypto } from '../primitives/crypto.ts'
import { type Domain, digestOf } from '../primitives/domain.ts'
import { signersAmong } from '../primitives/quorum.ts'
import type { Struct } from '../primitives/struct.ts'
import { accept, reject, type Verdict } from '../primitives/verdict.ts'
import {
  Accept,
  type Certificate,
  type CertifiedEntry,
  type CommitProof,
  entryHash,
  type Head,
  Held,
  placeOf,
} from './messages.ts'

export type Door = { readonly domain: Domain; readonly crypto: Crypto }

/** A certificate counts with valid accepts of 2f + 1 home anchors. */
export function checkCertificate(certificate: Certificate, home: Home, door: Door): Verdict<CertifiedEntry> {
  const { entry, accepts } = certificate
  const hash = entryHash(entry, door.domain, door.crypto.keccak)
  const got = countSignatures(Accept, placeOf(entry, hash), accepts, home, door)
  if (got < home.quorum) return reject('journal.certificate', { got, needed: home.quorum })
  return accept({ certificate, head: { term: entry.term, n: entry.n, hash } })
}

/** Committed: 2f + 1 holds of the entry, or a certificate of the next entry of the same term, which implies them. */
export function checkCommit(proof: CommitProof, home: Home, door: Door): Verdict<Head> {
  const hash = entryHash(proof.entry, door.domain, door.crypto.keccak)
  const head: Head = { term: proof.entry.term, n: proof.entry.n, hash }
  if (proof.by === 'held') {
    const got = countSignatures(Held, placeOf(proof.entry, hash), proof.held, home, door)
    return got < home.quorum ? reject('journal.certificate', { got, needed: home.quorum }) : accept(head)
  }
  const next = checkCertificate(proof.next, home, door)
  if (next.verdict !== 'accept') return next
  const { entry } = proof.next
  const follows = entry.previous === hash && entry.n === head.n + 1n && entry.term === head.term
  return follows ? accept(head) : reject('journal.predecessor')
}

/** A placement counts with the votes of 2f + 1 home anchors. */
export function checkPlacement(certified: CertifiedPlacement, home: Home, door: Door): Verdict<Bytes32> {
  const hash = placementHash(certified.placement, door.domain, door.crypto.keccak)
  const got = countSignatures(Placement, certified.placement, certified.votes, home, door)
  return got < home.quorum ? reject('election.votes', { got, needed: home.quorum }) : accept(hash)
}

/** A renewal counts with the votes of 2f + 1 home anchors. */
export function checkRenewal(certified: CertifiedRenewal, home: Home, door: Door): Verdict<Renew> {
  const got = countSignatures(Renew, certified.renew, certified.votes, home, door)
  return got < home.quorum ? reject('election.votes', { got, needed: home.quorum }) : accept(certified.renew)
}

function countSignatures<T>(
  type: Struct<T>,
  value: T,
  signatures: readonly Hex[],
  home: Home,
  { domain, crypto }: Door,
): number {
  const digest = digestOf(type, value, domain, crypto.keccak)
  return signersAmong(home.anchors, { digest, signatures }, crypto).length
}
