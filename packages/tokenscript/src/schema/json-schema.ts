/** The part of JSON Schema (draft 2020-12) that declarations may use: bounded, without references and without patterns. */

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

export type JsonType = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null'

/** The empty schema stands for any JSON value. Objects are closed: a field that is not listed is refused. */
export type JsonSchema = {
  readonly type?: JsonType
  readonly properties?: { readonly [name: string]: JsonSchema }
  readonly required?: readonly string[]
  readonly additionalProperties?: false
  readonly items?: JsonSchema
  readonly minItems?: number
  readonly maxItems?: number
  /** Lengths count characters (code points), as JSON Schema says. */
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly enum?: readonly (string | number | boolean | null)[]
  readonly anyOf?: readonly JsonSchema[]
  readonly description?: string
}

/** Where a value differs from its schema, and how; `at` is a path such as `body.delays[2].minutes`. */
export type Problem = { readonly at: string; readonly detail: string }
