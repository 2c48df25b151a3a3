/** `defineToken`: how an issuer writes down what a token knows, answers, does and asks of the outside world. */
import type { Json } from '../schema/json-schema.ts'
import type { Schema } from './values.ts'

/** What a handler hands back: the next state, and effects as data. Chainable: `ctx.next(s).effect('a', …)`. */
export type Next<S> = {
  readonly state: S
  readonly effects: readonly EffectRequest[]
  /** Adds a declared effect with its payload; the elected executor performs it after the entry is committed. */
  effect(name: string, payload: Json): Next<S>
  readonly messages: readonly MessageRequest[]
  /** Adds a declared message to a token, by its CAIP-19 id, or its token id where one contract alone is declared. */
  message(name: string, to: string, body: Json): Next<S>
}
export type MessageRequest = { readonly name: string; readonly to: string; readonly body: Json }
export type EffectRequest = { readonly name: string; readonly payload: Json }

/** What a handler may know besides state and input. */
export type Context<S> = {
  /** Milliseconds since 1970, of the journal entry: the same on every node. */
  readonly time: number
  /** The instance id, 32 bytes in hex. */
  readonly instance: string
  next(state: S): Next<S>
}

/** The answer of an outside system; 4xx is an answer too. `body` is the parsed JSON, or null when there was none. */
export type Answer<B = Json> = { readonly status: number; readonly body: B }
/** Anchors confirmed that the outside system failed. `status` is null when no response came (DNS, connect, TLS, timeout). */
export type Failure = { readonly class: string; readonly status: number | null; readonly attempts: number }
/** Nobody can know whether the call took place; `late` holds an answer that came after another outcome was final. */
export type Attempt = { readonly attempt: number; readonly reason: string; readonly late?: Answer | undefined }

/** HTTP request data of an effect. `{{secret:NAME}}` may stand in header values and in the body only. */
export type EffectHttpRequest = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Absolute path with query, such as `/bookings?page=1`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: Json
}

/** Who signs an input. The address may be left out here and bound by the build. */
export type IssuerDefinition = {
  readonly address?: string
  readonly lane: string
  /**
   * What anchors keep of the stream: `all` (as when it is left out), `latest` (of each subset, beside what is new) or a number
   * of days such as `30 days`.
   */
  readonly retention?: string
}
/** An outside system: its host, where it is reached (default `https://<host>`), and the key that signs its answers. */
export type OutsideDefinition = { readonly host: string; readonly url?: string; readonly signer?: string }
/** Gas units per call; see the sandbox's engine for what one unit is. */
export type GasCaps = {
  readonly load: number
  readonly init: number
  readonly input: number
  readonly query: number
  readonly action: number
  readonly outcome: number
  readonly request: number
}
export type Limits = { readonly stateBytes: number; readonly effectsPerCall: number }

export type InputDefinition<S, B> = {
  /** A key of `issuers`. */
  readonly issuer: string
  /** Which subset of the issuer's stream this state follows; null for none. Never personal data. */
  readonly topic: (state: S) => string | readonly string[] | null
  readonly schema: Schema<B>
  /** True when this input may wake a sleeping instance; its issuer prepays for that. */
  readonly wake?: boolean
  readonly apply: (state: S, body: B, ctx: Context<S>) => Next<S>
}
/** Another token type; the address may be left out here and bound by the build. */
export type ContractDefinition = { readonly address?: string }
/** Where the token's id comes from: always this one, a dotted path in the state, or `tokenId` and such of the token itself. */
export type TokenSource = { readonly value: string } | { readonly state: string } | { readonly attribute: string }
export type ReadDefinition = {
  /** Keys of `contracts`. With one of them a bare token id is enough, with several it takes a CAIP-19 id. */
  readonly from: string | readonly string[]
  readonly token: TokenSource
  /** A query of that token that everybody may ask. */
  readonly query: string
  readonly args?: Json
  /** True when the answer may be given without it; its handler then sees `{ok: false, code}`. */
  readonly optional?: boolean
}
/** What another token answered, at one confirmed place; `time` is when that was last known to be the newest, in ms. */
export type Read =
  | {
      readonly ok: true
      readonly value: Json
      readonly token: string
      readonly n: string
      readonly stateRoot: string
      readonly time: number
    }
  | { readonly ok: false; readonly code: string }
export type Reads = Readonly<Record<string, Read>>

export type QueryDefinition<S, A, R> = {
  /** What a holder's grant must name, such as `flight.status:read`; empty when everybody may ask. */
  readonly scope: string
  readonly args?: Schema<A>
  readonly returns: Schema<R>
  /** Keys of `reads`: the node gathers them before the method runs. */
  readonly reads?: readonly string[]
  readonly run: (state: S, args: A, reads: Reads) => NoInfer<R>
}
export type ActionDefinition<S, A> = {
  readonly scope: string
  readonly args?: Schema<A>
  readonly apply: (state: S, args: A, ctx: Context<S>) => Next<S>
}
export type EffectDefinition<S, P> = {
  /** The host of an entry of `outside`. */
  readonly host: string
  readonly payload?: Schema<P>
  /** Shape of the answer's body; any JSON when left out. */
  readonly answer?: Schema<unknown>
  readonly request: (payload: P) => EffectHttpRequest
  readonly attempts: number
  readonly timeoutMs: number
  /** True when the receiver treats a repeated `Idempotency-Key` as one call. */
  readonly idempotent: boolean
  /** The key of `outside` whose signer must have signed the answer; else the enclave attests what it saw. */
  readonly attestedBy?: string
  readonly succeeded: (state: S, answer: Answer, ctx: Context<S>, payload: P) => Next<S>
  readonly failed: (state: S, failure: Failure, ctx: Context<S>, payload: P) => Next<S>
  readonly uncertain: (state: S, attempt: Attempt, ctx: Context<S>, payload: P) => Next<S>
}

