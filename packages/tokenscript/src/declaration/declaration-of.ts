/** Derives the declaration from what the author wrote, filling in what the build knows: engine, keys and places. */
import { type Bytes32, SmartLayerError } from '@smartlayer/protocol'
import type { TokenDefinition } from '../define/token.ts'
import type { Json } from '../schema/json-schema.ts'
import { DEFAULT_GAS, DEFAULT_LIMITS, DEFAULT_RETENTION, type Declaration } from './declaration.ts'
import { parseDeclaration } from './parse-declaration.ts'

/** What differs from network to network and so is bound by the build. Addresses in lowercase hex. */
export type Bindings = {
  readonly engineId: Bytes32
  /** Address per issuer name; replaces the one in the definition. */
  readonly issuers?: Readonly<Record<string, string>>
  /** Address per name of another token type; replaces the one in the definition. */
  readonly contracts?: Readonly<Record<string, string>> | undefined
  /** Origin and signer per outside name; replaces those in the definition. */
  readonly outside?: Readonly<Record<string, { readonly url?: string; readonly signer?: string }>>
}

/**
 * The declaration of a definition, checked as strictly as one from a stranger.
 * Throws `script.declaration_invalid` with the path of what is missing or wrong.
 */
export function declarationOf(definition: TokenDefinition, bindings: Bindings): Declaration {
  refuseUnknown(bindings.issuers, definition.issuers, 'issuers')
  refuseUnknown(bindings.outside, definition.outside, 'outside')
  refuseUnknown(bindings.contracts, definition.contracts, 'contracts')
  const declaration = {
    format: 1,
    type: definition.type,
    version: definition.version,
    engineId: bindings.engineId,
    state: definition.state.json,
    attributes: definition.attributes?.json ?? {},
    issuers: mapEntries(definition.issuers ?? {}, (issuer, name) => ({
      address: bindings.issuers?.[name] ?? issuer.address ?? null,
      lane: issuer.lane,
      retention: issuer.retention ?? DEFAULT_RETENTION,
    })),
    outside: mapEntries(definition.outside ?? {}, ({ host, url, signer }, name) => ({
      host,
      url: bindings.outside?.[name]?.url ?? url ?? `https://${host}`,
      signer: bindings.outside?.[name]?.signer ?? signer ?? null,
    })),
    inputs: mapEntries(definition.inputs, ({ issuer, wake = false, schema }) => ({
      issuer,
      wake,
      schema: schema.json,
    })),
    queries: mapEntries(definition.queries, ({ scope, args, returns, reads = [] }) => ({
      scope,
      args: args?.json ?? null,
      returns: returns.json,
      reads,
    })),
    actions: mapEntries(definition.actions, ({ scope, args }) => ({ scope, args: args?.json ?? null })),
    effects: mapEntries(definition.effects, (effect) => ({
      host: effect.host,
      payload: effect.payload?.json ?? {},
      answer: effect.answer?.json ?? {},
      attempts: effect.attempts,
      timeoutMs: effect.timeoutMs,
      idempotent: effect.idempotent,
      attestedBy: effect.attestedBy ?? null,
    })),
    contracts: mapEntries(definition.contracts ?? {}, ({ address }, name) => ({
      address: bindings.contracts?.[name] ?? address ?? null,
    })),
    reads: mapEntries(definition.reads ?? {}, ({ from, token, query, args = null, optional = false }) => ({
      from: listed(from),
      token,
      query,
      args,
      optional,
    })),
    messages: mapEntries(definition.messages, ({ from, schema }) => ({ from: listed(from), schema: schema.json })),
    sends: mapEntries(definition.sends, ({ to, schema }) => ({ to: listed(to), schema: schema.json })),
    secrets: definition.secrets ?? [],
    gas: { ...DEFAULT_GAS, ...definition.gas },
    limits: { ...DEFAULT_LIMITS, ...definition.limits },
    valueAtRisk: definition.valueAtRisk ?? '0',
    serviceClass: definition.serviceClass ?? 0,
    ...(definition.expiry ? { expiry: definition.expiry } : {}),
  }
  return parseDeclaration(declaration as unknown as Json)
}

function listed(names: string | readonly string[]): readonly string[] {
  return typeof names === 'string' ? [names] : names
}

function mapEntries<T, R>(entries: Readonly<Record<string, T>>, map: (entry: T, name: string) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, map(entry, name)]))
}

function refuseUnknown(bound: object | undefined, declared: object | undefined, at: string): void {
  const names = Object.keys(declared ?? {})
  for (const name of Object.keys(bound ?? {})) {
    if (!names.includes(name)) {
      throw SmartLayerError.of('script.declaration_invalid', {
        at: `${at}.${name}`,
        detail: 'the script has no such entry',
      })
    }
  }
}
