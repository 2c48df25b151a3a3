/** Rules to take away, each by an edit of its source: the model must find what comes of it, or say why nothing does. */
import { type Bug, edit } from '../bugs.ts'

export type Break = Bug & {
  /** Where to look, smallest first. */
  readonly profiles: readonly string[]
  /** What comes of it lies beyond the bounds, or concerns no property of the whole: the anchor's own promise is looked at alone. */
  readonly promiseOnly?: true
  /** Why nothing comes of it when this rule alone is gone; `together` takes away what stands in for it too. */
  readonly redundant?: { readonly why: string; readonly together?: string }
  /** What comes of it is no loss but a wait: safety does not rest on it. */
  readonly stall?: true
}

const VOTE = 'packages/protocol/src/election/vote.ts'
const LEASE = 'packages/protocol/src/election/lease.ts'
const RECORD = 'packages/protocol/src/election/record.ts'
const ACCEPT = 'packages/protocol/src/journal/accept.ts'
const CERTIFY = 'packages/protocol/src/journal/certify.ts'
const PROPOSE = 'packages/protocol/src/journal/propose.ts'
const MESSAGES = 'packages/protocol/src/journal/messages.ts'
const HAND_OVER = 'packages/protocol/src/election/hand-over.ts'
/** These mirror `lease-keeper.ts`, `record-book.ts`, `standings.ts` and `hand-over.ts` of `packages/node/src`. */
const ANCHOR = 'packages/simulator/src/model/anchor.ts'
const ANSWERS = 'packages/simulator/src/model/hand-over.ts'
const EXECUTOR = 'packages/simulator/src/model/executor.ts'

const LEASE_RUNNING = edit(
  VOTE,
  "if (until > 0n && !isOver(until, context)) return ignore('election.lease_running', { until })",
  '',
)
const NOT_BEFORE = edit(
  VOTE,
  'if (until > 0n && placement.notBefore <= until + context.epsilonMs) {',
  'if (false as boolean) {',
)
const HOLD_BELOW_TERM = edit(
  ACCEPT,
  "if (head.term < record.term) return ignore('election.term_old', { term: head.term, highest: record.term })",
  '',
)

const ANCHOR_EPSILON = edit(RECORD, 'return now - epsilonMs > expires', 'return now > expires + 0n * epsilonMs')
const EXECUTOR_EPSILON = edit(
  LEASE,
  'clock.now + epsilonMs + BigInt(longestMs)',
  'clock.now + 0n * epsilonMs + BigInt(longestMs)',
)

