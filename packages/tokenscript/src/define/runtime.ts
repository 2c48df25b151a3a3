/**
 * The one entrance of a script inside the sandbox: `smartToken.call(method, inputJson) → resultJson`.
 *
 * | method    | input                                                | result                                  |
 * |-----------|------------------------------------------------------|-----------------------------------------|
 * | `init`    | attributes, instance, time                           | state, effects (always empty)           |
 * | `input`   | state, name, body, instance, time                    | state, effects                          |
 * | `action`  | state, name, args, instance, time                    | state, effects                          |
 * | `outcome` | state, name (of the effect), payload, outcome, instance, time | state, effects                 |
 * | `message` | state, name, body, from, instance, time              | state, effects                          |
 * | `sent`    | state, name, to, outcome, instance, time             | state, effects                          |
 * | `query`   | state, name, args, reads?                            | value                                   |
 * | `request` | name (of the effect), payload                        | request: method, path, headers?, json?  |
 * | `topics`  | state                                                | topics: [{ input, subset }]             |
 *
 * `outcome` is `{kind:'succeeded', status, body}`, `{kind:'failed', class, status, attempts}` or
 * `{kind:'uncertain', attempt, reason, late?}`; that of `sent` is `{kind:'delivered'}` or `{kind:'refused', code}`. `effects` is
 * `[{name, payload}]`; beside it stand `messages`, `[{name, to, body}]`, where there are any. `args` may be left out where none are
 * declared. `reads` are `{NAME: {ok: true, value, token, n, stateRoot, time} | {ok: false, code}}`. Whatever goes wrong comes back as `{"error":{"code","facts"}}` with a code of the catalogue, and then the
 * state stays as it was. Plain ES2020: no clock, no chance, no locale, nothing asynchronous.
 */
import { checkValue } from '../schema/check-value.ts'
import type { Json, JsonSchema } from '../schema/json-schema.ts'
import type {
  Answer,
  Attempt,
  Context,
  EffectRequest,
  Failure,
  MessageRequest,
  Next,
  Reads,
  TokenDefinition,
} from './token.ts'

/** Methods of `smartToken.call`. */
export type SmartTokenMethod =
  | 'init'
  | 'input'
  | 'action'
  | 'outcome'
  | 'message'
  | 'sent'
  | 'query'
  | 'request'
  | 'topics'
export type Outcome =
  | ({ readonly kind: 'succeeded' } & Answer)
  | ({ readonly kind: 'failed' } & Failure)
  | ({ readonly kind: 'uncertain' } & Attempt)
export type CallError = { readonly error: { readonly code: string; readonly facts: Readonly<Record<string, unknown>> } }
export type CallResult =
  | {
      readonly state: Json
      readonly effects: readonly EffectRequest[]
      readonly messages?: readonly MessageRequest[]
    }
  | { readonly value: Json }
  | { readonly request: Json }
  | { readonly topics: readonly Topic[] }
  | CallError
/** One subset that a state follows: the declared input and the readable subset key. */
export type Topic = { readonly input: string; readonly subset: string }
export type SmartToken = { call(method: string, inputJson: string): string }

type CallInput = {
  readonly state?: unknown
  readonly name?: unknown
  readonly body?: unknown
  readonly args?: unknown
  readonly payload?: unknown
  readonly reads?: unknown
  readonly from?: unknown
  readonly to?: unknown
  readonly attributes?: unknown
  readonly outcome?: unknown
  readonly instance?: unknown
  readonly time?: unknown
}

export const DEFAULT_EFFECTS_PER_CALL = 8
const MESSAGES_PER_CALL = 8
const TOPIC_LIMIT = 16
const SUBSET_LENGTH_LIMIT = 200
const MESSAGE_LIMIT = 300
const NOTHING: JsonSchema = { type: 'object', properties: {}, required: [], additionalProperties: false }
const NO_ARGUMENTS: JsonSchema = { anyOf: [NOTHING, { type: 'null' }] }
const OUTCOME: JsonSchema = {
  anyOf: [
    outcomeSchema('succeeded', { status: { type: 'integer' }, body: {} }),
    outcomeSchema('failed', {
      class: { type: 'string', maxLength: 64 },
      status: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
      attempts: { type: 'integer' },
    }),
    outcomeSchema(
      'uncertain',
      { attempt: { type: 'integer' }, reason: { type: 'string', maxLength: 64 } },
      { late: {} },
    ),
  ],
}

const TOKEN_NAME: JsonSchema = { type: 'string', minLength: 1, maxLength: 200 }
const SENT: JsonSchema = {
  anyOf: [outcomeSchema('delivered', {}), outcomeSchema('refused', { code: { type: 'string', maxLength: 64 } })],
}

