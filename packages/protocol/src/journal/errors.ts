/** Why a journal entry is not accepted, certified, held or executed. */
import { entry } from '../errors/kind.ts'

export const journalErrors = {
  'journal.roots': entry<{ n: bigint; got: number; needed: number }>(
    'unavailable',
    (f) => `${f.got} replicas signed this root after entry ${f.n}, ${f.needed} needed.`,
    'Offer the checkpoint with the roots of a majority of the replicas.',
  ),
  'journal.quorum': entry<{ got: number; needed: number }>(
    'invalid',
    (f) => `${f.got} valid signatures for this checkpoint, ${f.needed} needed.`,
    'Ask more home anchors; a lying one cannot forge signatures.',
  ),
  'journal.pruned': entry<{ floor: bigint; asked: bigint }>(
    'missing',
    (f) => `Entries up to ${f.floor} were cut after a checkpoint; ${f.asked} was asked for.`,
    'Go on from the checkpoint of the instance.',
  ),
  'journal.placement': entry(
    'conflict',
    () => 'The entry names a placement that is not current for this anchor.',
    'Propose under the current placement.',
  ),
  'journal.lease_over': entry<{ expires: bigint; now: bigint }>(
    'conflict',
    (f) => `The lease ended at ${f.expires}; it is ${f.now} here.`,
    'Renew the lease first.',
  ),
  'journal.not_executor': entry<{ executor: string }>(
    'denied',
    (f) => `Only executor ${f.executor} proposes in this term.`,
    'Send the input to the executor.',
  ),
  'journal.predecessor': entry(
    'conflict',
    () => 'The predecessor is neither the head of the placement nor a certified entry of this term.',
    'Propose the entries in order, each with the certificate of the one before.',
  ),
  'journal.accepted_other': entry<{ n: bigint; term: bigint }>(
    'conflict',
    (f) => `Another entry was accepted at ${f.n} in term ${f.term}.`,
    'Nothing: one of the two signatures of the executor is evidence against it.',
  ),
  'journal.certificate': entry<{ got: number; needed: number }>(
    'invalid',
    (f) => `${f.got} valid accepts, ${f.needed} needed.`,
    'Collect accepts of more home anchors.',
  ),
  'journal.input': entry<{ detail: string }>(
    'denied',
    (f) => `The input of the entry does not hold: ${f.detail}.`,
    'Propose only inputs with a valid attestation.',
  ),
  'journal.time': entry<{ time: bigint; low: bigint; high: bigint }>(
    'invalid',
    (f) => `The entry says ${f.time}; ${f.low} to ${f.high} is possible.`,
    'Correct the clock of the executor.',
  ),
  'journal.body_missing': entry<{ n: bigint }>(
    'conflict',
    (f) => `The body of entry ${f.n} is not known here.`,
    'Send the chain back to the checkpoint with the proposal.',
  ),
  'journal.gap': entry<{ next: bigint; got: bigint }>(
    'conflict',
    (f) => `Executed up to ${f.next - 1n}; entry ${f.got} must wait.`,
    'Fetch the entries between from the home anchors.',
  ),
  'journal.root_mismatch': entry<{ n: bigint; mine: string; theirs: string }>(
    'fault',
    (f) => `At ${f.n} this replica has root ${f.mine}, another has ${f.theirs}.`,
    'Nothing leaves until the home anchors have re-executed; look at the dispute.',
  ),
  'journal.unknown_instance': entry<{ instance: string }>(
    'missing',
    (f) => `Instance ${f.instance} is not known here.`,
    'Ask an anchor for the placement of the token.',
  ),
} as const
