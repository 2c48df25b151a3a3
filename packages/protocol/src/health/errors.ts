/** Why a sample, a penalty or a planned maintenance does not count. */
import { entry } from '../errors/kind.ts'

export const healthErrors = {
  'health.not_prober': entry<{ prober: string; node: string }>(
    'denied',
    (f) => `${f.prober} is no prober of ${f.node}.`,
    'Take samples only of the anchors that probe a node by its rendezvous order.',
  ),
  'health.window': entry<{ start: bigint; detail: string }>(
    'invalid',
    (f) => `The window that starts at ${f.start} does not count: ${f.detail}.`,
    'Send samples of whole windows, soon after their end; correct the clock if they seem to be of another time.',
  ),
  'health.counts': entry<{ detail: string }>(
    'invalid',
    (f) => `The counts of the sample contradict each other: ${f.detail}.`,
    'Count every probe once: answered, failed, or neither.',
  ),
  'health.known': entry('conflict', () => 'This sample is known.', 'Nothing to do.'),
  'health.conflict': entry<{ prober: string; start: bigint }>(
    'invalid',
    (f) => `${f.prober} signed two samples for the window that starts at ${f.start}.`,
    'Keep both as proof; samples of this anchor do not count any more.',
  ),
  'health.evidence': entry<{ detail: string }>(
    'invalid',
    (f) => `The samples do not carry the penalty: ${f.detail}.`,
    'Propose a penalty once enough windows with enough samples missed their objectives.',
  ),
  'health.penalty_terms': entry<{ detail: string }>(
    'invalid',
    (f) => `The penalty is not the one that the rules give: ${f.detail}.`,
    'Compute its length from the penalties before it.',
  ),
  'health.signatures': entry<{ got: number; needed: number }>(
    'unavailable',
    (f) => `${f.got} probers signed the penalty, ${f.needed} needed.`,
    'Ask more probers of the node.',
  ),
  'health.drain_budget': entry<{ askedMs: number; leftMs: number }>(
    'conflict',
    (f) => `Planned maintenance of ${f.askedMs} ms is more than the ${f.leftMs} ms that are left in this epoch.`,
    'Plan less, or wait for the next epoch.',
  ),
  'health.drain_old': entry<{ issued: bigint; known: bigint }>(
    'conflict',
    (f) => `A later word of this node about its maintenance is known (${f.known}, this one ${f.issued}).`,
    'Nothing to do.',
  ),
  'health.drain_time': entry<{ detail: string }>(
    'invalid',
    (f) => `The planned maintenance does not count: ${f.detail}.`,
    'Announce maintenance before it begins, for at most a day ahead, in your own name.',
  ),
  'health.node_unknown': entry<{ node: string }>(
    'missing',
    (f) => `${f.node} is no service node of this network.`,
    'See GET /v1/nodes for those that are.',
  ),
} as const
