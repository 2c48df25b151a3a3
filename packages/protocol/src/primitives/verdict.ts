/** Verdicts: what a rule says about something a peer sent. Returned, never thrown. */
import type { Code } from '../errors/catalogue.ts'

/**
 * `accept` carries the new value; `ignore` means "not now, or not new" and blames nobody; `reject` means that an honest
 * sender could have seen alone that this is wrong (form, signature), so the sender is blamed.
 */
export type Verdict<T> = Accepted<T> | Refusal
export type Accepted<T> = { readonly verdict: 'accept'; readonly value: T }
export type Refusal = { readonly verdict: 'ignore' | 'reject'; readonly code: Code; readonly facts: Facts }
export type Facts = Readonly<Record<string, string | number | bigint | boolean>>

export function accept<T>(value: T): Verdict<T> {
  return { verdict: 'accept', value }
}

export function ignore(code: Code, facts: Facts = {}): Refusal {
  return { verdict: 'ignore', code, facts }
}

export function reject(code: Code, facts: Facts = {}): Refusal {
  return { verdict: 'reject', code, facts }
}

export function accepted<T>(verdict: Verdict<T>): verdict is Accepted<T> {
  return verdict.verdict === 'accept'
}
