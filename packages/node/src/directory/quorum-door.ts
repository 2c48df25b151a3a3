/** The door for what home sets signed together: each is judged by the home set of its own term, present or past. */
import {
  type AnchorRecord,
  type Bytes32,
  type Certificate,
  type CertifiedEntry,
  type CertifiedJournalCheckpoint,
  type CertifiedPlacement,
  type CertifiedRenewal,
  type CommitProof,
  checkCertificate,
  checkCommit,
  checkJournalCheckpoint,
  checkPlacement,
  checkRenewal,
  type Door,
  entryHash,
  epochOfTerm,
  type Head,
  type HomeSet,
  type Placement,
  placementHash,
  type Refusal,
  type Renew,
  type Verdict,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'

/** All that decides which home set is asked. */
type Subject = Pick<LoadedToken, 'token'>
/** What this node knows already of an instance and need not check again. */
type Known = Pick<AnchorRecord, 'placement' | 'certified'>

export class QuorumDoor {
  readonly #context: NodeContext
  readonly #door: Door

  constructor({ identity }: Pick<Ports, 'identity'>, context: NodeContext) {
    this.#context = context
    this.#door = { domain: context.domain, crypto: identity.crypto }
  }

  /** The home set in force for a token. */
  home({ token }: Subject): HomeSet {
    return this.#context.homes().of(token)
  }

  /** The home set whose votes count in a term; undefined when there never was one, or this node does not know of it yet. */
  homeIn({ token }: Subject, term: bigint): HomeSet | undefined {
    return this.#context.homes().at(token, epochOfTerm(term))
  }

  placement(token: Subject, certified: CertifiedPlacement, known?: Known): Verdict<Bytes32> {
    const { domain, crypto } = this.#door
    const hash = known?.placement && placementHash(certified.placement, domain, crypto.keccak)
    if (hash && known?.placement?.hash === hash) return { verdict: 'accept', value: hash }
    return this.#by(token, certified.placement.term, (home) => checkPlacement(certified, home, this.#door))
  }

  renewal(token: Subject, certified: CertifiedRenewal, { term }: Pick<Placement, 'term'>): Verdict<Renew> {
    return this.#by(token, term, (home) => checkRenewal(certified, home, this.#door))
  }

  certificate(token: Subject, certificate: Certificate, known?: Known): Verdict<CertifiedEntry> {
    const { domain, crypto } = this.#door
    const hash = known?.certified && entryHash(certificate.entry, domain, crypto.keccak)
    if (hash && known?.certified?.head.hash === hash) return { verdict: 'accept', value: known.certified }
    return this.#by(token, certificate.entry.term, (home) => checkCertificate(certificate, home, this.#door))
  }

  commit(token: Subject, proof: CommitProof): Verdict<Head> {
    return this.#by(token, proof.entry.term, (home) => checkCommit(proof, home, this.#door))
  }

  checkpoint(token: Subject, certified: CertifiedJournalCheckpoint): Verdict<Head> {
    const home = this.#context.homes().at(token.token, certified.checkpoint.homeEpoch)
    return home ? checkJournalCheckpoint(certified, home, this.#door) : unknownEpoch(certified.checkpoint.term)
  }

  #by<T>(token: Subject, term: bigint, check: (home: HomeSet) => Verdict<T>): Verdict<T> {
    const home = this.homeIn(token, term)
    return home ? check(home) : unknownEpoch(term)
  }
}

function unknownEpoch(term: bigint): Refusal {
  return { verdict: 'ignore', code: 'home.epoch', facts: { epoch: epochOfTerm(term), standing: 0n } }
}
