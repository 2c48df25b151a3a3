import fc from 'fast-check'
import { expect, it } from 'vitest'
import { compareBytes, concat, fromHex, isHex, toHex, uintWord, utf8, writeHex } from './bytes.ts'

const anyText = fc.string({ unit: 'binary' })
const brokenText = fc.array(fc.integer({ min: 0, max: 0xffff })).map((codes) => String.fromCharCode(...codes))

it('writes UTF-8 as TextEncoder does, lone surrogates included', () => {
  fc.assert(
    fc.property(fc.oneof(anyText, brokenText, fc.string()), (text) => {
      expect(utf8(text)).toEqual(new TextEncoder().encode(text))
    }),
  )
})

it('writes hex as Buffer does and reads it back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const hex = toHex(bytes)
      expect(hex).toBe(`0x${Buffer.from(bytes).toString('hex')}`)
      expect(fromHex(hex)).toEqual(bytes)
    }),
  )
})

it('writes hex into the middle of a buffer and nothing beyond', () => {
  const target = new Uint8Array(6).fill(9)
  writeHex(target, 2, '0x00ff')
  expect([...target]).toEqual([9, 9, 0, 255, 9, 9])
})

it('takes only lowercase hex of whole bytes', () => {
  for (const hex of ['0x', '0x00', '0xff00']) expect(isHex(hex)).toBe(true)
  for (const other of ['', '00', '0x0', '0xFF', '0xgg', '0x 0', '0x00\n', 7, null, undefined]) {
    expect(isHex(other)).toBe(false)
  }
  expect(isHex('0x0011', 2)).toBe(true)
  expect(isHex('0x0011', 1)).toBe(false)
})

it('writes integers as big-endian words', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 256n) - 1n }), (value) => {
      expect(toHex(uintWord(value))).toBe(`0x${value.toString(16).padStart(64, '0')}`)
    }),
  )
})

it('joins and orders bytes as Buffer does', () => {
  const bytes = fc.uint8Array({ maxLength: 40 })
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect(concat(a, b)).toEqual(Uint8Array.from([...a, ...b]))
      expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(a, b))
    }),
  )
})