/** Puts a definition to work as `globalThis.smartToken`; the last line of every built script. */
export function install(definition: TokenDefinition): void {
  ;(globalThis as { smartToken?: SmartToken }).smartToken = smartToken(definition)
}

/** The same object without touching the globals: for tests and for tools that run a definition outside the sandbox. */
export function smartToken(definition: TokenDefinition): SmartToken {
  return {
    call(method, inputJson) {
      try {
        return JSON.stringify(perform(definition, method, JSON.parse(inputJson)))
      } catch (thrown) {
        return JSON.stringify(errorFrom(thrown))
      }
    },
  }
}

function perform(token: TokenDefinition, method: string, input: CallInput): CallResult {
  switch (method) {
    case 'init': {
      demand(token.attributes?.json ?? {}, input.attributes, 'attributes')
      return transition(token, input, (ctx) => ctx.next(token.init({ attributes: input.attributes })))
    }
    case 'input': {
      const handler = lookUp(token, token.inputs, input.name)
      demand(handler.schema.json, input.body, 'body')
      return transition(token, input, (ctx) => handler.apply(stateOf(token, input), input.body, ctx))
    }
    case 'action': {
      const handler = lookUp(token, token.actions, input.name)
      const args = argsOf(handler.args?.json, input)
      return transition(token, input, (ctx) => handler.apply(stateOf(token, input), args, ctx))
    }
    case 'outcome':
      return applyOutcome(token, input)
    case 'message': {
      const handler = lookUp(token, token.messages, input.name)
      demand(handler.schema.json, input.body, 'body')
      demand(TOKEN_NAME, input.from, 'from')
      return transition(token, input, (ctx) =>
        handler.apply(stateOf(token, input), input.body, ctx, input.from as string),
      )
    }
    case 'sent':
      return applySent(token, input)
    case 'query': {
      const handler = lookUp(token, token.queries, input.name)
      const value = handler.run(stateOf(token, input), argsOf(handler.args?.json, input), readsOf(handler.reads, input))
      deliver(handler.returns.json, value, 'value')
      return { value: value as Json }
    }
    case 'request': {
      const effect = lookUpEffect(token, input.name)
      demand(effect.payload?.json ?? {}, input.payload, 'payload')
      return { request: effect.request(input.payload) as unknown as Json }
    }
    case 'topics':
      return { topics: topicsOf(token, stateOf(token, input)) }
    default:
      throw failure('query.unknown_method', { method, token: token.type })
  }
}

function applyOutcome(token: TokenDefinition, input: CallInput): CallResult {
  const effect = lookUpEffect(token, input.name)
  demand(effect.payload?.json ?? {}, input.payload, 'payload')
  demand(OUTCOME, input.outcome, 'outcome')
  const outcome = input.outcome as Outcome
  if (outcome.kind === 'succeeded') demand(effect.answer?.json ?? {}, outcome.body, 'outcome.body')
  return transition(token, input, (ctx) => {
    const state = stateOf(token, input)
    if (outcome.kind === 'succeeded') return effect.succeeded(state, outcome, ctx, input.payload)
    if (outcome.kind === 'failed') return effect.failed(state, outcome, ctx, input.payload)
    return effect.uncertain(state, outcome, ctx, input.payload)
  })
}

/** A sender that does not care what became of its message stays as it is. */
function applySent(token: TokenDefinition, input: CallInput): CallResult {
  const { delivered, refused } = lookUp(token, token.sends, input.name)
  demand(TOKEN_NAME, input.to, 'to')
  demand(SENT, input.outcome, 'outcome')
  const outcome = input.outcome as { kind: 'delivered' } | { kind: 'refused'; code: string }
  const to = input.to as string
  return transition(token, input, (ctx) => {
    const state = stateOf(token, input)
    if (outcome.kind === 'delivered') return delivered ? delivered(state, to, ctx) : ctx.next(state)
    return refused ? refused(state, to, ctx, outcome.code) : ctx.next(state)
  })
}

