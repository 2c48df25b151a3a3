/** The one error class: a code of the catalogue, its typed facts, and a text that says what, why and how to fix. */
import { type Catalogue, type Code, catalogue } from './catalogue.ts'
import { consequencesOf, type Kind } from './kind.ts'

type FactsOf<C extends Code> = Parameters<Catalogue[C]['text']>[0]
type FactArguments<C extends Code> = FactsOf<C> extends undefined ? [facts?: undefined] : [facts: FactsOf<C>]

/** Compare `code`, never `instanceof`, across sandbox and process borders. */
export class SmartLayerError extends Error {
  override readonly name = 'SmartLayerError'
  readonly code: Code
  readonly facts: Readonly<Record<string, unknown>>

  private constructor(code: Code, facts: unknown, cause?: unknown) {
    super(textOf(code, facts), cause === undefined ? undefined : { cause })
    this.code = code
    this.facts = (facts ?? {}) as Record<string, unknown>
  }

  /** Makes an error; the facts that the code's text needs are required by type. */
  static of<C extends Code>(code: C, ...[facts]: FactArguments<C>): SmartLayerError {
    return new SmartLayerError(code, facts)
  }

  /** The same with the error that led to it; the cause stays in logs and never crosses an API border. */
  static because<C extends Code>(cause: unknown, code: C, ...[facts]: FactArguments<C>): SmartLayerError {
    return new SmartLayerError(code, facts, cause)
  }

  /** An error from a code and facts that came as data (a verdict, another process). Unknown codes become `bug.unexpected`. */
  static fromData(code: string, facts: Readonly<Record<string, unknown>>): SmartLayerError {
    return code in catalogue
      ? new SmartLayerError(code as Code, facts)
      : new SmartLayerError('bug.unexpected', { detail: `unknown error code ${code}` })
  }

  get kind(): Kind {
    return catalogue[this.code].kind
  }

  get fix(): string {
    return catalogue[this.code].fix
  }

  get retryable(): boolean {
    return consequencesOf[this.kind].retryable
  }
}

/** True for our error, also one that another copy of this module made. */
export function isSmartLayerError(error: unknown): error is SmartLayerError {
  return error instanceof Error && error.name === 'SmartLayerError' && 'code' in error
}

/** Guards an invariant, in production too: a false condition is a bug of ours. */
export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw SmartLayerError.of('bug.unexpected', { detail: why })
}

function textOf(code: Code, facts: unknown): string {
  const text = catalogue[code].text as (facts: unknown) => string
  try {
    return text(facts)
  } catch {
    return code // facts from elsewhere may not fit; the code alone still says which error it is
  }
}
