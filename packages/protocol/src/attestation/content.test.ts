import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../primitives/bytes.ts'
import { nobleCrypto } from '../primitives/crypto.ts'
import { checkContent } from './body.ts'
import { canonicalJson, contentHash, parseContent } from './content.ts'

const { keccak } = nobleCrypto

function nested(levels: number): unknown {
  return levels === 0 ? 1 : [nested(levels - 1)]
}

it('writes what the npm package canonicalize writes', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      expect(canonicalJson(value)).toBe(canonicalize(value))
    }),
  )
})

it('writes numbers as appendix B of RFC 8785 lists them', () => {
  const vectors: readonly (readonly [string, string])[] = [
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ]
  for (const [bits, text] of vectors) {
    expect(canonicalJson(Buffer.from(bits, 'hex').readDoubleBE(0)), bits).toBe(text)
  }
})

it('orders members by UTF-16 code units, as §3.2.3 shows', () => {
  const keys = ['\u20ac', '\r', '\ufb33', '1', '\ud83d\ude00', '\u0080', '\u00f6']
  const text = canonicalJson(Object.fromEntries(keys.map((key) => [key, 0])))
  expect(Object.keys(JSON.parse(text)).slice(0, 7)).toEqual([
    '1',
    '\r',
    '\u0080',
    '\u00f6',
    '\u20ac',
    '\ud83d\ude00',
    '\ufb33',
  ])
})

it('leaves out members without a value, as JSON does', () => {
  expect(canonicalJson({ b: undefined, a: 1 })).toBe('{"a":1}')
})

it.each([
  ['NaN', Number.NaN, '$'],
  ['an infinite number', { a: [1, Number.POSITIVE_INFINITY] }, '$.a[1]'],
  ['a lone surrogate', { a: '\ud83d' }, '$.a'],
  ['a lone surrogate in a key', { '\ud83d': 1 }, '$'],
  ['undefined', undefined, '$'],
  ['undefined in a list', [undefined], '$[0]'],
  ['a hole in a list', Array(1), '$[0]'],
  ['a bigint', 1n, '$'],
  ['a function', () => 1, '$'],
  ['a map', new Map(), '$'],
  ['a date', new Date(0), '$'],
  ['65 levels', nested(65), '$'],
])('refuses %s', (_, value, at) => {
  expect(() => canonicalJson(value)).toThrow(at)
  expect(() => canonicalJson(value)).toThrow(expect.objectContaining({ code: 'content.not_canonical' }))
})

it('hashes equal values alike, whatever the order of their members', () => {
  expect(canonicalJson(nested(64))).toHaveLength(129)
  expect(contentHash({ b: 1, a: 2 }, keccak)).toBe(contentHash({ a: 2, b: 1 }, keccak))
  expect(contentHash({ a: 2 }, keccak)).toBe(toHex(keccak(utf8('{"a":2}'))))
})

describe('content from outside', () => {
  it('is read within its limits', () => {
    expect(parseContent('{"a":[1,"x"]}')).toEqual({ a: [1, 'x'] })
    expect(parseContent(`"${'é'.repeat(9)}"`, 20)).toHaveLength(9)
  })

  it.each([
    ['more bytes than characters suggest', `"${'é'.repeat(10)}"`, 'message.malformed'],
    ['no JSON', '{', 'message.malformed'],
    ['too deep', `${'['.repeat(66)}${']'.repeat(66)}`, 'content.not_canonical'],
    ['a number beyond doubles', '1e999', 'content.not_canonical'],
    ['an escaped lone surrogate', '"\\ud83d"', 'content.not_canonical'],
  ])('is refused: %s', (_, text, code) => {
    const limit = text.startsWith('"é') ? 20 : undefined
    expect(() => parseContent(text, limit)).toThrow(expect.objectContaining({ code }))
  })

  it('is the body that was signed, or it is refused', () => {
    expect(checkContent('{}', contentHash({}, keccak), keccak).verdict).toBe('accept')
    expect(checkContent('{ }', contentHash({}, keccak), keccak)).toMatchObject({ code: 'attestation.content' })
  })
})
