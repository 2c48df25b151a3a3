/** Parsers of unsigned shapes: how signed messages are packed for the wire and the store, with limits. */

import { SmartLayerError } from '../errors/smart-layer-error.ts'
import { type Hex, isHex } from './bytes.ts'
import { isSharedLength } from './shared-signature.ts'

/** Reads and writes one shape as JSON. `parse` throws `message.malformed` with the path of what is wrong. */
export type Shape<T> = { parse(input: unknown, at: string): T; toJson(value: T): unknown }
export type ShapeOf<S> = S extends Shape<infer T> ? T : never
// biome-ignore lint/suspicious/noExplicitAny: a shape of any value type; its own type comes back through ShapeOf
type AnyShape = Shape<any>

/** An object with exactly these members. */
export function record<F extends Record<string, AnyShape>>(
  members: F,
): Shape<{ readonly [K in keyof F]: ShapeOf<F[K]> }> {
  type T = { readonly [K in keyof F]: ShapeOf<F[K]> }
  const entries = Object.entries(members) as unknown as readonly (readonly [keyof T & string, Shape<unknown>])[]
  return {
    parse(input, at) {
      if (typeof input !== 'object' || input === null || Array.isArray(input)) return malformed(at, 'an object')
      for (const key of Object.keys(input))
        if (!Object.hasOwn(members, key)) malformed(`${at}.${key}`, 'no such member')
      const source = input as Record<string, unknown>
      return Object.fromEntries(entries.map(([key, shape]) => [key, shape.parse(source[key], `${at}.${key}`)])) as T
    },
    toJson: (value) => Object.fromEntries(entries.map(([key, shape]) => [key, shape.toJson(value[key])])),
  }
}

/** The shape, or nothing (absent or null). */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return {
    parse: (input, at) => (input === undefined || input === null ? undefined : shape.parse(input, at)),
    toJson: (value) => (value === undefined ? undefined : shape.toJson(value)),
  }
}

/** At most `limit` items. */
export function listOf<T>(shape: Shape<T>, limit: number): Shape<readonly T[]> {
  return {
    parse: (input, at) =>
      Array.isArray(input) && input.length <= limit
        ? input.map((item, i) => shape.parse(item, `${at}[${i}]`))
        : malformed(at, `a list of at most ${limit} items`),
    toJson: (value) => value.map(shape.toJson),
  }
}

/** One of several records, told apart by the member `tag`. */
export function oneOf<K extends string, M extends Record<string, AnyShape>>(
  tag: K,
  shapes: M,
): Shape<{ [N in keyof M & string]: { readonly [T in K]: N } & ShapeOf<M[N]> }[keyof M & string]> {
  return {
    parse(input, at) {
      if (typeof input !== 'object' || input === null) return malformed(at, 'an object')
      const { [tag]: name, ...rest } = input as Record<string, unknown>
      if (typeof name !== 'string' || !Object.hasOwn(shapes, name)) {
        return malformed(`${at}.${tag}`, `one of ${Object.keys(shapes).join(', ')}`)
      }
      return { [tag]: name, ...(shapes[name] as unknown as Shape<object>).parse(rest, at) } as never
    },
    toJson(value) {
      const { [tag]: name, ...rest } = value as Record<string, unknown>
      return { [tag]: name, ...((shapes[name as string] as unknown as Shape<object>).toJson(rest) as object) }
    },
  }
}

/** Text of at most `limit` UTF-16 units. */
export function text(limit: number): Shape<string> {
  return {
    parse: (input, at) =>
      typeof input === 'string' && input.length <= limit ? input : malformed(at, `text of at most ${limit} characters`),
    toJson: (value) => value,
  }
}

/** A 65-byte signature r ‖ s ‖ v. */
export const signature: Shape<Hex> = {
  parse: (input, at) => (isHex(input, 65) ? input : malformed(at, 'a 65-byte signature')),
  toJson: (value) => value,
}

/** A signature of a digest alone, or shared with others (`shared-signature.ts`). */
export const sharedSignature: Shape<Hex> = {
  parse: (input, at) => (isSharedHex(input) ? input : malformed(at, 'a signature of 65 bytes, or a shared one')),
  toJson: (value) => value,
}

function isSharedHex(input: unknown): input is Hex {
  if (typeof input !== 'string') return false
  const bytes = (input.length - 2) / 2
  return isSharedLength(bytes) && isHex(input, bytes)
}

/** A whole number from `low` to `high` as a JSON number. */
export function integer(low: number, high: number): Shape<number> {
  return {
    parse: (input, at) =>
      Number.isSafeInteger(input) && (input as number) >= low && (input as number) <= high
        ? (input as number)
        : malformed(at, `a whole number from ${low} to ${high}`),
    toJson: (value) => value,
  }
}

function malformed(at: string, expected: string): never {
  throw SmartLayerError.of('message.malformed', { at, expected })
}
