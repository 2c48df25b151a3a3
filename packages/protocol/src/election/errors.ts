/** Why a placement, a vote, a renewal or a release does not count. */
import { entry } from '../errors/kind.ts'

export const electionErrors = {
  'election.term_old': entry<{ term: bigint; highest: bigint }>(
    'conflict',
    (f) => `Term ${f.term} is not above ${f.highest}, the highest this anchor signed for.`,
    'Prepare a later term.',
  ),
  'election.term_jump': entry<{ term: bigint; highest: bigint }>(
    'conflict',
    (f) => `Term ${f.term} skips too far over ${f.highest}.`,
    'Prepare the next term of a proposer that answers.',
  ),
  'election.not_proposer': entry<{ term: bigint; proposer: string }>(
    'denied',
    (f) => `Term ${f.term} belongs to proposer ${f.proposer}.`,
    'Wait for the own turn.',
  ),
  'election.voted': entry<{ term: bigint }>(
    'conflict',
    (f) => `This anchor voted for another placement in term ${f.term}.`,
    'Prepare the next term.',
  ),
  'election.lease_running': entry<{ until: bigint }>(
    'conflict',
    (f) => `An earlier lease may run until ${f.until} by the clock of this anchor.`,
    'Try again after it, or release it.',
  ),
  'election.not_before': entry<{ notBefore: bigint; earliest: bigint }>(
    'conflict',
    (f) => `The lease would start at ${f.notBefore}; ${f.earliest} is the earliest.`,
    'Propose a later start.',
  ),
  'election.lease_length': entry<{ length: bigint; limit: bigint }>(
    'invalid',
    (f) => `The lease would last ${f.length} ms; ${f.limit} ms is the most.`,
    'Propose a shorter lease; it is renewed while the executor lives.',
  ),
  'election.head': entry(
    'invalid',
    () => 'The placement does not start at the highest certificate of its reports.',
    'Take the maximum by (term, n) of the certificates reported.',
  ),
  'election.reports': entry<{ got: number; needed: number }>(
    'invalid',
    (f) => `${f.got} valid reports for this term, ${f.needed} needed.`,
    'Collect reports of more home anchors.',
  ),
  'election.votes': entry<{ got: number; needed: number }>(
    'unavailable',
    (f) => `${f.got} valid votes for this placement, ${f.needed} needed.`,
    'Ask more home anchors; a lying one cannot forge votes.',
  ),
  'election.executor': entry<{ node: string }>(
    'invalid',
    (f) => `${f.node} is not a registered service node.`,
    'Choose executor and replicas from the registry.',
  ),
  'election.unknown_placement': entry(
    'missing',
    () => 'This anchor knows no such placement.',
    'Ask for the current placement of the instance.',
  ),
  'election.released': entry(
    'conflict',
    () => 'The placement was released.',
    'Wait for the placement of the next term.',
  ),
  'election.executor_drained': entry<{ executor: string }>(
    'conflict',
    (f) => `Executor ${f.executor} missed its objectives for too long and did not hand over when it was asked to.`,
    'Let the lease run out; another node is elected.',
  ),
  'election.clock': entry<{ now: bigint; highest: bigint }>(
    'unavailable',
    (f) => `The clock stands at ${f.now}, below ${f.highest} which it showed before.`,
    'Correct the clock of the machine; the node takes no part until then.',
  ),
  'election.restart_wait': entry<{ remainingMs: number }>(
    'conflict',
    (f) => `Restarted; votes for no new executor for another ${f.remainingMs} ms.`,
    'Wait: an earlier lease may still run.',
  ),
  'placement.none': entry<{ token: string }>(
    'unavailable',
    (f) => `Token ${f.token} has no placement at the moment.`,
    'Try again in a moment; the home anchors are electing an executor.',
  ),
} as const
