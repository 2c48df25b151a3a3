/** Checks the HTTP request that a script's effect asks for, before anything is journaled or sent. */
import { SmartLayerError } from '@smartlayer/protocol'
import type { EffectHttpRequest } from '../define/token.ts'
import { checkValue } from '../schema/check-value.ts'
import type { Json, JsonSchema } from '../schema/json-schema.ts'
import type { Declaration } from './declaration.ts'

const REQUEST: JsonSchema = {
  type: 'object',
  properties: {
    method: { enum: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] },
    path: { type: 'string', minLength: 1, maxLength: 2048 },
    headers: {},
    json: {},
  },
  required: ['method', 'path'],
  additionalProperties: false,
}
const HEADER_LIMIT = 32
const HEADER_VALUE_LIMIT = 4096
const HEADER_NAME = /^[a-z0-9-]{1,64}$/
const PATH = /^\/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*(\?[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*)?$/
const HEADER_VALUE = /^[\x20-\x7e]*$/
const SECRET_MARK = /\{\{secret:([^}]*)\}\}/g
/** Headers that carry framing, routing, identity or proof: only the network sets them. */
const RESERVED = [
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'te',
  'trailer',
  'expect',
].concat([
  'proxy-authorization',
  'proxy-connection',
  'keep-alive',
  'idempotency-key',
  'signature',
  'signature-input',
  'content-digest',
  'content-type',
])

/** A request whose form was checked, and the names of the secrets that it uses. */
export type OutsideRequest = EffectHttpRequest & { readonly secrets: readonly string[] }

/**
 * Parses what `smartToken.call('request', …)` returned. Paths are absolute, without fragment, dot segments or secrets;
 * header names are lowercase and not reserved; secrets are declared and stand in header values or the body only.
 * Throws `sandbox.output_invalid`.
 */
export function parseOutsideRequest(
  input: Json | undefined,
  { secrets }: Pick<Declaration, 'secrets'>,
): OutsideRequest {
  const problem = checkValue(REQUEST, input, 'request')
  if (problem) refuse(`${problem.at}: ${problem.detail}`)
  const { method, path, headers, json } = input as EffectHttpRequest & { readonly headers?: Json }
  if (!PATH.test(path)) refuse('request.path: expected an absolute path in URL encoding')
  if (/(^|\/)(\.|%2e){1,2}(\/|$)/i.test(path.split('?')[0]!)) refuse('request.path: dot segments are not allowed')
  const checkedHeaders = headersOf(headers)
  const used = new Set<string>()
  for (const value of Object.values(checkedHeaders)) collectSecrets(value, used)
  if (json !== undefined) collectSecrets(JSON.stringify(json), used)
  if (method === 'GET' && json !== undefined) refuse('request.json: a GET carries no body')
  for (const name of used) if (!secrets.includes(name)) refuse(`secret ${name.slice(0, 64)} is not declared`)
  return { method, path, headers: checkedHeaders, ...(json === undefined ? {} : { json }), secrets: [...used] }
}

function headersOf(input: Json | undefined): Record<string, string> {
  if (input === undefined) return {}
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    return refuse('request.headers: expected an object')
  const entries = Object.entries(input)
  if (entries.length > HEADER_LIMIT) refuse(`request.headers: at most ${HEADER_LIMIT}`)
  for (const [name, value] of entries) {
    if (!HEADER_NAME.test(name))
      refuse(`request.headers: ${JSON.stringify(name.slice(0, 64))} is not a lowercase header name`)
    if (RESERVED.includes(name)) refuse(`request.headers: ${name} is set by the network`)
    if (typeof value !== 'string' || value.length > HEADER_VALUE_LIMIT || !HEADER_VALUE.test(value)) {
      refuse(`request.headers.${name}: expected printable ASCII text of at most ${HEADER_VALUE_LIMIT} characters`)
    }
  }
  return Object.fromEntries(entries) as Record<string, string>
}

function collectSecrets(text: string, into: Set<string>): void {
  for (const match of text.matchAll(SECRET_MARK)) into.add(match[1]!)
}

function refuse(detail: string): never {
  throw SmartLayerError.of('sandbox.output_invalid', { detail })
}
