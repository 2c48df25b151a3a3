/** One definition per signed message: its TypeScript type, strict parser with limits, JSON form and EIP-712 hash. */
import { SmartLayerError } from '../errors/smart-layer-error.ts'
import { type Address, type Bytes32, concat, fromHex, type Hex, isHex, uintWord, utf8 } from './bytes.ts'
import type { Hasher } from './crypto.ts'

/** A member type: how it is named in EIP-712, parsed from JSON, hashed into a word and written as JSON. */
export type Field<T> = {
  readonly type: string
  readonly members: readonly AnyStruct[]
  parse(input: unknown, at: string): T
  word(value: T, keccak: Hasher): Uint8Array
  toJson(value: T): unknown
}

export type Struct<T> = Field<T> & {
  readonly name: string
  /** The EIP-712 type string of this struct alone, without the ones it refers to. */
  readonly signature: string
  /** The EIP-712 type string with all structs it refers to, as `encodeType` defines it. */
  readonly encodedType: string
  readonly fields: Readonly<Record<string, Field<unknown>>>
  /** hashStruct(value) of EIP-712. */
  hash(value: T, keccak: Hasher): Uint8Array
  /** Parses JSON strictly. Throws `message.malformed` with the path of the first field that is wrong or unknown. */
  parseJson(input: unknown): T
}
export type TypeOf<S> = S extends Field<infer T> ? T : never
// biome-ignore lint/suspicious/noExplicitAny: a struct of any value type, only listed and never called through this type
type AnyStruct = Struct<any>
// biome-ignore lint/suspicious/noExplicitAny: a member of any value type; its own type comes back through TypeOf
type AnyField = Field<any>

export const address = leaf<Address>('address', hexOf(20, 'an address in lowercase hex'), (v) => leftPadded(fromHex(v)))
export const bytes32 = leaf<Bytes32>('bytes32', hexOf(32, '32 bytes of lowercase hex'), fromHex)
export const bool = leaf<boolean>(
  'bool',
  (input, at) => (typeof input === 'boolean' ? input : malformed(at, 'true or false')),
  (value) => uintWord(value ? 1n : 0n),
)

/** Bytes of at most `limit` bytes. */
export function bytes(limit: number): Field<Hex> {
  const parse = (input: unknown, at: string): Hex =>
    isHex(input) && input.length <= 2 + 2 * limit ? input : malformed(at, `hex of at most ${limit} bytes`)
  return leaf('bytes', parse, (value, keccak) => keccak(fromHex(value)))
}

/** Text of at most `limit` UTF-16 units. */
export function string(limit: number): Field<string> {
  const parse = (input: unknown, at: string): string =>
    typeof input === 'string' && input.length <= limit ? input : malformed(at, `text of at most ${limit} characters`)
  return leaf('string', parse, (value, keccak) => keccak(utf8(value)))
}

/** An unsigned integer; in JSON a decimal string, so that no reader loses digits. */
export function uint(bits: 16 | 32 | 64 | 128 | 256): Field<bigint> {
  const limit = 1n << BigInt(bits)
  const parse = (input: unknown, at: string): bigint => {
    if (typeof input !== 'string' || input.length > 78 || !/^(0|[1-9]\d*)$/.test(input)) {
      return malformed(at, `a decimal uint${bits} as a string`)
    }
    const value = BigInt(input)
    return value < limit ? value : malformed(at, `a number of at most ${bits} bits`)
  }
  return leaf(`uint${bits}`, parse, uintWord, String)
}

/** A list of at most `limit` items. */
export function list<T>(of: Field<T>, limit: number): Field<readonly T[]> {
  return {
    type: `${of.type}[]`,
    members: of.members,
    parse: (input, at) =>
      Array.isArray(input) && input.length <= limit
        ? input.map((item, i) => of.parse(item, `${at}[${i}]`))
        : malformed(at, `a list of at most ${limit} items`),
    word: (value, keccak) => keccak(concat(...value.map((item) => of.word(item, keccak)))),
    toJson: (value) => value.map(of.toJson),
  }
}

/** A message type. Field order is the order of EIP-712 members. */
export function struct<F extends Record<string, AnyField>>(
  name: string,
  fields: F,
): Struct<{ readonly [K in keyof F]: TypeOf<F[K]> }> {
  type T = { readonly [K in keyof F]: TypeOf<F[K]> }
  const entries = Object.entries(fields) as unknown as readonly (readonly [keyof T & string, Field<unknown>])[]
  const known = new Set<string>(Object.keys(fields))
  const signature = `${name}(${entries.map(([key, field]) => `${field.type} ${key}`).join(',')})`
  const referred = [...new Map(entries.flatMap(([, f]) => f.members).map((m) => [m.name, m])).values()]
  const encodedType =
    signature +
    referred
      .map((m) => m.signature)
      .sort()
      .join('')
  const typeHash = memoized((keccak) => keccak(utf8(encodedType)))
  const hash = (value: T, keccak: Hasher): Uint8Array => {
    const words = new Uint8Array(32 * (entries.length + 1))
    words.set(typeHash(keccak))
    entries.forEach(([key, field], i) => {
      words.set(field.word(value[key], keccak), 32 * (i + 1))
    })
    return keccak(words)
  }
  const parse = (input: unknown, at: string): T => {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) return malformed(at, `a ${name}`)
    for (const key of Object.keys(input)) if (!known.has(key)) malformed(`${at}.${key}`, 'no such field')
    const source = input as Record<string, unknown>
    return Object.fromEntries(entries.map(([key, field]) => [key, field.parse(source[key], `${at}.${key}`)])) as T
  }
  const self: Struct<T> = {
    name,
    type: name,
    signature,
    encodedType,
    fields: fields as unknown as Record<string, Field<unknown>>,
    get members() {
      return [self, ...referred]
    },
    hash,
    parse,
    parseJson: (input) => parse(input, name),
    word: hash,
    toJson: (value) => Object.fromEntries(entries.map(([key, field]) => [key, field.toJson(value[key])])),
  }
  return self
}

function leaf<T>(
  type: string,
  parse: Field<T>['parse'],
  word: Field<T>['word'],
  toJson: Field<T>['toJson'] = (value) => value,
): Field<T> {
  return { type, members: [], parse, word, toJson }
}

function hexOf(size: number, expected: string): (input: unknown, at: string) => Hex {
  return (input, at) => (isHex(input, size) ? input : malformed(at, expected))
}

function leftPadded(value: Uint8Array): Uint8Array {
  const word = new Uint8Array(32)
  word.set(value, 32 - value.length)
  return word
}

/** Type hashes depend on the hasher only in speed, so one value serves all hashers. */
function memoized(make: (keccak: Hasher) => Uint8Array): (keccak: Hasher) => Uint8Array {
  let value: Uint8Array | undefined
  return (keccak) => {
    value ??= make(keccak)
    return value
  }
}

function malformed(at: string, expected: string): never {
  throw SmartLayerError.of('message.malformed', { at, expected })
}
