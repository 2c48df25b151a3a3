/** Calls of a token's script by the contract of docs/spec/token.md: its answers are hostile text until they were checked here. */
import {
  canonicalJson,
  catalogue,
  formatTokenRef,
  type HandlerCall,
  type HandlerResult,
  type Json,
  MESSAGE_UNITS_LIMIT,
  SmartLayerError,
  type Topic,
  tokenNamed,
} from '@smartlayer/protocol'
import type { EffectCall, LoadedToken } from '../context.ts'
import type { CallResult, Sandbox } from '../ports/sandbox.ts'

const TOPIC_LIMIT = 16
const SUBSET_LENGTH_LIMIT = 200
const EFFECT_LIMIT = 32
const MESSAGE_LIMIT = 8
/** What a script may say of itself; anything else it claims is its own exception. */
const SCRIPT_CODE = /^(sandbox|query|effect|delivery)\./

type Refused = { readonly refused: string; readonly facts: Readonly<Record<string, unknown>> }
type Called = { readonly output: Readonly<Record<string, unknown>> } | Refused

/**
 * A handler that changes state, followed by the subsets that the new state follows. Every refusal is a value, the same on
 * every replica; only `sandbox.unavailable`, a fault of this machine, is thrown.
 */
export async function callHandler(sandbox: Sandbox, token: LoadedToken, call: HandlerCall): Promise<HandlerResult> {
  const made = await callScript(sandbox, token, call.method, { input: call.input, gas: token.gas.update })
  if ('refused' in made) return { refused: made.refused }
  const { state, effects, messages = [] } = made.output
  if (!isCanonical(state) || !isEffects(effects, token)) return { refused: 'sandbox.output_invalid' }
  const addressed = addressedMessages(messages, token)
  if (!addressed) return { refused: 'delivery.unknown' }
  const followed = await callScript(sandbox, token, 'topics', { input: { state }, gas: token.gas.query })
  if ('refused' in followed) return { refused: followed.refused }
  const { topics } = followed.output
  if (!isTopics(topics)) return { refused: 'sandbox.output_invalid' }
  const result = { data: state, effects, topics }
  return addressed.length > 0 ? { ...result, messages: addressed } : result
}

/** A query; throws the script's refusal. */
export async function callQuery(sandbox: Sandbox, token: LoadedToken, input: Json): Promise<Json> {
  const { value } = orThrow(await callScript(sandbox, token, 'query', { input, gas: token.gas.query }))
  if (!isCanonical(value)) throw SmartLayerError.of('sandbox.output_invalid', { detail: 'the value is not JSON' })
  return value
}

/** The request of an effect; throws the script's refusal. */
export async function callRequest(sandbox: Sandbox, token: LoadedToken, input: Json): Promise<EffectCall> {
  const { request } = orThrow(await callScript(sandbox, token, 'request', { input, gas: token.gas.query }))
  if (!isCanonical(request)) throw SmartLayerError.of('sandbox.output_invalid', { detail: 'the request is not JSON' })
  return token.checkRequest(request)
}

async function callScript(
  sandbox: Sandbox,
  token: LoadedToken,
  method: string,
  { input, gas }: { input: Json; gas: bigint },
): Promise<Called> {
  const result = await sandbox.call(token.rules.scriptHash, method, JSON.stringify(input), gas)
  if (result.status !== 'ok') return refusalOf(result, gas)
  const output = parsed(result.output)
  if (!output) return { refused: 'sandbox.output_invalid', facts: { detail: 'the script did not return an object' } }
  return 'error' in output ? ownRefusal(output.error) : { output }
}

function orThrow(called: Called): Readonly<Record<string, unknown>> {
  if ('refused' in called) throw SmartLayerError.fromData(called.refused, called.facts)
  return called.output
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined // the script returned text that is no JSON: its own fault, the same on every node
  }
}

function ownRefusal(error: unknown): Refused {
  const { code, facts } = (typeof error === 'object' && error !== null ? error : {}) as {
    code?: unknown
    facts?: unknown
  }
  if (typeof code === 'string' && SCRIPT_CODE.test(code) && code in catalogue) {
    return {
      refused: code,
      facts: typeof facts === 'object' && facts !== null ? (facts as Record<string, unknown>) : {},
    }
  }
  return { refused: 'sandbox.threw', facts: { message: 'an error of its own making' } }
}

function refusalOf(result: Exclude<CallResult, { status: 'ok' }>, gas: bigint): Refused {
  switch (result.status) {
    case 'threw':
      return { refused: 'sandbox.threw', facts: { message: result.message.slice(0, 300) } }
    case 'outOfGas':
      return { refused: 'sandbox.out_of_gas', facts: { limit: Number(gas) } }
    case 'tooDeep':
      return { refused: 'sandbox.too_deep', facts: {} }
    case 'outOfMemory':
      return { refused: 'sandbox.out_of_memory', facts: {} }
  }
}

/** JSON that has a canonical form: no lone surrogates, not nested too deeply. */
function isCanonical(value: unknown): value is Json {
  try {
    canonicalJson(value)
    return true
  } catch {
    return false // the canonical form says no, and says it alike on every node
  }
}

function isEffects(value: unknown, { rules }: LoadedToken): value is { name: string; payload: Json }[] {
  return (
    Array.isArray(value) && value.length <= EFFECT_LIMIT && value.every((effect) => isEffect(effect, rules.effects))
  )
}

function isEffect(value: unknown, declared: LoadedToken['rules']['effects']): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { name, payload } = value as Record<string, unknown>
  return typeof name === 'string' && Object.hasOwn(declared, name) && isCanonical(payload)
}

/** Messages that are declared, each with the one name of its receiver; undefined when any is not, the same on every node. */
function addressedMessages(value: unknown, { rules, ref }: LoadedToken) {
  if (!Array.isArray(value) || value.length > MESSAGE_LIMIT) return undefined
  const addressed = value.flatMap((message: unknown) => {
    const { name, to, body } = (typeof message === 'object' && message !== null ? message : {}) as Record<
      string,
      unknown
    >
    const rule = typeof name === 'string' && Object.hasOwn(rules.sends ?? {}, name) ? rules.sends?.[name] : undefined
    if (!rule || typeof name !== 'string' || typeof to !== 'string' || !isCanonical(body)) return []
    const named = tokenNamed(to, { contracts: rule.to, chainId: ref.chainId })
    const text = canonicalJson(body)
    if (typeof named === 'string' || text.length > MESSAGE_UNITS_LIMIT) return []
    return [{ to: formatTokenRef(named), name, body: text }]
  })
  return addressed.length === value.length ? addressed : undefined
}

function isTopics(value: unknown): value is Topic[] {
  return Array.isArray(value) && value.length <= TOPIC_LIMIT && value.every(isTopic)
}

function isTopic(value: unknown): value is Topic {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 2) return false
  const { input, subset } = value as Record<string, unknown>
  return isName(input) && isName(subset)
}

function isName(text: unknown): boolean {
  return typeof text === 'string' && text.length > 0 && text.length <= SUBSET_LENGTH_LIMIT && text.isWellFormed()
}
