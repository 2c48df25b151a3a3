/** The executor's side of one journal entry in flight: proposed, certified, committed (docs/spec/journal.md). */
import type { Address, Hex } from '../primitives/bytes.ts'
import type { Certificate, CommitProof, Entry, Head } from './messages.ts'

export type Proposal = {
  readonly entry: Entry
  readonly head: Head
  readonly accepts: ReadonlyMap<Address, Hex>
  readonly held: ReadonlyMap<Address, Hex>
}

export type Progress =
  | { readonly stage: 'proposed'; readonly proposal: Proposal }
  | { readonly stage: 'certified'; readonly proposal: Proposal; readonly certificate: Certificate }
  | {
      readonly stage: 'committed'
      readonly proposal: Proposal
      readonly certificate: Certificate
      readonly proof: CommitProof
    }

export function propose(entry: Entry, head: Head): Proposal {
  return { entry, head, accepts: new Map(), held: new Map() }
}

/** Counts one accept whose signature was checked at the door. */
export function countAccept(proposal: Proposal, anchor: Address, signature: Hex): Proposal {
  return { ...proposal, accepts: new Map(proposal.accepts).set(anchor, signature) }
}

/** Counts one hold whose signature was checked at the door. */
export function countHeld(proposal: Proposal, anchor: Address, signature: Hex): Proposal {
  return { ...proposal, held: new Map(proposal.held).set(anchor, signature) }
}

/** How far the entry has come with the signatures counted so far. */
export function progressOf(proposal: Proposal, quorum: number): Progress {
  if (proposal.accepts.size < quorum) return { stage: 'proposed', proposal }
  const certificate: Certificate = { entry: proposal.entry, accepts: [...proposal.accepts.values()] }
  if (proposal.held.size < quorum) return { stage: 'certified', proposal, certificate }
  const proof: CommitProof = { by: 'held', entry: proposal.entry, held: [...proposal.held.values()] }
  return { stage: 'committed', proposal, certificate, proof }
}
