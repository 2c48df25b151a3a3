import { expect, it } from 'vitest'
import { integer, listOf, oneOf, optional, record, type Shape, signature, text } from './shape.ts'

const shape = record({
  name: text(4),
  count: integer(0, 3),
  tags: listOf(text(2), 2),
  note: optional(text(3)),
  what: oneOf('kind', { one: record({ size: integer(1, 9) }), none: record({}) }),
})
const GOOD = { name: 'abcd', count: 3, tags: ['a', 'bb'], note: 'xyz', what: { kind: 'one', size: 4 } }

function refusal<T>(of: Shape<T>, input: unknown): string {
  try {
    of.parse(input, '$')
  } catch (error) {
    return (error as Error).message
  }
  return 'accepted'
}

it('reads what it wrote', () => {
  const parsed = shape.parse(GOOD, '$')
  expect(parsed).toEqual(GOOD)
  expect(shape.parse(JSON.parse(JSON.stringify(shape.toJson(parsed))), '$')).toEqual(GOOD)
})

it('leaves out an optional member that is absent or null', () => {
  const { note: _, ...rest } = GOOD
  for (const input of [rest, { ...rest, note: null }]) expect(shape.parse(input, '$').note).toBeUndefined()
})

it.each([
  ['an unknown member', { ...GOOD, extra: 1 }, '$.extra'],
  ['a missing member', { ...GOOD, name: undefined }, '$.name'],
  ['long text', { ...GOOD, name: 'abcde' }, '$.name'],
  ['a number above its range', { ...GOOD, count: 4 }, '$.count'],
  ['a fraction', { ...GOOD, count: 0.5 }, '$.count'],
  ['a number as text', { ...GOOD, count: '1' }, '$.count'],
  ['too many items', { ...GOOD, tags: ['a', 'b', 'c'] }, '$.tags'],
  ['a wrong item', { ...GOOD, tags: ['a', 7] }, '$.tags[1]'],
  ['an unknown kind', { ...GOOD, what: { kind: 'toString' } }, '$.what.kind'],
  ['a member of another kind', { ...GOOD, what: { kind: 'none', size: 1 } }, '$.what.size'],
  ['an array for an object', [], '$'],
  ['null', null, '$'],
])('refuses %s and says where', (_, input, at) => {
  expect(refusal(shape, input)).toContain(at)
})

it('takes signatures of 65 bytes in lowercase hex only', () => {
  expect(refusal(signature, `0x${'ab'.repeat(65)}`)).toBe('accepted')
  for (const other of [`0x${'AB'.repeat(65)}`, `0x${'ab'.repeat(64)}`, 'ab'.repeat(65), 7]) {
    expect(refusal(signature, other)).not.toBe('accepted')
  }
})
