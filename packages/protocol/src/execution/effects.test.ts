import { expect, test } from 'vitest'
import {
  type AttemptEnd,
  attempted,
  type Effect,
  type EffectPolicy,
  type EffectStatus,
  type EffectStep,
  ended,
  endOfStatus,
  isOpen,
  nextStep,
} from './effects.ts'

const idempotent: EffectPolicy = { attempts: 3, timeoutMs: 1_000, idempotent: true }
const once: EffectPolicy = { ...idempotent, idempotent: false }
const pending: Effect = {
  id: `0x${'ef'.repeat(32)}`,
  name: 'rebook',
  payload: '{}',
  status: 'pending',
  attempts: 0,
  failures: 0,
  attemptTerm: '0',
  notBefore: '0',
}
const running = attempted(pending, 4n)
type Situation = 'own attempt of this term' | 'own attempt of an earlier term' | "another process's attempt"
const SITUATIONS: Record<Situation, { term: bigint; mine: boolean }> = {
  'own attempt of this term': { term: 4n, mine: true },
  'own attempt of an earlier term': { term: 5n, mine: true },
  "another process's attempt": { term: 4n, mine: false },
}

/** What the executor does next, for every status and situation; the compiler asks for each. */
const NEXT: Record<EffectStatus, Record<Situation, Record<'idempotent' | 'once', EffectStep['step'] | undefined>>> = {
  pending: all({ idempotent: 'attempt', once: 'attempt' }),
  attempting: {
    'own attempt of this term': { idempotent: 'perform', once: 'perform' },
    'own attempt of an earlier term': { idempotent: 'attempt', once: 'give-up-as-uncertain' },
    "another process's attempt": { idempotent: 'attempt', once: 'give-up-as-uncertain' },
  },
  succeeded: all({ idempotent: undefined, once: undefined }),
  uncertain: all({ idempotent: undefined, once: undefined }),
  'awaiting failure attestation': all({ idempotent: undefined, once: undefined }),
}

function all<T>(row: T): Record<Situation, T> {
  return { 'own attempt of this term': row, 'own attempt of an earlier term': row, "another process's attempt": row }
}

for (const [status, situations] of Object.entries(NEXT) as [EffectStatus, (typeof NEXT)[EffectStatus]][]) {
  for (const [situation, { term, mine }] of Object.entries(SITUATIONS)) {
    test(`${status}, ${situation}`, () => {
      const effect: Effect = { ...(status === 'attempting' ? running : pending), status }
      const expected = situations[situation as Situation]
      expect(nextStep(effect, idempotent, { term, now: 1n, mine })?.step).toBe(expected.idempotent)
      expect(nextStep(effect, once, { term, now: 1n, mine })?.step).toBe(expected.once)
    })
  }
}

test.each<[AttemptEnd, EffectPolicy, EffectStatus]>([
  ['answered', idempotent, 'succeeded'],
  ['answered', once, 'succeeded'],
  ['failed', idempotent, 'pending'],
  ['failed', once, 'pending'],
  ['lost', idempotent, 'pending'],
  ['lost', once, 'uncertain'],
])('an attempt that ended as %s', (end, policy, status) => {
  expect(ended(running, policy, end, 0n).status).toBe(status)
})

test('after the declared attempts only a failure attestation moves it on, and back-off doubles until then', () => {
  const first = ended(running, idempotent, 'failed', 1_000n)
  expect(first).toMatchObject({ failures: 1, notBefore: '1250' })
  expect(nextStep(first, idempotent, { term: 4n, now: 1_249n, mine: true })).toMatchObject({
    step: 'wait',
    until: 1_250n,
  })
  const second = ended(attempted(first, 4n), idempotent, 'failed', 2_000n)
  expect(second.notBefore).toBe('2500')
  const third = ended(attempted(second, 4n), idempotent, 'lost', 3_000n)
  expect(third.status).toBe('awaiting failure attestation')
  expect(isOpen(third)).toBe(true)
})

test.each([
  [200, 'answered', 'answered'],
  [404, 'answered', 'answered'],
  [429, 'failed', 'failed'],
  [500, 'failed', 'lost'],
  [502, 'failed', 'lost'],
  [503, 'failed', 'failed'],
  [504, 'failed', 'lost'],
] as const)(
  'status %i ends an attempt that may be repeated as %s, and one that may not as %s',
  (status, repeated, one) => {
    expect(endOfStatus(status, { signed: true, idempotent: true })).toBe(repeated)
    expect(endOfStatus(status, { signed: true, idempotent: false })).toBe(one)
  },
)

test('an answer without the declared signature proves nothing, and a refusal needs none', () => {
  expect(endOfStatus(200, { signed: false, idempotent: true })).toBe('lost')
  expect(endOfStatus(503, { signed: false, idempotent: false })).toBe('failed')
})
