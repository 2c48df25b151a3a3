/** Reads a declaration that a stranger wrote: strict, bounded, and consistent in itself. */
import {
  type Address,
  type Bytes32,
  canonicalJson,
  isHex,
  parseRetention,
  RETENTION_DAYS_LIMIT,
  SmartLayerError,
} from '@smartlayer/protocol'
import type { Json, JsonSchema } from '../schema/json-schema.ts'
import { parseSchema } from '../schema/parse-schema.ts'
import {
  ATTEMPT_LIMIT,
  CONTRACTS_PER_ENTRY,
  DECLARATION_BYTE_LIMIT,
  DEFAULT_GAS,
  DEFAULT_LIMITS,
  DEFAULT_RETENTION,
  type Declaration,
  type DeclaredEffect,
  type DeclaredExpiry,
  type DeclaredRead,
  ENTRY_LIMIT,
  GAS_LIMIT,
  LIMIT_CEILINGS,
  type Named,
  QUERY_READ_LIMIT,
  READ_ARGS_LIMIT,
  TIMEOUT_LIMIT_MS,
  type TokenSource,
  TTL_LIMIT_S,
} from './declaration.ts'
import { isHost, originOf } from './origin.ts'

type Record_ = { readonly [key: string]: Json }

const FIELDS = [
  'format',
  'type',
  'version',
  'engineId',
  'state',
  'attributes',
  'issuers',
  'outside',
  'inputs',
  'queries',
].concat([
  'actions',
  'effects',
  'secrets',
  'gas',
  'limits',
  'valueAtRisk',
  'serviceClass',
  'expiry',
  'contracts',
  'reads',
  'messages',
  'sends',
])
const NAME = /^[a-z][A-Za-z0-9]{0,63}$/
const TYPE = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/
const VERSION = /^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})$/
const LANE = /^[a-z0-9][a-z0-9._-]{0,63}$/
const SCOPE = /^[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*:(read|write)$/
const SECRET = /^[A-Z][A-Z0-9_]{0,63}$/
const PATH = /^[A-Za-z][A-Za-z0-9]{0,63}(\.[A-Za-z][A-Za-z0-9]{0,63}){0,7}$/
const TOKEN_NAME = /^((0|[1-9]\d{0,77})|eip155:\d{1,18}\/erc721:0x[0-9a-f]{40}\/(0|[1-9]\d{0,77}))$/
const DECIMAL = /^(0|[1-9]\d{0,77})$/

/**
 * Parses a declaration from its JSON text (at most 256 KiB) or an already parsed value. Every name, key, limit and
 * schema is checked, and every name that refers to another entry must find it. Throws `script.declaration_invalid`
 * with the path of the first thing that is wrong.
 */
export function parseDeclaration(input: string | Json): Declaration {
  const declaration = recordOf(typeof input === 'string' ? jsonOf(input) : input, 'declaration', FIELDS)
  if (declaration.format !== 1) refuse('format', 'expected 1')
  const issuers = entriesOf(declaration.issuers, 'issuers', NAME, (entry, at) => {
    const issuer = recordOf(entry, at, ['address', 'lane', 'retention'])
    return {
      address: addressOf(issuer.address, `${at}.address`),
      lane: textOf(issuer.lane, `${at}.lane`, LANE, 'a lane name'),
      retention: retentionOf(issuer.retention, `${at}.retention`),
    }
  })
  const outside = entriesOf(declaration.outside, 'outside', NAME, (entry, at) => {
    const system = recordOf(entry, at, ['host', 'url', 'signer'])
    const signer = system.signer === null ? null : addressOf(system.signer, `${at}.signer`)
    return { host: hostOf(system.host, `${at}.host`), url: urlOf(system.url, `${at}.url`), signer }
  })
  const hosts = Object.values(outside).map((system) => system.host)
  if (new Set(hosts).size < hosts.length) refuse('outside', 'two entries name the same host')

  const contracts = entriesOf(declaration.contracts ?? {}, 'contracts', NAME, (entry, at) => {
    return { address: addressOf(recordOf(entry, at, ['address']).address, `${at}.address`) }
  })
  const reads = entriesOf(declaration.reads ?? {}, 'reads', NAME, (entry, at) => readOf(entry, at, contracts))

  return {
    format: 1,
    type: textOf(declaration.type, 'type', TYPE, 'a lowercase name with hyphens', 64),
    version: textOf(declaration.version, 'version', VERSION, 'a version such as 1.0.0'),
    engineId: bytes32Of(declaration.engineId, 'engineId'),
    state: schemaOf(declaration.state, 'state'),
    attributes: schemaOf(declaration.attributes, 'attributes'),
    issuers,
    outside,
    inputs: entriesOf(declaration.inputs, 'inputs', NAME, (entry, at) => {
      const { issuer, wake, schema } = recordOf(entry, at, ['issuer', 'wake', 'schema'])
      return {
        issuer: keyOf(issuer, issuers, `${at}.issuer`),
        wake: booleanOf(wake, `${at}.wake`),
        schema: schemaOf(schema, `${at}.schema`),
      }
    }),
    queries: entriesOf(declaration.queries, 'queries', NAME, (entry, at) => {
      const { scope, args, returns, reads: read } = recordOf(entry, at, ['scope', 'args', 'returns', 'reads'])
      const isPublic = scope === ''
      return {
        scope: isPublic ? '' : scopeOf(scope, at),
        args: argsOf(args, at),
        returns: schemaOf(returns, `${at}.returns`),
        reads: keysOf(read ?? [], reads, `${at}.reads`, QUERY_READ_LIMIT),
      }
    }),
    actions: entriesOf(declaration.actions, 'actions', NAME, (entry, at) => {
      const { scope, args } = recordOf(entry, at, ['scope', 'args'])
      return { scope: scopeOf(scope, at), args: argsOf(args, at) }
    }),
    effects: entriesOf(declaration.effects, 'effects', NAME, (entry, at) => effectOf(entry, at, outside, hosts)),
    contracts,
    reads,
    messages: entriesOf(declaration.messages ?? {}, 'messages', NAME, (entry, at) => {
      const { from, schema } = recordOf(entry, at, ['from', 'schema'])
      return { from: contractsOf(from, contracts, `${at}.from`), schema: schemaOf(schema, `${at}.schema`) }
    }),
    sends: entriesOf(declaration.sends ?? {}, 'sends', NAME, (entry, at) => {
      const { to, schema } = recordOf(entry, at, ['to', 'schema'])
      return { to: contractsOf(to, contracts, `${at}.to`), schema: schemaOf(schema, `${at}.schema`) }
    }),
    secrets: secretsOf(declaration.secrets),
    gas: countsOf(declaration.gas, 'gas', DEFAULT_GAS, () => GAS_LIMIT),
    limits: countsOf(declaration.limits, 'limits', DEFAULT_LIMITS, (name) => LIMIT_CEILINGS[name]),
    valueAtRisk: textOf(declaration.valueAtRisk, 'valueAtRisk', DECIMAL, 'a decimal amount in base units'),
    serviceClass: countOf(declaration.serviceClass, 'serviceClass', 255, 0),
    ...(declaration.expiry === undefined ? {} : { expiry: expiryOf(declaration.expiry) }),
  }
}

function effectOf(entry: Json, at: string, outside: Declaration['outside'], hosts: readonly string[]): DeclaredEffect {
  const fields = ['host', 'payload', 'answer', 'attempts', 'timeoutMs', 'idempotent', 'attestedBy']
  const effect = recordOf(entry, at, fields)
  const host = hostOf(effect.host, `${at}.host`)
  if (!hosts.includes(host)) refuse(`${at}.host`, `${host} is not among the declared outside systems`)
  const attestedBy = effect.attestedBy === null ? null : keyOf(effect.attestedBy, outside, `${at}.attestedBy`)
  if (attestedBy !== null && outside[attestedBy]?.signer === null)
    refuse(`${at}.attestedBy`, `outside.${attestedBy} has no signer`)
  return {
    host,
    payload: schemaOf(effect.payload, `${at}.payload`),
    answer: schemaOf(effect.answer, `${at}.answer`),
    attempts: countOf(effect.attempts, `${at}.attempts`, ATTEMPT_LIMIT, 1),
    timeoutMs: countOf(effect.timeoutMs, `${at}.timeoutMs`, TIMEOUT_LIMIT_MS, 1),
    idempotent: booleanOf(effect.idempotent, `${at}.idempotent`),
    attestedBy,
  }
}

function readOf(entry: Json, at: string, contracts: Declaration['contracts']): DeclaredRead {
  const { from, token, query, args, optional } = recordOf(entry, at, ['from', 'token', 'query', 'args', 'optional'])
  const among = contractsOf(from, contracts, `${at}.from`)
  if (canonicalJson(args ?? null).length > READ_ARGS_LIMIT) refuse(`${at}.args`, `longer than ${READ_ARGS_LIMIT}`)
  return {
    from: among,
    token: tokenSourceOf(token, `${at}.token`),
    query: textOf(query, `${at}.query`, NAME, 'the name of a query'),
    args: args ?? null,
    optional: booleanOf(optional, `${at}.optional`),
  }
}

function tokenSourceOf(input: Json | undefined, at: string): TokenSource {
  const source = recordOf(input, at, ['value', 'state', 'attribute'])
  if (Object.keys(source).length !== 1) refuse(at, 'expected one of value, state, attribute')
  if ('value' in source)
    return { value: textOf(source.value, `${at}.value`, TOKEN_NAME, 'a token id or a CAIP-19 id', 200) }
  if ('state' in source)
    return { state: textOf(source.state, `${at}.state`, PATH, 'a path such as papers.insurance', 200) }
  return { attribute: textOf(source.attribute, `${at}.attribute`, NAME, 'the name of an attribute') }
}

function entriesOf<T>(
  input: Json | undefined,
  at: string,
  name: RegExp,
  parse: (entry: Json, at: string) => T,
): Named<T> {
  const record = recordOf(input, at)
  const names = Object.keys(record)
  if (names.length > ENTRY_LIMIT) refuse(at, `at most ${ENTRY_LIMIT} entries`)
  return Object.fromEntries(
    names.map((key) => {
      if (!name.test(key) || key in Object.prototype)
        refuse(at, `${JSON.stringify(key.slice(0, 70))} is not a name in camelCase`)
      return [key, parse(record[key]!, `${at}.${key}`)]
    }),
  )
}

function countsOf<T extends Named<number>>(
  input: Json | undefined,
  at: string,
  known: T,
  limit: (name: keyof T) => number,
): T {
  const names = Object.keys(known) as (keyof T & string)[]
  const record = recordOf(input, at, names)
  return Object.fromEntries(names.map((name) => [name, countOf(record[name], `${at}.${name}`, limit(name), 1)])) as T
}

function secretsOf(input: Json | undefined): readonly string[] {
  if (!Array.isArray(input) || input.length > ENTRY_LIMIT)
    return refuse('secrets', `expected a list of at most ${ENTRY_LIMIT} names`)
  const names = input.map((name: Json, i) => textOf(name, `secrets[${i}]`, SECRET, 'a name in CAPITALS'))
  return new Set(names).size === names.length ? names : refuse('secrets', 'a name stands twice')
}

function schemaOf(input: Json | undefined, at: string): JsonSchema {
  return parseSchema(input, at, refuse)
}

function argsOf(input: Json | undefined, at: string): JsonSchema | null {
  return input === null ? null : schemaOf(input, `${at}.args`)
}

function scopeOf(input: Json | undefined, at: string): string {
  return textOf(input, `${at}.scope`, SCOPE, 'a scope such as flight.status:read', 128)
}

function hostOf(input: Json | undefined, at: string): string {
  return typeof input === 'string' && isHost(input)
    ? input
    : refuse(at, 'expected a host name, with a port where it is not 443')
}

function urlOf(input: Json | undefined, at: string): string {
  const origin = typeof input === 'string' ? originOf(input) : undefined
  return origin ?? refuse(at, 'expected an origin such as https://hotel.example')
}

function keyOf(input: Json | undefined, among: Named<unknown>, at: string): string {
  if (typeof input === 'string' && Object.keys(among).includes(input)) return input
  return refuse(at, `${JSON.stringify(input ?? null).slice(0, 70)} is not declared`)
}

function contractsOf(input: Json | undefined, contracts: Declaration['contracts'], at: string): readonly string[] {
  const keys = keysOf(input, contracts, at, CONTRACTS_PER_ENTRY)
  return keys.length > 0 ? keys : refuse(at, 'expected the name of a contract')
}

function keysOf(input: Json | undefined, among: Named<unknown>, at: string, limit: number): readonly string[] {
  if (!Array.isArray(input) || input.length > limit) return refuse(at, `expected a list of at most ${limit} names`)
  const keys = input.map((key: Json, i) => keyOf(key, among, `${at}[${i}]`))
  return new Set(keys).size === keys.length ? keys : refuse(at, 'a name stands twice')
}

/** Left out by declarations that were written before there was a choice. */
function expiryOf(input: Json): DeclaredExpiry {
  const expiry = recordOf(input, 'expiry', ['at', 'ttlS', 'state'])
  if (Object.keys(expiry).length !== 1) refuse('expiry', 'expected one of at, ttlS, state')
  if (expiry.at !== undefined) return { at: countOf(expiry.at, 'expiry.at', Number.MAX_SAFE_INTEGER, 1) }
  if (expiry.ttlS !== undefined) return { ttlS: countOf(expiry.ttlS, 'expiry.ttlS', TTL_LIMIT_S, 1) }
  return { state: textOf(expiry.state, 'expiry.state', NAME, 'the name of a member of the state') }
}

function retentionOf(input: Json | undefined, at: string): string {
  if (input === undefined) return DEFAULT_RETENTION
  if (typeof input === 'string' && parseRetention(input)) return input
  return refuse(at, `expected all, latest, or a number of days up to ${RETENTION_DAYS_LIMIT} such as 30 days`)
}

function addressOf(input: Json | undefined, at: string): Address {
  return isHex(input, 20) ? input : refuse(at, 'expected an address in lowercase hex')
}

function bytes32Of(input: Json | undefined, at: string): Bytes32 {
  return isHex(input, 32) ? input : refuse(at, 'expected 32 bytes of lowercase hex')
}

function booleanOf(input: Json | undefined, at: string): boolean {
  return typeof input === 'boolean' ? input : refuse(at, 'expected true or false')
}

function countOf(input: Json | undefined, at: string, most: number, least: number): number {
  if (typeof input === 'number' && Number.isSafeInteger(input) && input >= least && input <= most) return input
  return refuse(at, `expected a whole number from ${least} to ${most}`)
}

function textOf(input: Json | undefined, at: string, form: RegExp, expected: string, limit = 128): string {
  return typeof input === 'string' && input.length <= limit && form.test(input)
    ? input
    : refuse(at, `expected ${expected}`)
}

function recordOf(input: Json | undefined, at: string, fields?: readonly string[]): Record_ {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return refuse(at, 'expected an object')
  const record = input as Record_
  for (const key of fields ? Object.keys(record) : []) {
    if (!fields!.includes(key)) refuse(`${at}.${key.slice(0, 64)}`, 'no such field')
  }
  return record
}

function jsonOf(text: string): Json {
  if (text.length > DECLARATION_BYTE_LIMIT) refuse('declaration', `longer than ${DECLARATION_BYTE_LIMIT} characters`)
  try {
    return JSON.parse(text) as Json
  } catch {
    return refuse('declaration', 'not JSON')
  }
}

function refuse(at: string, detail: string): never {
  throw SmartLayerError.of('script.declaration_invalid', { at, detail })
}
