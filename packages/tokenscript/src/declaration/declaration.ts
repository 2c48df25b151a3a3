/** The declaration: everything that a smart token says except its code, readable by machines and by holders. */
import type { Address, Bytes32 } from '@smartlayer/protocol'
import type { GasCaps, Limits, TokenSource } from '../define/token.ts'
import type { Json, JsonSchema } from '../schema/json-schema.ts'

export type { GasCaps, Limits, TokenSource }

export type Named<T> = Readonly<Record<string, T>>

/**
 * Signs inputs: the key, the lane of its stream for this token type, and how long the stream keeps its entries: `all`,
 * `latest` or `30 days` (`parseRetention`).
 */
export type DeclaredIssuer = { readonly address: Address; readonly lane: string; readonly retention: string }
/** An outside system: host, origin where it is reached, and the key that signs its answers or null. */
export type DeclaredOutside = { readonly host: string; readonly url: string; readonly signer: Address | null }
export type DeclaredInput = { readonly issuer: string; readonly wake: boolean; readonly schema: JsonSchema }
/** `args` is null when the method takes none. */
export type DeclaredQuery = {
  readonly scope: string
  readonly args: JsonSchema | null
  readonly returns: JsonSchema
  /** Keys of `reads`: what other tokens are asked before the method runs. */
  readonly reads: readonly string[]
}
/** Another token type that this one reads or exchanges messages with. */
export type DeclaredContract = { readonly address: Address }
/** A query for everybody of another token, of one of these contracts. */
export type DeclaredRead = {
  readonly from: readonly string[]
  readonly token: TokenSource
  readonly query: string
  readonly args: Json
  /** An answer may be given without it. */
  readonly optional: boolean
}
export type DeclaredAction = { readonly scope: string; readonly args: JsonSchema | null }
export type DeclaredEffect = {
  readonly host: string
  readonly payload: JsonSchema
  readonly answer: JsonSchema
  readonly attempts: number
  readonly timeoutMs: number
  readonly idempotent: boolean
  /** A key of `outside` with a signer, or null: then the executor's enclave attests the answer it saw. */
  readonly attestedBy: string | null
}
/** A message that is taken from tokens of these contracts, and one that is sent to tokens of those. */
export type DeclaredMessage = { readonly from: readonly string[]; readonly schema: JsonSchema }
export type DeclaredSend = { readonly to: readonly string[]; readonly schema: JsonSchema }

/** A time (ms since 1970), seconds after the first entry, or a member of the state that holds a time in ms. */
export type DeclaredExpiry = { readonly at: number } | { readonly ttlS: number } | { readonly state: string }

export type Declaration = {
  readonly format: 1
  readonly type: string
  readonly version: string
  /** sha-256 of the engine's rewritten wasm: gas and semantics belong to it. */
  readonly engineId: Bytes32
  readonly state: JsonSchema
  readonly attributes: JsonSchema
  readonly issuers: Named<DeclaredIssuer>
  readonly outside: Named<DeclaredOutside>
  readonly inputs: Named<DeclaredInput>
  readonly queries: Named<DeclaredQuery>
  readonly actions: Named<DeclaredAction>
  readonly effects: Named<DeclaredEffect>
  readonly contracts: Named<DeclaredContract>
  readonly reads: Named<DeclaredRead>
  readonly messages: Named<DeclaredMessage>
  readonly sends: Named<DeclaredSend>
  readonly secrets: readonly string[]
  readonly gas: GasCaps
  readonly limits: Limits
  /** Base units of the staked token, decimal. */
  readonly valueAtRisk: string
  readonly serviceClass: number
  /** When an instance ends by itself; left out, it does not. */
  readonly expiry?: DeclaredExpiry
}

/** Gas per call when the author names none, and the most that may be named (the figures of the pinned engine). */
export const DEFAULT_GAS: GasCaps = {
  load: 20_000_000,
  init: 5_000_000,
  input: 5_000_000,
  query: 1_000_000,
  action: 5_000_000,
  outcome: 5_000_000,
  request: 1_000_000,
}
export const GAS_LIMIT = 20_000_000
/** What a stream keeps when its issuer says nothing. */
export const DEFAULT_RETENTION = 'all'
export const DEFAULT_LIMITS: Limits = { stateBytes: 65_536, effectsPerCall: 8 }
export const LIMIT_CEILINGS: Limits = { stateBytes: 262_144, effectsPerCall: 32 }
export const ATTEMPT_LIMIT = 10
export const TIMEOUT_LIMIT_MS = 30_000
/** A century. */
export const TTL_LIMIT_S = 36_525 * 86_400
/** Reads of one query, contracts that one read or message may name, and the size of a read's arguments as canonical JSON. */
export const QUERY_READ_LIMIT = 16
export const CONTRACTS_PER_ENTRY = 8
export const READ_ARGS_LIMIT = 4_096
/** Most entries of each member that has names. */
export const ENTRY_LIMIT = 64
export const DECLARATION_BYTE_LIMIT = 262_144