export type MessageDefinition<S, B> = {
  /** Keys of `contracts`: from tokens of these it is taken. */
  readonly from: string | readonly string[]
  readonly schema: Schema<B>
  /** `from` is the sender's CAIP-19 id. */
  readonly apply: (state: S, body: B, ctx: Context<S>, from: string) => Next<S>
}
export type SendDefinition<S> = {
  /** Keys of `contracts`: to tokens of these it may be sent. */
  readonly to: string | readonly string[]
  readonly schema: Schema<unknown>
  /** The message is in the journal of the receiver, and its script took it. */
  readonly delivered?: (state: S, to: string, ctx: Context<S>) => Next<S>
  /** The receiver does not take it, or its script refused it; `code` says why. */
  readonly refused?: (state: S, to: string, ctx: Context<S>, code: string) => Next<S>
}

type Common<S, T> = {
  /** Lowercase name of the token type, such as `flight-ticket`. */
  readonly type: string
  readonly version: string
  readonly state: Schema<S>
  /** Shape of the token's attributes; any JSON object when left out. */
  readonly attributes?: Schema<T>
  readonly init: (start: { readonly attributes: T }) => NoInfer<S>
  readonly issuers?: Readonly<Record<string, IssuerDefinition>>
  readonly outside?: Readonly<Record<string, OutsideDefinition>>
  /** Other token types that this one reads or exchanges messages with, by a name of its own. */
  readonly contracts?: Readonly<Record<string, ContractDefinition>>
  readonly reads?: Readonly<Record<string, ReadDefinition>>
  /** Names that `{{secret:NAME}}` may use; values are sealed to the enclaves, never in the script. */
  readonly secrets?: readonly string[]
  /** Highest damage that wrong behaviour of one instance can do, in base units of the staked token, as a decimal. */
  readonly valueAtRisk?: string
  /** Class of service level that placement follows, as registered on chain: 0 to 255. */
  readonly serviceClass?: number
  /** When an instance ends by itself: at a time in ms, so many seconds after its first entry, or when a member of its state says. */
  readonly expiry?: { readonly at: number } | { readonly ttlS: number } | { readonly state: string }
  readonly gas?: Partial<GasCaps>
  readonly limits?: Partial<Limits>
}
type Values = Readonly<Record<string, unknown>>
type Attributes = Readonly<Record<string, Json>>

/** A definition whose value types have been forgotten: what the runtime and the declaration work with. */
export type TokenDefinition = Common<unknown, unknown> & {
  readonly inputs: Readonly<Record<string, InputDefinition<unknown, unknown>>>
  readonly queries: Readonly<Record<string, QueryDefinition<unknown, unknown, unknown>>>
  readonly actions: Readonly<Record<string, ActionDefinition<unknown, unknown>>>
  readonly effects: Readonly<Record<string, EffectDefinition<unknown, unknown>>>
  readonly messages: Readonly<Record<string, MessageDefinition<unknown, unknown>>>
  readonly sends: Readonly<Record<string, SendDefinition<unknown>>>
}

/**
 * Writes down a token. Every handler is a pure function of the state and one attested input; the value types of state,
 * bodies, arguments, results and payloads follow from the schemas. Has no side effect: `install` puts it to work.
 */
export function defineToken<
  S,
  I extends Values = Values,
  QA extends Values = Values,
  QR extends Values = Values,
  A extends Values = Values,
  P extends Values = Values,
  T = Attributes,
  M extends Values = Values,
>(
  definition: Common<S, T> & {
    readonly inputs?: { readonly [K in keyof I]: InputDefinition<NoInfer<S>, I[K]> }
    readonly queries?: {
      readonly [K in keyof QA]: QueryDefinition<NoInfer<S>, QA[K], K extends keyof QR ? QR[K] : unknown>
    } & {
      readonly [K in keyof QR]: { readonly returns: Schema<QR[K]> }
    }
    readonly actions?: { readonly [K in keyof A]: ActionDefinition<NoInfer<S>, A[K]> }
    readonly effects?: { readonly [K in keyof P]: EffectDefinition<NoInfer<S>, P[K]> }
    readonly messages?: { readonly [K in keyof M]: MessageDefinition<NoInfer<S>, M[K]> }
    readonly sends?: Readonly<Record<string, SendDefinition<NoInfer<S>>>>
  },
): TokenDefinition {
  const { inputs = {}, queries = {}, actions = {}, effects = {}, messages = {}, sends = {} } = definition
  return { ...definition, inputs, queries, actions, effects, messages, sends } as unknown as TokenDefinition
}
