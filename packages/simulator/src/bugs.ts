/** Bugs to plant: each changes one rule, service or port in a way that a checker must notice. */

export type Edit = { readonly file: string; readonly find: string; readonly replace: string }
/** `edits` replace text of a source file as it is loaded, each text exactly once; `seam` changes a simulated port. */
export type Bug = {
  readonly name: string
  readonly edits: readonly Edit[]
  readonly seam?: 'no-fsync' | 'clock-beyond-bound'
}

const VOTE = 'packages/protocol/src/election/vote.ts'
const ACCEPT = 'packages/protocol/src/journal/accept.ts'
const INPUT = 'packages/protocol/src/journal/input.ts'
const EFFECTS = 'packages/protocol/src/execution/effects.ts'
const RECORDS = 'packages/node/src/election/record-store.ts'
const PROPOSER = 'packages/node/src/election/proposer-service.ts'
const FOLLOW = 'packages/protocol/src/stream/follow.ts'
const REPLICA = 'packages/node/src/execution/replica.ts'
const PERFORMER = 'packages/node/src/execution/effect-performer.ts'

/** Voters may not rest on proposers that wait: with this edit no proposer does. */
const EAGER_PROPOSER: readonly Edit[] = [
  edit(PROPOSER, 'return until === 0n ? 0n : until + BigInt(2 * this.#context.parameters.epsilonMs) + 1n', 'return 0n'),
]
const NO_LEASE_CHECK: readonly Edit[] = [
  edit(VOTE, "if (until > 0n && !isOver(until, context)) return ignore('election.lease_running', { until })", ''),
  edit(VOTE, 'if (until > 0n && placement.notBefore <= until + context.epsilonMs) {', 'if (false as boolean) {'),
]

export const BUGS: readonly Bug[] = [
  { name: 'acknowledge-before-fsync', edits: [], seam: 'no-fsync' },
  { name: 'clock-beyond-bound', edits: [], seam: 'clock-beyond-bound' },
  { name: 'vote-while-lease-runs', edits: [...NO_LEASE_CHECK, ...EAGER_PROPOSER] },
  {
    name: 'anchor-forgets-leases-at-restart',
    edits: [edit(RECORDS, '...rest,\n    placement:', '...rest,\n    leases: [],\n    placement:'), ...EAGER_PROPOSER],
  },
  {
    name: 'vote-twice-in-a-term',
    edits: [
      edit(VOTE, "if (sameTerm && record.voted) return ignore('election.voted', { term: placement.term })", ''),
      ...NO_LEASE_CHECK,
    ],
  },
  {
    name: 'head-from-lowest-report',
    edits: [
      edit(
        VOTE,
        '.filter((head) => head.term < term)',
        '.filter((head) => head.term < term).sort(compareHeads).slice(0, 1)',
      ),
    ],
  },
  {
    name: 'accept-two-entries-at-a-place',
    edits: [edit(ACCEPT, 'before.n >= entry.n && before.hash !== hash', 'before.n > entry.n && before.hash !== hash')],
  },
  {
    name: 'sign-in-an-older-term',
    edits: [
      edit(
        ACCEPT,
        "if (entry.term < record.term) return ignore('election.term_old', { term: entry.term, highest: record.term })",
        '',
      ),
      edit(
        ACCEPT,
        "if (head.term < record.term) return ignore('election.term_old', { term: head.term, highest: record.term })",
        '',
      ),
    ],
  },
  {
    name: 'perform-without-lease',
    edits: [edit(PERFORMER, 'if (!lease.mayAct(timeoutMs + CALL_MARGIN_MS)) return undefined', '')],
  },
  {
    name: 'retry-after-lost',
    edits: [edit(EFFECTS, "if (end === 'lost' && !policy.idempotent) return { ...effect, status: 'uncertain' }", '')],
  },
  {
    name: 'stream-out-of-order',
    edits: [
      edit(FOLLOW, '?.ahead.get(after + 1n)', '?.ahead.values().toArray().at(-1)'),
      edit(INPUT, 'return outOfOrder ?? accept(', 'return accept('),
      edit(INPUT, '  const outOfOrder = wrongCursor(', '  wrongCursor('),
    ],
  },
  {
    name: 'replica-skips-an-entry',
    edits: [
      edit(
        REPLICA,
        'this.#state = after\n',
        "this.#state = entry.n % 40n === 0n && this.#ports.identity.signer.address < '0x8' ? before : after\n",
      ),
    ],
  },
]

/** The text of a source file to replace. */
export function edit(file: string, find: string, replace: string): Edit {
  return { file, find, replace }
}
