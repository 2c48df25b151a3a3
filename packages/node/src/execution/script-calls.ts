/** Calls of a token's script by the contract of docs/spec/token.md, with every refusal turned into data. */
import { type HandlerCall, type HandlerResult, type Json, SmartLayerError, type Topic } from '@smartlayer/protocol'
import type { LoadedToken } from '../context.ts'
import type { CallResult, Sandbox } from '../ports/sandbox.ts'

type ScriptError = { readonly error?: { readonly code: string; readonly facts: Record<string, unknown> } }

/** What an effect wants to send. */
export type EffectCall = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: Json
}

/** A handler that changes state, followed by the subsets that the new state follows. */
export async function callHandler(sandbox: Sandbox, token: LoadedToken, call: HandlerCall): Promise<HandlerResult> {
  const made = await callScript<{ state: Json; effects: { name: string; payload: Json }[] }>(
    sandbox,
    token,
    call.method,
    {
      input: call.input,
      gas: token.gas.update,
    },
  )
  if ('refused' in made) return { refused: made.refused }
  const { state: data, effects } = made.output
  const followed = await callScript<{ topics: Topic[] }>(sandbox, token, 'topics', {
    input: { state: data },
    gas: token.gas.query,
  })
  if ('refused' in followed) return { refused: followed.refused }
  return { data, effects, topics: followed.output.topics }
}

/** A query; throws the script's refusal. */
export async function callQuery(sandbox: Sandbox, token: LoadedToken, input: Json): Promise<Json> {
  const made = await callScript<{ value: Json }>(sandbox, token, 'query', { input, gas: token.gas.query })
  if ('refused' in made) throw SmartLayerError.fromData(made.refused, made.facts)
  return made.output.value
}

/** The request of an effect; throws the script's refusal. */
export async function callRequest(sandbox: Sandbox, token: LoadedToken, input: Json): Promise<EffectCall> {
  const made = await callScript<{ request: EffectCall }>(sandbox, token, 'request', { input, gas: token.gas.query })
  if ('refused' in made) throw SmartLayerError.fromData(made.refused, made.facts)
  return made.output.request
}

async function callScript<T>(
  sandbox: Sandbox,
  token: LoadedToken,
  method: string,
  { input, gas }: { input: Json; gas: bigint },
): Promise<{ output: T } | { refused: string; facts: Record<string, unknown> }> {
  const result = await sandbox.call(token.rules.scriptHash, method, JSON.stringify(input), gas)
  if (result.status !== 'ok') return refusalOf(result, gas)
  const output = JSON.parse(result.output) as T & ScriptError
  return output.error ? { refused: output.error.code, facts: output.error.facts } : { output }
}

function refusalOf(
  result: Exclude<CallResult, { status: 'ok' }>,
  gas: bigint,
): { refused: string; facts: Record<string, unknown> } {
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
