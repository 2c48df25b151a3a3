/** Schemas: what they accept, what they refuse and where, and that their JSON form is one that nodes accept. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json, JsonSchema } from '../schema/json-schema.ts'
import { parseSchema } from '../schema/parse-schema.ts'
import { type Infer, type Schema, v } from './values.ts'

const Passenger = v.object({
  name: v.string({ min: 1, max: 20 }),
  seats: v.array(v.integer({ min: 1, max: 400 }), { max: 3 }),
  class: v.enum(['economy', 'first']),
  meal: v.optional(v.nullable(v.string({ max: 10 }))),
  kind: v.union(v.literal('adult'), v.object({ age: v.number({ min: 0 }) })),
})
const fine: Infer<typeof Passenger> = { name: 'Ada', seats: [1, 2], class: 'first', kind: 'adult' }

test('a value of the declared shape has no problem', () => {
  expect(Passenger.check(fine)).toBeUndefined()
  expect(Passenger.check({ ...fine, meal: null })).toBeUndefined()
  expect(Passenger.check({ ...fine, meal: undefined })).toBeUndefined()
  expect(Passenger.check({ ...fine, kind: { age: 3.5 } })).toBeUndefined()
})

test.each([
  [{ ...fine, name: '' }, 'p.name', 'expected text of 1 to 20 characters'],
  [{ ...fine, name: 'x'.repeat(21) }, 'p.name', 'expected text of 1 to 20 characters'],
  [{ ...fine, seats: [1, 401] }, 'p.seats[1]', 'expected at most 400'],
  [{ ...fine, seats: [1.5] }, 'p.seats[0]', 'expected a whole number'],
  [{ ...fine, seats: [1, 2, 3, 4] }, 'p.seats', 'expected 0 to 3 items'],
  [{ ...fine, class: 'second' }, 'p.class', 'expected one of ["economy","first"]'],
  [{ ...fine, extra: 1 }, 'p.extra', 'no such field'],
  [{ ...fine, kind: { age: -1 } }, 'p.kind.age', 'expected at least 0'],
  [{ ...fine, kind: undefined }, 'p.kind', 'missing'],
  [JSON.parse('{"__proto__":{"name":"Ada"}}'), 'p.__proto__', 'no such field'],
  [[fine], 'p', 'expected an object'],
  [null, 'p', 'expected an object'],
])('a value that differs is refused with its path: %j', (value, at, detail) => {
  expect(Passenger.check(value, 'p')).toEqual({ at, detail })
})

test('fields that every object inherits do not count as present', () => {
  const schema = v.object({ constructor: v.optional(v.string()), toString: v.string() })
  expect(schema.check({})).toEqual({ at: 'value.toString', detail: 'missing' })
})

test('length counts characters, not UTF-16 units', () => {
  expect(v.string({ max: 2 }).check('😀😀')).toBeUndefined()
  expect(v.string({ min: 3 }).check('😀😀')).toBeDefined()
})

test('numbers that JSON cannot hold are refused', () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 1n, '1', 2 ** 53])
    expect(v.integer().check(value)).toBeDefined()
  expect(v.json().check({ deep: [Number.NaN] })).toEqual({ at: 'value.deep[0]', detail: 'expected a finite number' })
})

test('any JSON is accepted, but not without end', () => {
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 10 }), (value) => v.json().check(value) === undefined))
  let deep: Json = 1
  for (let i = 0; i < 40; i++) deep = [deep]
  expect(v.json().check(deep)?.detail).toBe('nested more than 32 deep')
})

/** A schema together with values that fit it. */
type Sample = { schema: Schema<unknown>; value: fc.Arbitrary<unknown> }
const samples: fc.Arbitrary<Sample> = fc.letrec<{ any: Sample }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.constant<Sample>({ schema: v.string({ max: 5 }), value: fc.string({ maxLength: 5 }) }),
    fc.constant<Sample>({ schema: v.integer({ min: -5, max: 5 }), value: fc.integer({ min: -5, max: 5 }) }),
    fc.constant<Sample>({ schema: v.boolean(), value: fc.boolean() }),
    fc.constant<Sample>({ schema: v.literal('x'), value: fc.constant('x') }),
    tie('any').map((inner) => ({
      schema: v.array(inner.schema, { max: 3 }),
      value: fc.array(inner.value, { maxLength: 3 }),
    })),
    tie('any').map((inner) => ({ schema: v.nullable(inner.schema), value: fc.option(inner.value) })),
    fc.tuple(tie('any'), tie('any')).map(([a, b]) => ({
      schema: v.object({ a: a.schema, b: v.optional(b.schema) }),
      value: fc.record({ a: a.value, b: b.value }, { requiredKeys: ['a'] }),
    })),
  ),
})).any

test('every schema that v can write is one that nodes accept, and it accepts its own values', () => {
  fc.assert(
    fc.property(
      samples.chain(({ schema, value }) => fc.tuple(fc.constant(schema), value)),
      ([schema, value]) => {
        expect(parse(JSON.parse(JSON.stringify(schema.json)))).toEqual(schema.json)
        expect(schema.check(value)).toBeUndefined()
        expect(schema.check(Symbol('nothing'))).toBeDefined()
      },
    ),
  )
})

test.each([
  [{ type: 'string' }, 's.maxLength'],
  [{ type: 'string', maxLength: 10, pattern: '(a+)+$' }, 's'],
  [{ $ref: '#' }, 's'],
  [{ type: 'array', items: {}, maxItems: 1e9 }, 's.maxItems'],
  [{ type: 'array', maxItems: 1 }, 's.items'],
  [{ type: 'object', properties: {}, required: [] }, 's.additionalProperties'],
  [{ type: 'object', properties: {}, required: ['a'], additionalProperties: false }, 's.required'],
  [{ type: 'any' }, 's.type'],
  [{ type: ['string', 'null'], maxLength: 4 }, 's.type'],
  [{ anyOf: [] }, 's.anyOf'],
  [{ enum: [{}] }, 's.enum'],
  [{ type: 'integer', minimum: '0' }, 's.minimum'],
])('a schema that is unbounded or unknown is refused: %j', (schema, at) => {
  expect(() => parse(schema as unknown as Json)).toThrow(`${at}:`)
})

test('a schema that is too deep or too large is refused', () => {
  let deep: Json = {}
  for (let i = 0; i < 20; i++) deep = { type: 'array', items: deep, maxItems: 1 }
  expect(() => parse(deep)).toThrow('nested more than 16 deep')
  let wide: Json = {}
  for (let i = 0; i < 4; i++) wide = { anyOf: Array<Json>(8).fill(wide) }
  expect(() => parse(wide)).toThrow('at most 500 parts')
})

function parse(schema: Json): JsonSchema {
  return parseSchema(schema, 's', (at, detail) => {
    throw new Error(`${at}: ${detail}`)
  })
}
