/** Bugs to plant: each changes one rule, service or port in a way that a checker must notice. */

/** `edits` replace text of a source file as it is loaded, each text exactly once; `seam` changes a simulated port. */
export type Bug = {
  readonly name: string
  /** The first seed to look at: from here on a checker sees the bug soon. */
  readonly seed: number
  readonly edits: readonly { readonly file: string; readonly find: string; readonly replace: string }[]
  readonly seam?: 'no-fsync' | 'clock-beyond-bound'
}

export const BUGS: readonly Bug[] = [
  { name: 'acknowledge-before-fsync', seed: 1, edits: [], seam: 'no-fsync' },
  { name: 'clock-beyond-bound', seed: 1, edits: [], seam: 'clock-beyond-bound' },
  edit('perform-without-lease', 'node/src/execution/effect-performer.ts', [
    'if (!lease.mayAct(timeoutMs + CALL_MARGIN_MS)) return undefined',
    '',
  ]),
  edit(
    'vote-while-lease-runs',
    'protocol/src/election/vote.ts',
    ["if (until > 0n && !isOver(until, context)) return ignore('election.lease_running', { until })", ''],
    ['if (until > 0n && placement.notBefore <= until + context.epsilonMs) {', 'if (false as boolean) {'],
  ),
  edit('anchor-forgets-leases-at-restart', 'node/src/election/record-store.ts', [
    '...rest,\n    placement:',
    '...rest,\n    leases: [],\n    placement:',
  ]),
  edit(
    'vote-twice-in-a-term',
    'protocol/src/election/vote.ts',
    ["if (sameTerm && record.voted) return ignore('election.voted', { term: placement.term })", ''],
    ["if (until > 0n && !isOver(until, context)) return ignore('election.lease_running', { until })", ''],
    ['if (until > 0n && placement.notBefore <= until + context.epsilonMs) {', 'if (false as boolean) {'],
  ),
  edit('accept-two-entries-at-a-place', 'protocol/src/journal/accept.ts', [
    'before.n >= entry.n && before.hash !== hash',
    'before.n > entry.n && before.hash !== hash',
  ]),
  edit('head-by-length', 'protocol/src/journal/messages.ts', [
    'if (a.term !== b.term) return a.term < b.term ? -1 : 1',
    'if (a.n !== b.n) return a.n < b.n ? -1 : 1',
  ]),
  edit('drop-uncommitted-tail', 'protocol/src/election/vote.ts', [
    '.filter((head) => head.term < term)',
    '.filter((head) => head.term < term && head.term < 0n)',
  ]),
  edit(
    'sign-in-an-older-term',
    'protocol/src/journal/accept.ts',
    [
      "if (entry.term < record.term) return ignore('election.term_old', { term: entry.term, highest: record.term })",
      '',
    ],
    ["if (head.term < record.term) return ignore('election.term_old', { term: head.term, highest: record.term })", ''],
  ),
  {
    name: 'stream-out-of-order',
    seed: 1,
    edits: [
      ...edit('', 'node/src/execution/input-buffer.ts', [
        '?.ahead.get(after + 1n)',
        '?.ahead.values().toArray().at(-1)',
      ]).edits,
      ...edit('', 'protocol/src/journal/input.ts', ['return outOfOrder ?? accept(', 'return accept(']).edits,
      ...edit('', 'protocol/src/journal/input.ts', ['  const outOfOrder = wrongCursor(', '  wrongCursor(']).edits,
    ],
  },
  edit(
    'replica-skips-an-entry',
    'node/src/execution/replica.ts',
    ['this.#state = after\n', 'this.#state = entry.n % 40n === 0n && signer0(this.#ports) ? before : after\n'],
    [
      'const signerless: Address',
      'function signer0({ identity }: ServicePorts): boolean {\n  return Number.parseInt(identity.signer.address.slice(-1), 16) % 2 === 0\n}\nconst signerless: Address',
    ],
  ),
  edit('retry-after-lost', 'protocol/src/execution/effects.ts', [
    "if (end === 'lost' && !policy.idempotent) return { ...effect, status: 'uncertain' }",
    '',
  ]),
]

function edit(name: string, file: string, ...changes: readonly (readonly [string, string])[]): Bug {
  return { name, seed: 1, edits: changes.map(([find, replace]) => ({ file: `packages/${file}`, find, replace })) }
}