export const BREAKS: readonly Break[] = [
  {
    name: 'quorum-of-reports',
    profiles: ['order-small'],
    edits: [edit(VOTE, 'if (reporters.size < home.quorum) return', 'if (reporters.size < 1) return')],
  },
  {
    name: 'head-is-the-maximum',
    profiles: ['order-small'],
    edits: [edit(VOTE, "if (!sameHead) return reject('election.head')", '')],
  },
  {
    name: 'heads-by-term-first',
    profiles: ['order'],
    redundant: {
      why: 'A chain of an older term is never longer than what a later term could commit: two honest anchors that accept n + 1 know the certificate of n, so a later head is n or higher, and where n is equal the later term wins.',
    },
    edits: byLength('a.term < b.term ? -1 : 1'),
  },
  {
    name: 'heads-by-length-then-lower-term',
    profiles: ['order'],
    edits: byLength('a.term < b.term ? 1 : -1'),
  },
  {
    name: 'only-lower-terms-count-as-head',
    profiles: ['order-small', 'order-proposers', 'order'],
    redundant: {
      why: 'A report of term t that names a certificate of term t can only be made once t has a placement, so by an anchor that may sign no other; a second placement of t gets no quorum.',
    },
    edits: [edit(VOTE, '.filter((head) => head.term < term)', '')],
  },
  {
    name: 'vote-waits-for-leases',
    profiles: ['leases', 'leases-begins'],
    redundant: {
      why: '`notBefore` alone keeps the next executor waiting, since its votes end all renewals of the old lease.',
      together: 'vote-waits-at-all',
    },
    edits: [LEASE_RUNNING],
  },
  {
    name: 'not-before',
    profiles: ['leases', 'leases-begins'],
    redundant: {
      why: 'A vote is given only once the old lease is over for all clocks, so whoever gets it begins after that.',
      together: 'vote-waits-at-all',
    },
    edits: [NOT_BEFORE],
  },
  { name: 'vote-waits-at-all', profiles: ['leases'], edits: [LEASE_RUNNING, NOT_BEFORE] },
  {
    name: 'renewals-bind',
    profiles: ['leases'],
    edits: [
      edit(
        VOTE,
        '{ placement: request.placement, term, expires, released: false }]',
        '{ placement: request.placement, term, expires: until, released: false }]',
      ),
    ],
  },
  {
    name: 'epsilon-in-is-over',
    profiles: ['leases'],
    redundant: {
      why: 'Clocks of an anchor and an executor differ by ε at most, and the executor stops ε before the end.',
      together: 'epsilon-at-all',
    },
    edits: [ANCHOR_EPSILON],
  },
  {
    name: 'epsilon-in-may-act',
    profiles: ['leases'],
    redundant: {
      why: 'Clocks of an anchor and an executor differ by ε at most, and the anchor waits ε beyond the end.',
      together: 'epsilon-at-all',
    },
    edits: [EXECUTOR_EPSILON],
  },
  { name: 'epsilon-at-all', profiles: ['leases'], edits: [ANCHOR_EPSILON, EXECUTOR_EPSILON, NOT_BEFORE] },
  {
    name: 'renew-below-term',
    profiles: ['leases'],
    edits: [
      edit(VOTE, "if (term < record.term) return ignore('election.term_old', { term, highest: record.term })", ''),
    ],
  },
  {
    name: 'renew-after-release',
    promiseOnly: true,
    profiles: ['release-promises'],
    edits: [edit(VOTE, "if (known?.released) return ignore('election.released')", '')],
  },
  {
    name: 'accept-after-release',
    promiseOnly: true,
    profiles: ['release-promises'],
    edits: [edit(ACCEPT, "if (known?.released) return ignore('election.released')", '')],
  },
  {
    name: 'release-is-remembered',
    promiseOnly: true,
    profiles: ['release-promises'],
    edits: [
      edit(
        RECORD,
        '(lease.released ? lease.term >= term : mayRun(lease, context))',
        '!lease.released && mayRun(lease, context)',
      ),
    ],
  },
  {
    name: 'restart-waits',
    profiles: ['restarts'],
    edits: [
      edit(
        VOTE,
        "if (until > 0n && !context.settled) return ignore('election.restart_wait', { remainingMs: Number(context.leaseMs) })",
        '',
      ),
      NOT_BEFORE, // alone it keeps the next executor waiting, as for votes that do not wait
    ],
  },
  {
    name: 'restart-forgets-no-lease',
    profiles: ['restarts'],
    edits: [edit(RECORD, '!context.settled || !isOver(', '!isOver(')],
  },
  {
    name: 'one-vote-per-term',
    promiseOnly: true,
    profiles: ['order-proposers'],
    edits: [edit(VOTE, "if (sameTerm && record.voted) return ignore('election.voted', { term: placement.term })", '')],
  },
  {
    name: 'accept-below-term',
    profiles: ['order-small'],
    edits: [
      edit(
        ACCEPT,
        "if (entry.term < record.term) return ignore('election.term_old', { term: entry.term, highest: record.term })",
        '',
      ),
    ],
  },
  {
    name: 'one-accept-per-place',
    profiles: ['order-small'],
    edits: [edit(ACCEPT, 'before.n >= entry.n && before.hash !== hash', 'before.n > entry.n && before.hash !== hash')],
  },
  {
    name: 'predecessor-is-certified',
    profiles: ['order-executors', 'order'],
    edits: [
      edit(
        ACCEPT,
        'return afterHead || afterOwn ? undefined',
        'return afterHead || afterOwn || entry.n > body.headN + 1n ? undefined',
      ),
    ],
  },
  { name: 'hold-below-term', profiles: ['order-small'], edits: [HOLD_BELOW_TERM] },
  {
    name: 'commit-in-the-own-term',
    profiles: ['order-small', 'order'],
    edits: [edit(CERTIFY, 'entry.n === head.n + 1n && entry.term === head.term', 'entry.n === head.n + 1n')],
  },
  {
    name: 'commit-by-holds',
    profiles: ['order-small'],
    edits: [edit(PROPOSE, 'if (proposal.held.size < quorum) return', 'if (proposal.held.size < 0) return')],
  },
  {
    name: 'lease-counts-from-the-request',
    profiles: ['stalled-clock'],
    edits: [edit(EXECUTOR, 'expires: asked.expires, asked: asked.at }', 'expires: asked.expires, asked: 0 }')],
  },
  {
    name: 'monotonic-clock',
    profiles: ['stalled-clock'],
    edits: [edit(LEASE, 'clock.monotonic + longestMs <= lease.asked + Number(leaseMs)', 'clock.monotonic >= 0')],
  },
  {
    name: 'other-epoch',
    profiles: ['hand-over'],
    edits: [edit(RECORD, 'if (epoch === epochOfTerm(term)) return undefined', 'return undefined')],
  },
  {
    name: 'sign-below-a-seal',
    profiles: ['hand-over'],
    edits: [edit(HAND_OVER, 'return sealed === opened && opened > 0n', 'return opened > 0n')],
  },
  {
    name: 'seal-is-durable',
    profiles: ['hand-over'],
    edits: [
      edit(
        ANCHOR,
        'return { ...anchor, unsettled: settlingTicks(profile), bare: false }',
        'return { ...anchor, standing: standingAtFirst(anchor.sets), unsettled: settlingTicks(profile), bare: false }',
      ),
    ],
  },
  {
    name: 'hand-over-only-what-was-taken-over',
    profiles: ['hand-over-missed'],
    edits: [edit(HAND_OVER, 'return opened >= before && sealed >= epoch', 'return sealed >= epoch')],
  },
  {
    name: 'hand-over-only-what-is-sealed',
    profiles: ['hand-over'],
    edits: [edit(HAND_OVER, 'return opened >= before && sealed >= epoch', 'return opened >= before')],
  },
  {
    name: 'quorum-of-answers',
    profiles: ['hand-over'],
    edits: [edit(ANSWERS, 'const needed = HOMES[0]!.quorum - 1', 'const needed = HOMES[0]!.quorum - 2')],
  },
  {
    name: 'take-over-certificates',
    profiles: ['hand-over'],
    edits: [edit(HAND_OVER, 'certified: higherCertificate(record.certified, answer.certified),', '')],
  },
  {
    name: 'take-over-leases',
    profiles: ['hand-over-leases'],
    edits: [edit(HAND_OVER, 'leases: answer.leases.reduce(withLease, record.leases),', '')],
  },
  {
    name: 'answers-only-bind',
    profiles: ['hand-over-leases'],
    edits: [edit(HAND_OVER, '{ ...sealed, released: false }', '{ released: false, ...sealed }')],
  },
  {
    name: 'unsettled-anchors-name-all-leases',
    profiles: ['hand-over-restarts'],
    edits: [edit(HAND_OVER, 'mayRun(lease, context))', 'mayRun(lease, { ...context, settled: true }))')],
  },
  {
    name: 'take-over-waits-for-the-clock',
    profiles: ['hand-over-newcomers'],
    edits: [edit(ANCHOR, 'if (anchor.unsettled > 0) return undefined // as in `hand-over.ts` of the node', '')],
  },
  {
    name: 'plausible-answers',
    profiles: ['hand-over-leases'],
    promiseOnly: true,
    stall: true,
    edits: [edit(HAND_OVER, 'return beyond ? reject(', 'return beyond && leaseMs < 0n ? reject(')],
  },
  {
    name: 'released-leases-are-not-named',
    profiles: ['hand-over-releases'],
    redundant: {
      why: 'A lease that was given back and is named nevertheless holds the new set up until it is over; it allows nothing.',
    },
    edits: [edit(HAND_OVER, '!lease.released && mayRun(lease, context)', 'mayRun(lease, context)')],
  },
]

/** Certificates by n, and by term only where n is equal. */
function byLength(otherwise: string): Break['edits'] {
  return [
    edit(
      MESSAGES,
      'if (a.term !== b.term) return a.term < b.term ? -1 : 1',
      'if (a.n !== b.n) return a.n < b.n ? -1 : 1',
    ),
    edit(MESSAGES, 'return a.n === b.n ? 0 : a.n < b.n ? -1 : 1', `return a.term === b.term ? 0 : ${otherwise}`),
  ]
}
