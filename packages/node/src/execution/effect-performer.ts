/** Performs one attempt of an effect: builds the request, fills in secrets, checks the lease last, and types the end. */
import {
  type Address,
  type Bytes32,
  type Effect,
  endOfStatus,
  type Hex,
  isHex,
  isSmartLayerError,
  type OutcomeBody,
  outsideAnswerDigest,
  SmartLayerError,
  textHash,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { OutboundResult } from '../ports/egress.ts'
import type { Ports } from '../ports/ports.ts'
import type { LeaseKeeper } from './lease-keeper.ts'
import { callRequest } from './script-calls.ts'

/** Secrets of token types, as this node was given them; undefined when a name is not set. */
export type Secrets = { get(contract: Address, name: string): string | undefined }

type ServicePorts = Pick<Ports, 'egress' | 'identity' | 'sandbox'>

/** How often the lease is asked whether it is long enough, and when the bytes leave. */
export const CALL_MARGIN_MS = 100

/**
 * Performs an attempt whose entry has committed. Returns undefined when the lease was too short at the last moment: then
 * nothing left and the attempt is still to be performed.
 */
export async function performEffect(
  ports: ServicePorts,
  context: NodeContext,
  { token, effect, lease, secrets }: { token: LoadedToken; effect: Effect; lease: LeaseKeeper; secrets: Secrets },
): Promise<OutcomeBody | undefined> {
  const base = { effect: effect.id, name: effect.name, attempt: effect.attempts }
  const target = token.effectTarget(effect.name)
  if (target === undefined) return { ...base, end: 'failed', reason: 'effect.host', answer: null }
  let request: {
    url: string
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
    headers: Record<string, string>
    body: string
  }
  try {
    const call = await callRequest(ports.sandbox, token, { name: effect.name, payload: JSON.parse(effect.payload) })
    const fill = (text: string) => fillSecrets(text, token.ref.contract, secrets)
    request = {
      url: new URL(call.path, target).href,
      method: call.method,
      headers: Object.fromEntries(Object.entries(call.headers ?? {}).map(([name, value]) => [name, fill(value)])),
      body: call.json === undefined ? '' : fill(JSON.stringify(call.json)),
    }
  } catch (error) {
    const reason = isSmartLayerError(error) ? error.code : 'sandbox.threw'
    if (reason === 'sandbox.unavailable') return undefined // a fault of this machine: the attempt is still to be performed
    return { ...base, end: 'failed', reason, answer: null }
  }
  if (new URL(request.url).origin !== new URL(target).origin)
    return { ...base, end: 'failed', reason: 'effect.host', answer: null }
  const timeoutMs = token.timeoutMs(effect.name)
  if (!lease.mayAct(timeoutMs + CALL_MARGIN_MS)) return undefined
  const result = await ports.egress.request({
    ...request,
    timeoutMs,
    effect: effect.id,
    executor: ports.identity.signer.address,
    term: lease.placement.term,
    placement: lease.hash,
  })
  return { ...base, ...endOf(ports, context, { token, effect, result, body: request.body }) }
}

function endOf(
  ports: ServicePorts,
  context: NodeContext,
  { token, effect, result, body }: { token: LoadedToken; effect: Effect; result: OutboundResult; body: string },
): Pick<OutcomeBody, 'end' | 'reason' | 'answer'> {
  if (result.end === 'unsent') return { end: 'failed', reason: result.reason.slice(0, 64), answer: null }
  if (result.end === 'lost') return { end: 'lost', reason: result.reason.slice(0, 64), answer: null }
  const { crypto } = ports.identity
  const answer = {
    status: result.status,
    request: textHash(body, crypto),
    body: result.body,
    signature: result.signature ?? '',
  }
  const { idempotent = false } = token.rules.effects[effect.name] ?? {}
  const end = endOfStatus(result.status, { signed: isSigned(context, ports, { token, effect, answer }), idempotent })
  return {
    end,
    reason: end === 'answered' ? 'answered' : `status ${result.status}`,
    answer: end === 'answered' ? answer : null,
  }
}

function isSigned(
  { domain }: NodeContext,
  { identity }: ServicePorts,
  { token, effect, answer }: { token: LoadedToken; effect: Effect; answer: NonNullable<OutcomeBody['answer']> },
): boolean {
  const attestedBy = token.rules.effects[effect.name]?.attestedBy
  if (!attestedBy) return true
  if (!isHex(answer.signature, 65)) return false
  const digest = outsideAnswerDigest({ effect: effect.id as Bytes32, ...answer }, { crypto: identity.crypto, domain })
  return identity.crypto.recover(digest, answer.signature as Hex) === attestedBy
}

/** `{{secret:NAME}}` may stand in headers and body only. Throws `effect.no_secret`. */
function fillSecrets(text: string, contract: Address, secrets: Secrets): string {
  return text.replace(/\{\{secret:([A-Z][A-Z0-9_]{0,63})\}\}/g, (_, name: string) => {
    const value = secrets.get(contract, name)
    if (value === undefined) throw SmartLayerError.of('effect.no_secret', { name })
    return value
  })
}
