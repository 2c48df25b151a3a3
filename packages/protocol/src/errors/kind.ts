/** The eight kinds of error: they decide HTTP status, retry, log level and exit code everywhere. */

export type Kind = 'invalid' | 'denied' | 'unpaid' | 'missing' | 'conflict' | 'unavailable' | 'fault' | 'bug'

type Consequences = {
  /** HTTP status at an API border. */
  readonly http: number
  /** Whether the same request may succeed later without a change by the caller. */
  readonly retryable: boolean
  readonly log: 'debug' | 'info' | 'warn' | 'error'
  /** Exit code of the command line. */
  readonly exit: number
}

export const consequencesOf: Readonly<Record<Kind, Consequences>> = {
  invalid: { http: 400, retryable: false, log: 'debug', exit: 2 },
  denied: { http: 403, retryable: false, log: 'info', exit: 3 },
  unpaid: { http: 402, retryable: false, log: 'info', exit: 3 },
  missing: { http: 404, retryable: false, log: 'debug', exit: 4 },
  conflict: { http: 409, retryable: true, log: 'debug', exit: 5 },
  unavailable: { http: 503, retryable: true, log: 'warn', exit: 6 },
  fault: { http: 502, retryable: true, log: 'warn', exit: 7 },
  bug: { http: 500, retryable: false, log: 'error', exit: 70 },
}

/** One catalogue entry: its kind, a sentence from facts (what and why), and what the reader can do about it. */
export type CatalogueEntry<F> = { readonly kind: Kind; readonly text: (facts: F) => string; readonly fix: string }

/** Declares an entry; the facts that its text needs are checked wherever the error is made. */
export function entry<F = void>(kind: Kind, text: (facts: F) => string, fix: string): CatalogueEntry<F> {
  return { kind, text, fix }
}
