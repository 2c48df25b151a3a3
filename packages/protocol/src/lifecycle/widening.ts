/** Which next versions of a script ask more of holders than the one before: they need time, notice and, for scopes, consent anew. */
import { canonicalJson } from '../attestation/content.ts'

/** What of a declaration concerns holders: whom it listens to, what it may reach, what it asks of them. */
export type Declared = {
  readonly issuers: Named<{ readonly address: string; readonly lane: string }>
  readonly outside: Named<{ readonly host: string; readonly url: string }>
  readonly effects: Named<{ readonly host: string; readonly payload: unknown }>
  readonly inputs: Named<unknown>
  readonly queries: Named<Scoped & { readonly returns: unknown }>
  readonly actions: Named<Scoped>
  readonly secrets: readonly string[]
  readonly valueAtRisk: string
}
type Scoped = { readonly scope: string; readonly args: unknown }
type Named<T> = Readonly<Record<string, T>>

/** What a next version adds or changes, each as `WHAT NAME`. */
export type Widening = {
  readonly reasons: readonly string[]
  /** Scopes whose grants must be asked for again: what they mean is not what the holder agreed to. */
  readonly scopes: readonly string[]
}

/** Everything that widens, in a fixed order; a version that only takes away or repairs widens nothing. */
export function wideningOf(before: Declared, after: Declared): Widening {
  const scopes = changedScopes(before, after)
  const reasons = [
    ...added('issuer', before.issuers, after.issuers, ({ address, lane }) => `${address}/${lane}`),
    ...added('host', before.outside, after.outside, ({ host, url }) => `${host}/${url}`),
    ...added('effect', before.effects, after.effects, ({ host, payload }) => canonicalJson({ host, payload })),
    ...added('input', before.inputs, after.inputs, canonicalJson),
    ...added('query', before.queries, after.queries, meaningOfQuery),
    ...added('action', before.actions, after.actions, meaningOfAction),
    ...after.secrets.filter((name) => !before.secrets.includes(name)).map((name) => `secret ${name}`),
    ...(BigInt(after.valueAtRisk) > BigInt(before.valueAtRisk) ? ['value at risk'] : []),
    ...scopes.map((scope) => `scope ${scope}`),
  ]
  return { reasons, scopes }
}

export function isWidening(before: Declared, after: Declared): boolean {
  return wideningOf(before, after).reasons.length > 0
}

/** Entries that were not there, under whatever name, with this meaning. */
function added<T>(what: string, before: Named<T>, after: Named<T>, meaning: (entry: T) => string): readonly string[] {
  const known = new Set(Object.values(before).map(meaning))
  return Object.entries(after)
    .filter(([, entry]) => !known.has(meaning(entry)))
    .map(([name]) => `${what} ${name}`)
}

/** A scope means what is asked and told under it; a scope that lost something is not wider. */
function changedScopes(before: Declared, after: Declared): readonly string[] {
  const known = meaningsOf(before)
  const next = meaningsOf(after)
  return [...next].filter(([scope, meanings]) => isWider(known.get(scope), meanings)).map(([scope]) => scope)
}

function isWider(before: ReadonlySet<string> | undefined, after: ReadonlySet<string>): boolean {
  return before !== undefined && [...after].some((meaning) => !before.has(meaning))
}

function meaningsOf({ queries, actions }: Declared): ReadonlyMap<string, ReadonlySet<string>> {
  const meanings = new Map<string, Set<string>>()
  const add = (scope: string, meaning: string) => {
    if (scope === '') return // asked of everybody: no holder has to agree
    meanings.set(scope, (meanings.get(scope) ?? new Set()).add(meaning))
  }
  for (const [name, query] of Object.entries(queries)) add(query.scope, `query ${name} ${meaningOfQuery(query)}`)
  for (const [name, action] of Object.entries(actions)) add(action.scope, `action ${name} ${meaningOfAction(action)}`)
  return meanings
}

function meaningOfQuery({ scope, args, returns }: Scoped & { readonly returns: unknown }): string {
  return canonicalJson({ scope, args, returns })
}

function meaningOfAction({ scope, args }: Scoped): string {
  return canonicalJson({ scope, args })
}
