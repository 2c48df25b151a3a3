/** `v`: schemas of values, each a TypeScript type, a strict check with paths, and a JSON Schema at once. */
import { checkValue } from '../schema/check-value.ts'
import type { Json, JsonSchema, Problem } from '../schema/json-schema.ts'

/** A schema of values of type T. */
export type Schema<T> = {
  /** The JSON Schema that goes into the declaration; the check below follows it and nothing else. */
  readonly json: JsonSchema
  /** The first difference between a value and this schema, or undefined. */
  check(value: unknown, at?: string): Problem | undefined
  /** Carries T for inference only; never present at run time. */
  readonly valueType?: T
}

/** A field of an object that may be absent. */
export type Optional<T> = { readonly optional: Schema<T> }

export type Infer<S> = S extends Schema<infer T> ? T : S extends Optional<infer T> ? T | undefined : never

type Field = Schema<unknown> | Optional<unknown>
type Fields = Readonly<Record<string, Field>>
type OptionalKeys<F> = { [K in keyof F]: F[K] extends Optional<unknown> ? K : never }[keyof F]
type ObjectOf<F> = Flat<
  { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]> } & { readonly [K in OptionalKeys<F>]?: Infer<F[K]> }
>
type Flat<T> = { [K in keyof T]: T[K] }
type Literal = string | number | boolean | null

const DEFAULT_TEXT_LIMIT = 1024

export const v = {
  /** Text of at most `max` characters, 1024 unless told. */
  string: ({ min, max = DEFAULT_TEXT_LIMIT }: { min?: number; max?: number } = {}): Schema<string> =>
    schemaOf({ type: 'string', ...(min === undefined ? {} : { minLength: min }), maxLength: max }),

  /** A finite number. */
  number: (range: { min?: number; max?: number } = {}): Schema<number> =>
    schemaOf({ type: 'number', ...rangeOf(range) }),

  /** A whole number within ±(2^53 − 1). */
  integer: (range: { min?: number; max?: number } = {}): Schema<number> =>
    schemaOf({ type: 'integer', ...rangeOf(range) }),

  boolean: (): Schema<boolean> => schemaOf({ type: 'boolean' }),

  /** Exactly this value. */
  literal: <const L extends Literal>(value: L): Schema<L> => schemaOf({ enum: [value] }),

  /** One of these values. */
  enum: <const L extends readonly Literal[]>(values: L): Schema<L[number]> => schemaOf({ enum: values }),

  /** A list of at most `max` items. */
  array: <T>(of: Schema<T>, { min, max }: { min?: number; max: number }): Schema<readonly T[]> =>
    schemaOf({ type: 'array', items: of.json, ...(min === undefined ? {} : { minItems: min }), maxItems: max }),

  /** An object with exactly these fields; those made with `v.optional` may be absent. */
  object: <F extends Fields>(fields: F): Schema<ObjectOf<F>> => {
    const entries = Object.entries(fields)
    return schemaOf({
      type: 'object',
      properties: Object.fromEntries(entries.map(([name, field]) => [name, innerOf(field).json])),
      required: entries.filter(([, field]) => !('optional' in field)).map(([name]) => name),
      additionalProperties: false,
    })
  },

  /** A field that may be absent. */
  optional: <T>(of: Schema<T>): Optional<T> => ({ optional: of }),

  /** The value or null. */
  nullable: <T>(of: Schema<T>): Schema<T | null> => schemaOf({ anyOf: [of.json, { type: 'null' }] }),

  /** A value of any of these schemas. */
  union: <S extends readonly Schema<unknown>[]>(...of: S): Schema<Infer<S[number]>> =>
    schemaOf({ anyOf: of.map((schema) => schema.json) }),

  /** Any JSON value, at most 32 deep. */
  json: (): Schema<Json> => schemaOf({}),
}

function schemaOf<T>(json: JsonSchema): Schema<T> {
  return { json, check: (value, at) => checkValue(json, value, at) }
}

function innerOf(field: Field): Schema<unknown> {
  return 'optional' in field ? field.optional : field
}

function rangeOf({ min, max }: { min?: number; max?: number }): Pick<JsonSchema, 'minimum' | 'maximum'> {
  return { ...(min === undefined ? {} : { minimum: min }), ...(max === undefined ? {} : { maximum: max }) }
}