function transition(
  token: TokenDefinition,
  { time, instance }: CallInput,
  run: (ctx: Context<unknown>) => Next<unknown>,
): CallResult {
  demand({ type: 'integer', minimum: 0 }, time, 'time')
  demand({ type: 'string', maxLength: 66 }, instance, 'instance')
  const made = run({ time: time as number, instance: instance as string, next })
  if (typeof made !== 'object' || made === null || !Array.isArray(made.effects)) {
    throw failure('sandbox.output_invalid', { detail: 'the handler did not return ctx.next(state)' })
  }
  deliver(token.state.json, made.state, 'state')
  const limit = token.limits?.effectsPerCall ?? DEFAULT_EFFECTS_PER_CALL
  if (made.effects.length > limit) throw failure('effect.too_many', { limit })
  for (const { name, payload } of made.effects) {
    deliver(lookUpEffect(token, name).payload?.json ?? {}, payload, `payload of ${name}`)
  }
  const { messages = [] } = made
  if (messages.length > MESSAGES_PER_CALL)
    throw failure('sandbox.output_invalid', { detail: `more than ${MESSAGES_PER_CALL} messages` })
  for (const { name, to, body } of messages) {
    if (!Object.keys(token.sends).includes(name)) throw failure('delivery.unknown', { name: textOf(name) })
    deliver(TOKEN_NAME, to, `receiver of ${name}`)
    deliver(token.sends[name]!.schema.json, body, `body of ${name}`)
  }
  const common = { state: made.state as Json, effects: made.effects }
  return messages.length > 0 ? { ...common, messages } : common
}

function next(
  state: unknown,
  effects: readonly EffectRequest[] = [],
  messages: readonly MessageRequest[] = [],
): Next<unknown> {
  return {
    state,
    effects,
    effect: (name, payload) => next(state, [...effects, { name, payload }], messages),
    messages,
    message: (name, to, body) => next(state, effects, [...messages, { name, to, body }]),
  }
}

function topicsOf(token: TokenDefinition, state: unknown): Topic[] {
  const topics: Topic[] = []
  for (const input of Object.keys(token.inputs)) {
    const found = token.inputs[input]!.topic(state)
    for (const subset of found === null ? [] : typeof found === 'string' ? [found] : found) {
      deliver({ type: 'string', minLength: 1, maxLength: SUBSET_LENGTH_LIMIT }, subset, `topic of ${input}`)
      topics.push({ input, subset })
    }
  }
  if (topics.length > TOPIC_LIMIT)
    throw failure('sandbox.output_invalid', { detail: `more than ${TOPIC_LIMIT} topics` })
  return topics
}

function stateOf(token: TokenDefinition, { state }: CallInput): unknown {
  demand(token.state.json, state, 'state')
  return state
}

function argsOf(schema: JsonSchema | undefined, { args = null }: CallInput): unknown {
  demand(schema ?? NO_ARGUMENTS, args, 'args')
  return args
}

/** Each declared read is there, and no other. */
function readsOf(declared: readonly string[] = [], { reads = {} }: CallInput): Reads {
  const properties = Object.fromEntries(declared.map((name) => [name, {}]))
  demand({ type: 'object', properties, required: declared, additionalProperties: false }, reads, 'reads')
  return reads as Reads
}

function lookUp<T>(token: TokenDefinition, from: Readonly<Record<string, T>>, name: unknown): T {
  if (typeof name === 'string' && Object.keys(from).includes(name)) return from[name]!
  throw failure('query.unknown_method', { method: textOf(name), token: token.type })
}

function lookUpEffect(token: TokenDefinition, name: unknown): TokenDefinition['effects'][string] {
  if (typeof name === 'string' && Object.keys(token.effects).includes(name)) return token.effects[name]!
  throw failure('effect.unknown', { effect: textOf(name) })
}

/** What comes in must fit; the host has checked the same before journaling. */
function demand(schema: JsonSchema, value: unknown, at: string): void {
  const problem = checkValue(schema, value, at)
  if (problem) throw failure('query.arguments', { at: problem.at, detail: problem.detail })
}

/** What goes out must fit. */
function deliver(schema: JsonSchema, value: unknown, at: string): void {
  const problem = checkValue(schema, value, at)
  if (problem) throw failure('sandbox.output_invalid', { detail: `${problem.at}: ${problem.detail}` })
}

function failure(code: string, facts: Readonly<Record<string, unknown>>): CallError {
  return { error: { code, facts } }
}

function errorFrom(thrown: unknown): CallError {
  if (typeof thrown === 'object' && thrown !== null && 'error' in thrown) return thrown as CallError
  return failure('sandbox.threw', { message: textOf(thrown instanceof Error ? thrown.message : thrown) })
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, MESSAGE_LIMIT) : typeof value
}

function outcomeSchema(
  kind: string,
  properties: Readonly<Record<string, JsonSchema>>,
  optional: Readonly<Record<string, JsonSchema>> = {},
): JsonSchema {
  return {
    type: 'object',
    properties: { kind: { enum: [kind] }, ...properties, ...optional },
    required: ['kind', ...Object.keys(properties)],
    additionalProperties: false,
  }
}
