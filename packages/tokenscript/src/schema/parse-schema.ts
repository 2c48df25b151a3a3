/** Reads a JSON Schema that a stranger wrote: only known keywords, only bounded shapes. */
import type { Json, JsonSchema, JsonType } from './json-schema.ts'

/** Told where and why a schema is refused; must throw. */
export type Refuse = (at: string, detail: string) => never

const DEPTH_LIMIT = 16
const NODE_LIMIT = 500
const PROPERTY_LIMIT = 64
const BRANCH_LIMIT = 8
const ENUM_LIMIT = 64
const ITEM_LIMIT = 10_000
const TEXT_LIMIT = 65_536
const FIELD_NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/

const KEYWORDS: Readonly<Record<JsonType | 'any' | 'enum' | 'anyOf', readonly string[]>> = {
  object: ['type', 'properties', 'required', 'additionalProperties'],
  array: ['type', 'items', 'minItems', 'maxItems'],
  string: ['type', 'minLength', 'maxLength'],
  number: ['type', 'minimum', 'maximum'],
  integer: ['type', 'minimum', 'maximum'],
  boolean: ['type'],
  null: ['type'],
  any: [],
  enum: ['enum'],
  anyOf: ['anyOf'],
}

/**
 * Parses a schema of the subset in `json-schema.ts`: at most 500 nodes, 16 deep. Text and lists must have an upper
 * limit and objects must be closed, so that every value is bounded. Calls `refuse` for the first thing that is wrong.
 */
export function parseSchema(input: Json | undefined, at: string, refuse: Refuse): JsonSchema {
  let nodes = 0

  function parse(node: Json | undefined, path: string, depth: number): JsonSchema {
    if (++nodes > NODE_LIMIT) return refuse(path, `a schema has at most ${NODE_LIMIT} parts`)
    if (depth > DEPTH_LIMIT) return refuse(path, `nested more than ${DEPTH_LIMIT} deep`)
    if (!isRecord(node)) return refuse(path, 'expected a JSON Schema object')
    const form = formOf(node, path)
    for (const keyword of Object.keys(node)) {
      if (keyword !== 'description' && !KEYWORDS[form].includes(keyword))
        refuse(path, `keyword ${keyword.slice(0, 40)} is not supported here`)
    }
    if (node.description !== undefined && (typeof node.description !== 'string' || node.description.length > 1000)) {
      refuse(`${path}.description`, 'expected text of at most 1000 characters')
    }
    checkForm(node, form, path, depth)
    return node as JsonSchema
  }

  function formOf(node: { readonly [key: string]: Json }, path: string): keyof typeof KEYWORDS {
    if (node.anyOf !== undefined) return 'anyOf'
    if (node.enum !== undefined) return 'enum'
    if (node.type === undefined) return 'any'
    const known = typeof node.type === 'string' && node.type !== 'any' && node.type !== 'enum' && node.type !== 'anyOf'
    return known && Object.keys(KEYWORDS).includes(node.type as string)
      ? (node.type as JsonType)
      : refuse(`${path}.type`, 'unknown type')
  }

  function checkForm(
    node: { readonly [key: string]: Json },
    form: keyof typeof KEYWORDS,
    path: string,
    depth: number,
  ): void {
    if (form === 'object') checkObject(node, path, depth)
    if (form === 'array') {
      range(node, 'minItems', 'maxItems', path, ITEM_LIMIT)
      parse(node.items, `${path}.items`, depth + 1)
    }
    if (form === 'string') range(node, 'minLength', 'maxLength', path, TEXT_LIMIT)
    if (form === 'number' || form === 'integer') {
      for (const bound of ['minimum', 'maximum']) {
        if (node[bound] !== undefined && typeof node[bound] !== 'number')
          refuse(`${path}.${bound}`, 'expected a number')
      }
    }
    if (form === 'enum') {
      const values = listOf(node.enum, `${path}.enum`, ENUM_LIMIT)
      if (values.some((value) => typeof value === 'object' && value !== null))
        refuse(`${path}.enum`, 'expected plain values')
    }
    if (form === 'anyOf') {
      listOf(node.anyOf, `${path}.anyOf`, BRANCH_LIMIT).forEach((branch, i) => {
        parse(branch, `${path}.anyOf[${i}]`, depth + 1)
      })
    }
  }

  function checkObject(node: { readonly [key: string]: Json }, path: string, depth: number): void {
    if (node.additionalProperties !== false) refuse(`${path}.additionalProperties`, 'must be false')
    const properties = node.properties
    if (!isRecord(properties)) refuse(`${path}.properties`, 'expected an object')
    const names = Object.keys(properties)
    if (names.length > PROPERTY_LIMIT) refuse(`${path}.properties`, `at most ${PROPERTY_LIMIT} fields`)
    for (const name of names) {
      if (!FIELD_NAME.test(name))
        refuse(`${path}.properties`, `field name ${JSON.stringify(name.slice(0, 70))} is not allowed`)
      parse(properties[name], `${path}.${name}`, depth + 1)
    }
    const required = node.required
    if (!Array.isArray(required) || required.length > names.length)
      refuse(`${path}.required`, 'expected a list of fields')
    if (required.some((name) => typeof name !== 'string' || !names.includes(name)))
      refuse(`${path}.required`, 'names an unknown field')
    if (new Set(required).size < required.length) refuse(`${path}.required`, 'names a field twice')
  }

  function range(
    node: { readonly [key: string]: Json },
    least: string,
    most: string,
    path: string,
    limit: number,
  ): void {
    const upper = node[most]
    if (!isCount(upper, limit)) refuse(`${path}.${most}`, `expected a whole number up to ${limit}`)
    if (node[least] !== undefined && !isCount(node[least], upper))
      refuse(`${path}.${least}`, `expected at most ${most}`)
  }

  function listOf(value: Json | undefined, path: string, limit: number): readonly Json[] {
    return Array.isArray(value) && value.length > 0 && value.length <= limit
      ? value
      : refuse(path, `expected 1 to ${limit} items`)
  }

  return parse(input, at, 0)
}

function isCount(value: Json | undefined, limit: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= limit
}

function isRecord(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
