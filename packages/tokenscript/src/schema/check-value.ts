/** Decides whether a value has the shape that a schema names; nodes and scripts use this same function. */
import type { JsonSchema, Problem } from './json-schema.ts'

const DEPTH_LIMIT = 32
const hasOwn = Object.prototype.hasOwnProperty

/**
 * Compares a value with a schema and names the first difference, or returns undefined when there is none.
 * The work is bounded by the size of the value times the number of `anyOf` branches; the caller bounds the bytes.
 * A field that holds `undefined` counts as absent, as JSON.stringify would leave it out.
 */
export function checkValue(schema: JsonSchema, value: unknown, at = 'value'): Problem | undefined {
  return schema.anyOf ? checkAny(schema.anyOf, value, at) : checkOne(schema, value, at)
}

function checkOne(schema: JsonSchema, value: unknown, at: string): Problem | undefined {
  if (schema.enum) {
    const allowed = schema.enum as readonly unknown[]
    return allowed.includes(value) ? undefined : problem(at, `expected one of ${JSON.stringify(schema.enum)}`)
  }
  switch (schema.type) {
    case undefined:
      return checkJson(value, at, 0)
    case 'object':
      return checkObject(schema, value, at)
    case 'array':
      return checkArray(schema, value, at)
    case 'string':
      return checkString(schema, value, at)
    case 'number':
    case 'integer':
      return checkNumber(schema, value, at)
    case 'boolean':
      return typeof value === 'boolean' ? undefined : problem(at, 'expected true or false')
    case 'null':
      return value === null ? undefined : problem(at, 'expected null')
  }
}

/** A value that fits no branch is explained by the branch that it fits best: the one whose problem lies deepest. */
function checkAny(branches: readonly JsonSchema[], value: unknown, at: string): Problem | undefined {
  let deepest: Problem | undefined
  for (const branch of branches) {
    const found = checkValue(branch, value, at)
    if (!found) return undefined
    if (!deepest || found.at.length > deepest.at.length) deepest = found
  }
  return deepest ?? problem(at, 'no value is allowed here')
}

function checkObject(schema: JsonSchema, value: unknown, at: string): Problem | undefined {
  if (!isObject(value)) return problem(at, 'expected an object')
  const properties = schema.properties ?? {}
  const required = schema.required ?? []
  const names = Object.keys(properties)
  for (const name of Object.keys(value)) {
    if (!names.includes(name)) return problem(`${at}.${name.slice(0, 64)}`, 'no such field')
  }
  for (const name of names) {
    const field = hasOwn.call(value, name) ? value[name] : undefined
    if (field === undefined) {
      if (required.includes(name)) return problem(`${at}.${name}`, 'missing')
      continue
    }
    const found = checkValue(properties[name]!, field, `${at}.${name}`)
    if (found) return found
  }
  return undefined
}

function checkArray(schema: JsonSchema, value: unknown, at: string): Problem | undefined {
  if (!Array.isArray(value)) return problem(at, 'expected a list')
  const least = schema.minItems ?? 0
  const most = schema.maxItems ?? Number.POSITIVE_INFINITY
  if (value.length < least || value.length > most) return problem(at, `expected ${least} to ${most} items`)
  for (let i = 0; i < value.length; i++) {
    const found = checkValue(schema.items ?? {}, value[i], `${at}[${i}]`)
    if (found) return found
  }
  return undefined
}

function checkString(schema: JsonSchema, value: unknown, at: string): Problem | undefined {
  if (typeof value !== 'string') return problem(at, 'expected text')
  const least = schema.minLength ?? 0
  const most = schema.maxLength ?? Number.POSITIVE_INFINITY
  const length = value.length <= most && value.length >= 2 * least ? value.length : countCharacters(value)
  return length < least || length > most ? problem(at, `expected text of ${least} to ${most} characters`) : undefined
}

function checkNumber(schema: JsonSchema, value: unknown, at: string): Problem | undefined {
  if (typeof value !== 'number' || !Number.isFinite(value)) return problem(at, 'expected a number')
  if (schema.type === 'integer' && !Number.isSafeInteger(value)) return problem(at, 'expected a whole number')
  if (schema.minimum !== undefined && value < schema.minimum) return problem(at, `expected at least ${schema.minimum}`)
  if (schema.maximum !== undefined && value > schema.maximum) return problem(at, `expected at most ${schema.maximum}`)
  return undefined
}

function checkJson(value: unknown, at: string, depth: number): Problem | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : problem(at, 'expected a finite number')
  if (typeof value !== 'object') return problem(at, 'expected a JSON value')
  if (depth >= DEPTH_LIMIT) return problem(at, `nested more than ${DEPTH_LIMIT} deep`)
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const found = checkJson(value[i], `${at}[${i}]`, depth + 1)
      if (found) return found
    }
    return undefined
  }
  for (const [name, field] of Object.entries(value)) {
    const found = field === undefined ? undefined : checkJson(field, `${at}.${name.slice(0, 64)}`, depth + 1)
    if (found) return found
  }
  return undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function countCharacters(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}

function problem(at: string, detail: string): Problem {
  return { at, detail }
}
