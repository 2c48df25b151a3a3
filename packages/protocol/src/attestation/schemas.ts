/** The EAS schemas of Smart Layer: what an attestation says, as static ABI words (docs/spec/attestation.md). */
import { SmartLayerError } from '../errors/smart-layer-error.ts'
import { type Bytes32, concat, fromHex, type Hex, toHex, utf8 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { address, bytes32, type Field, type TypeOf, uint } from '../primitives/struct.ts'

// biome-ignore lint/suspicious/noExplicitAny: a static member of any value type; its own type comes back through TypeOf
type StaticField = Field<any>

export type EasSchema<T> = {
  readonly name: string
  /** As registered with EAS: `bytes32 token,bytes32 stream,…`. */
  readonly definition: string
  /** keccak(definition ‖ resolver 0 ‖ revocable true). */
  uid(keccak: Hasher): Bytes32
  encode(value: T): Uint8Array
  /** The same as hex, which costs less: most members are hex already. */
  encodeHex(value: T): Hex
  /** Strict: exact length, no dirty padding. Throws `message.malformed`. */
  decode(data: Uint8Array): T
  decodeHex(data: Hex): T
}

/** Every input of a script: a fact of an issuer, an outcome, an attempt. */
export const SLInput = easSchema('SLInput', {
  token: bytes32,
  stream: bytes32,
  epoch: uint(64),
  sequence: uint(64),
  subset: bytes32,
  subSequence: uint(64),
  subPrevious: bytes32,
  context: bytes32,
  contentHash: bytes32,
  kind: uint(16),
  validFrom: uint(64),
  origin: bytes32,
})
export type InputData = SchemaValue<typeof SLInput>

/** An answer of a service node, or a committed transition. */
export const SLOutput = easSchema('SLOutput', {
  token: bytes32,
  stream: bytes32,
  sequence: uint(64),
  audience: bytes32,
  request: bytes32,
  result: bytes32,
  context: bytes32,
  evidence: bytes32,
})
export type OutputData = SchemaValue<typeof SLOutput>

/** The outside system failed, checked by the home anchor that signs. */
export const SLFailure = easSchema('SLFailure', {
  token: bytes32,
  stream: bytes32,
  sequence: uint(64),
  step: bytes32,
  origin: bytes32,
  class: uint(16),
  status: uint(16),
  attempts: uint(32),
  firstAt: uint(64),
  lastAt: uint(64),
  evidenceRoot: bytes32,
  serviceNode: address,
})

/** The leaves under this root are the signer's. */
export const SLBatch = easSchema('SLBatch', {
  root: bytes32,
  firstSequence: uint(64),
  count: uint(64),
  evidence: bytes32,
})
export type BatchData = SchemaValue<typeof SLBatch>

/** A node's key lives in this build on this platform. */
export const SLNode = easSchema('SLNode', {
  node: address,
  measurement: bytes32,
  tee: uint(16),
  tcbStatus: uint(16),
  tcbEval: uint(64),
  evidenceTime: uint(64),
  evidenceHash: bytes32,
  platform: bytes32,
})

/** What an SLInput is; the index is on the wire: append only. */
export const INPUT_KINDS = ['fact', 'revocation', 'outcome', 'attempt', 'action', 'read', 'epoch'] as const
export type InputKind = (typeof INPUT_KINDS)[number]

const ADDRESS_PADDING = '0'.repeat(24)

export type SchemaValue<S> = S extends EasSchema<infer T> ? T : never

/** Declares a schema of static members (address, bytes32, uint) in their ABI order. */
export function easSchema<F extends Record<string, StaticField>>(
  name: string,
  fields: F,
): EasSchema<{ readonly [K in keyof F]: TypeOf<F[K]> }> {
  type T = { readonly [K in keyof F]: TypeOf<F[K]> }
  const entries = Object.entries(fields) as [keyof T & string, StaticField][]
  const definition = entries.map(([key, field]) => `${field.type} ${key}`).join(',')
  let uid: Bytes32 | undefined
  const encodeHex = (value: T): Hex => {
    let hex = '0x'
    for (const [key] of entries) hex += wordDigits(value[key] as Hex | bigint)
    return hex as Hex
  }
  const digits = 2 + 64 * entries.length
  const read = (hex: Hex): T => {
    if (hex.length !== digits) malformed(name, `${32 * entries.length} bytes`)
    const value: Record<string, unknown> = {}
    for (let i = 0; i < entries.length; i++) {
      const [key, field] = entries[i]!
      value[key] = fromWord(field, hex.slice(2 + 64 * i, 66 + 64 * i), `${name}.${key}`)
    }
    return value as T
  }
  return {
    name,
    definition,
    uid(keccak) {
      uid ??= toHex(keccak(concat(utf8(definition), new Uint8Array(20), Uint8Array.of(1))))
      return uid
    },
    encode: (value) => fromHex(encodeHex(value)),
    encodeHex,
    decode: (data) => read(toHex(data)),
    decodeHex: read,
  }
}

/** 64 hex digits of an address, bytes32 or uint. */
function wordDigits(value: Hex | bigint): string {
  const digits = typeof value === 'bigint' ? value.toString(16) : value.slice(2)
  return digits.length === 64 ? digits : digits.padStart(64, '0')
}

function fromWord({ type }: StaticField, digits: string, at: string): unknown {
  if (type === 'bytes32') return `0x${digits}`
  if (type === 'address') {
    if (!digits.startsWith(ADDRESS_PADDING)) malformed(at, 'an address word')
    return `0x${digits.slice(ADDRESS_PADDING.length)}`
  }
  const value = BigInt(`0x${digits}`)
  const bits = Number(type.slice('uint'.length))
  return value >> BigInt(bits) === 0n ? value : malformed(at, `a number of at most ${bits} bits`)
}

function malformed(at: string, expected: string): never {
  throw SmartLayerError.of('message.malformed', { at, expected })
}

/** What messages say, as long as the messages live: several rules read the same one. */
const decoded = new WeakMap<object, { readonly schema: unknown; readonly value: unknown }>()

/** The data of an attestation under a schema. Throws `message.malformed`. */
export function dataOf<T>(schema: EasSchema<T>, message: { readonly data: Hex }): T {
  const known = decoded.get(message)
  if (known?.schema === schema) return known.value as T
  const value = schema.decodeHex(message.data)
  decoded.set(message, { schema, value })
  return value
}
