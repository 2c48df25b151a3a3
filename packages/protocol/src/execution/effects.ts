/** Effects: what an instance has asked of the outside world, and what its executor does next about it (docs/spec/execution.md). */
import type { Bytes32 } from '../primitives/bytes.ts'

/** Most effects of one instance without a final outcome. */
export const OPEN_EFFECT_LIMIT = 16

export type EffectStatus = 'pending' | 'attempting' | 'succeeded' | 'uncertain' | 'awaiting failure attestation'

export type Effect = {
  readonly id: Bytes32
  readonly name: string
  /** JSON text of what the handler passed. */
  readonly payload: string
  readonly status: EffectStatus
  /** Attempts that were journaled; the number of the running one while attempting. */
  readonly attempts: number
  /** Attempts that are known to have failed. */
  readonly failures: number
  /** Term of the running attempt. */
  readonly attemptTerm: string
  /** Earliest time of the next attempt, in ms as text (JSON numbers keep no 64 bits). */
  readonly notBefore: string
}

/** What the token declares of an effect, as far as the rules need it. */
export type EffectPolicy = { readonly attempts: number; readonly timeoutMs: number; readonly idempotent: boolean }

/** How an attempt ended. `failed`: known not to have had effect, or safe to repeat; `lost`: nobody can know. */
export type AttemptEnd = 'answered' | 'failed' | 'lost'

export type EffectStep =
  | { readonly step: 'attempt'; readonly effect: Effect; readonly attempt: number }
  | { readonly step: 'perform'; readonly effect: Effect }
  | { readonly step: 'give-up-as-uncertain'; readonly effect: Effect }
  | { readonly step: 'wait'; readonly effect: Effect; readonly until: bigint }

/**
 * The next step for one effect by the executor of `term`. `mine` tells whether the running attempt was journaled by this very
 * process: only then is it certain that no byte of it has left yet. An attempt of an earlier term or process is repeated
 * with the same key when the effect is idempotent, and becomes `uncertain` when it is not.
 */
export function nextStep(
  effect: Effect,
  policy: EffectPolicy,
  { term, now, mine }: { term: bigint; now: bigint; mine: boolean },
): EffectStep | undefined {
  if (effect.status === 'pending') {
    const until = BigInt(effect.notBefore)
    return now < until ? { step: 'wait', effect, until } : { step: 'attempt', effect, attempt: effect.attempts + 1 }
  }
  if (effect.status !== 'attempting') return undefined
  if (mine && effect.attemptTerm === String(term)) return { step: 'perform', effect }
  return policy.idempotent
    ? { step: 'attempt', effect, attempt: effect.attempts + 1 }
    : { step: 'give-up-as-uncertain', effect }
}

/** Statuses with which a system says that it did not take the request up (RFC 6585, RFC 9110). */
const NOT_TAKEN_UP = [429, 503]

/**
 * How an attempt ended that was answered with this status. Any other 5xx may come after the request had effect, as from a gateway
 * that lost patience: repeating is safe only where repeats are recognised. `signed`: with the signature that the token declares.
 */
export function endOfStatus(
  status: number,
  { signed, idempotent }: { signed: boolean; idempotent: boolean },
): AttemptEnd {
  if (NOT_TAKEN_UP.includes(status)) return 'failed'
  if (status >= 500) return idempotent ? 'failed' : 'lost'
  return signed ? 'answered' : 'lost'
}

/** An attempt entry committed. */
export function attempted(effect: Effect, term: bigint): Effect {
  return { ...effect, status: 'attempting', attempts: effect.attempts + 1, attemptTerm: String(term) }
}

/**
 * The outcome of an attempt committed. Back-off doubles from 250 ms. What cannot be known is never reported as failed:
 * a lost call that is not idempotent is `uncertain`; after the declared attempts only a failure attestation moves it on.
 */
export function ended(effect: Effect, policy: EffectPolicy, end: AttemptEnd, time: bigint): Effect {
  if (end === 'answered') return { ...effect, status: 'succeeded' }
  if (end === 'lost' && !policy.idempotent) return { ...effect, status: 'uncertain' }
  const failures = effect.failures + 1
  if (failures >= policy.attempts) return { ...effect, failures, status: 'awaiting failure attestation' }
  const backOffMs = 250n * 2n ** BigInt(failures - 1)
  return { ...effect, failures, status: 'pending', notBefore: String(time + backOffMs) }
}

/** True while the outside world, a failure attestation or the script has yet to settle the effect. */
export function isOpen(effect: Effect): boolean {
  return (
    effect.status === 'pending' || effect.status === 'attempting' || effect.status === 'awaiting failure attestation'
  )
}
