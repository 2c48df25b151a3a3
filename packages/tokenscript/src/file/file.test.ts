/** TokenScript files: written and read back, read from others, and hostile ones refused. */
import { keccak_256 } from '@noble/hashes/sha3.js'
import { toHex, utf8 } from '@smartlayer/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { corpus } from '../../test/corpus.ts'
import { bindings, flightTicket } from '../../test/flight-ticket.ts'
import { declarationOf } from '../declaration/declaration-of.ts'
import { buildTokenScript, type TokenScriptParts } from './build.ts'
import { decodeTokenScript, parseTokenScript } from './parse.ts'
import { parseXml } from './parse-xml.ts'
import { labelFor } from './token-script.ts'

const parts: TokenScriptParts = {
  name: 'FlightTicket',
  label: 'Flight <ticket> & "more"',
  contract: { chainId: 31_337, address: `0x${'33'.repeat(20)}` },
  declaration: declarationOf(flightTicket, bindings),
  code: 'globalThis.smartToken = "\u2028 ]]> </ts:token> é 😀"',
  attributes: { flight: { function: 'flightOf', as: 'utf8' }, airline: { value: 'LH' } },
}
const xml = buildTokenScript(parts)

test('what was written is read back', () => {
  const script = parseTokenScript(xml)
  expect(script).toMatchObject({
    format: '2024/01',
    root: 'token',
    name: 'FlightTicket',
    labels: [{ lang: 'en', quantity: null, text: parts.label }],
    contracts: [
      { name: 'Token', interface: 'erc721', addresses: [{ network: '31337', address: parts.contract.address }] },
    ],
    origins: [{ kind: 'contract', name: 'Token' }],
    cards: [{ type: 'token', name: 'Info' }],
    attributes: [
      { name: 'flight', origin: { kind: 'call', contract: 'Token', function: 'flightOf', as: 'utf8' } },
      { name: 'airline', origin: { kind: 'literal', value: 'LH' } },
    ],
  })
  expect(script.service).toEqual({
    declaration: parts.declaration,
    code: parts.code,
    codeHash: toHex(keccak_256(utf8(parts.code))),
  })
})

test('any code and label comes back as it was', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter((label) => label.trim() === label && label !== '')
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), text, (code, label) => {
      const script = parseTokenScript(buildTokenScript({ ...parts, code, label }))
      expect(script.service?.code).toBe(code)
      expect(script.labels[0]?.text).toBe(label)
    }),
    { numRuns: 30 },
  )
})

test.each<[string, Partial<TokenScriptParts>, string]>([
  ['a name with a colon', { name: 'a:b' }, 'name:'],
  ['a name that closes its attribute', { name: 'a" x="' }, 'name:'],
  ['a label with a control character', { label: 'a\u0001' }, 'label:'],
  ['half a surrogate pair', { code: '\ud800' }, 'code:'],
  ['an attribute that breaks out', { attributes: { 'a"': { value: '' } } }, 'attributes.a":'],
  ['a function that breaks out', { attributes: { a: { function: 'f"', as: 'uint' } } }, 'attributes.a:'],
  ['a contract on no chain', { contract: { ...parts.contract, chainId: 0 } }, 'contract.chainId:'],
])('%s cannot be written', (_, change, message) => {
  expect(() => buildTokenScript({ ...parts, ...change })).toThrow(message)
})

test('the order of elements is the one of the schema', () => {
  const order = parseXml(xml).root.children.flatMap((node) => (node.kind === 'element' ? [node.local] : []))
  expect(order).toEqual(['label', 'contract', 'origins', 'cards', 'attribute', 'attribute'])
})

test('another prefix, other white space and comments make no other model', () => {
  const renamed = xml
    .replaceAll('ts:', 'anything:')
    .replaceAll(':ts=', ':anything=')
    .replaceAll('sl:', 's-.l:')
    .replaceAll(':sl=', ':s-.l=')
  expect(renamed).not.toBe(xml)
  expect(parseTokenScript(renamed)).toEqual(parseTokenScript(xml))
  const asDefault = xml.replaceAll('<ts:', '<').replaceAll('</ts:', '</').replace('xmlns:ts=', 'xmlns=')
  expect(parseTokenScript(asDefault)).toEqual(parseTokenScript(xml))
  expect(parseTokenScript(xml.replaceAll('\n', '\r\n').replaceAll('  <', '<!-- x --> <'))).toEqual(
    parseTokenScript(xml),
  )
})

test('a comment does not cut a value short', () => {
  expect(parseTokenScript(xml.replace('33</ts:address>', '<!-- -->33</ts:address>'))).toEqual(parseTokenScript(xml))
})

test('only direct children count', () => {
  const inside = xml.replace(
    '<div ',
    `<ts:contract name="Evil"><ts:address network="1">0x00</ts:address></ts:contract><div `,
  )
  expect(parseTokenScript(inside)).toEqual(parseTokenScript(xml))
})

test.each<[string, (text: string) => string, string, object]>([
  ['a foreign namespace', (t) => t.replace('2024/01/', '9999/99/'), 'script.malformed', { line: 2, column: 1 }],
  [
    'a second label',
    (t) => t.replace('<ts:contract ', '<ts:label/><ts:contract '),
    'script.malformed',
    { line: 4, column: 3 },
  ],
  [
    'a second service',
    (t) => t.replace('<ts:card ', '<ts:viewContent name="sl-service"/><ts:card '),
    'script.malformed',
    { line: 15, column: 5 },
  ],
  [
    'a service with more inside',
    (t) => t.replace('</sl:code>', '</sl:code><sl:code/>'),
    'script.malformed',
    { line: 10 },
  ],
  ['another code', (t) => t.replace('base64" keccak256="0x', 'base64" keccak256="0xf'), 'script.hash_mismatch', {}],
  [
    'a broken declaration',
    (t) => t.replace('"format":1', '"format":2'),
    'script.declaration_invalid',
    { at: 'format' },
  ],
  ['a missing end', (t) => t.slice(0, -5), 'script.malformed', {}],
  [
    'an unbound prefix',
    (t) => t.replace('<ts:label>', '<x:label>').replace('</ts:label>', '</x:label>'),
    'script.malformed',
    { line: 3 },
  ],
  [
    'a prefix of Object',
    (t) => t.replace('<ts:label>', '<constructor:label>').replace('</ts:label>', '</constructor:label>'),
    'script.malformed',
    { line: 3 },
  ],
  [
    'two attributes of one name',
    (t) => t.replace('name="FlightTicket"', 'name="A" name="B"'),
    'script.malformed',
    { line: 2 },
  ],
  [
    'an attribute twice by namespace',
    (t) => t.replace('name="FlightTicket"', 'name="A" xmlns:a="u" xmlns:b="u" a:x="1" b:x="2"'),
    'script.malformed',
    { line: 2 },
  ],
  ['an unknown entity', (t) => t.replace('>Flight', '>&lol;'), 'script.malformed', { line: 3 }],
  ['an entity of Object', (t) => t.replace('>Flight', '>&constructor;'), 'script.malformed', { line: 3 }],
  ['a forbidden character', (t) => t.replace('>Flight', '>&#1;'), 'script.malformed', { line: 3 }],
  ['two roots', (t) => `${t}<a/>`, 'script.malformed', {}],
  ['XML 1.1', (t) => t.replace('version="1.0"', 'version="1.1"'), 'script.malformed', { line: 1 }],
  ['another encoding', (t) => t.replace('UTF-8', 'UTF-16'), 'script.malformed', { line: 1 }],
])('%s is refused with its place', (_, change, code, facts) => {
  expect(change(xml)).not.toBe(xml)
  expect(() => parseTokenScript(change(xml))).toThrow(
    expect.objectContaining({ code, facts: expect.objectContaining(facts) }),
  )
})

describe('hostile XML is refused, and soon', () => {
  const laughs = `<!DOCTYPE a [<!ENTITY a "ha">${'abcdefgh'.replace(/./g, (name, i) => (i ? `<!ENTITY ${name} "&a;&a;&a;&a;">` : ''))}]><a>&h;</a>`
  test.each<[string, () => string, string]>([
    ['billion laughs', () => laughs, 'script.doctype'],
    ['an external entity', () => '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', 'script.doctype'],
    ['deep nesting', () => '<a>'.repeat(1_000_000), 'script.malformed'],
    ['many elements', () => `<a>${'<b/>'.repeat(1_000_000)}</a>`, 'script.malformed'],
    [
      'many attributes',
      () => `<a ${Array.from({ length: 300_000 }, (_, i) => `b${i}=""`).join(' ')}/>`,
      'script.malformed',
    ],
    [
      'many namespaces',
      () => `<a ${Array.from({ length: 110_000 }, (_, i) => `xmlns:b${i}="u"`).join(' ')}/>`,
      'script.malformed',
    ],
    ['many instructions', () => `${'<?a?>'.repeat(400_000)}<a/>`, 'script.malformed'],
    ['a huge file', () => `<a>${'x'.repeat(4_194_304)}</a>`, 'script.too_large'],
    ['a huge file in few characters', () => `<a>${'\u2028'.repeat(1_500_000)}</a>`, 'script.too_large'],
    ['a long unfinished tag', () => `<a b="${'x'.repeat(3_000_000)}`, 'script.malformed'],
    ['nothing', () => '', 'script.malformed'],
  ])('%s', (_, make, code) => {
    const text = make()
    const began = performance.now()
    expect(() => parseXml(text)).toThrow(expect.objectContaining({ code }))
    expect(performance.now() - began).toBeLessThan(3000)
  })
})

test('bytes that are not strictly UTF-8 are no file', () => {
  expect(decodeTokenScript(utf8(xml))).toBe(xml)
  for (const bytes of [Uint8Array.of(0xc0, 0x80), utf8(`\ufeff${xml}`)]) {
    expect(() => decodeTokenScript(bytes)).toThrow(expect.objectContaining({ code: 'script.malformed' }))
  }
})

test('a label is chosen by language, with English behind it', () => {
  const labels = ['en', 'de', 'zh-TW'].map((lang) => ({ lang, quantity: null, text: lang }))
  expect(['de-AT', 'fr', 'ZH-tw', 'zh'].map((lang) => labelFor(labels, lang))).toEqual(['de', 'en', 'zh-TW', 'zh-TW'])
  expect(labelFor([], 'en')).toBeUndefined()
})

const files = corpus()
test.runIf(files.length > 0)('real files are read as their manifest says', () => {
  for (const { file, format, wellFormed, bytes } of files) {
    const text = decodeTokenScript(bytes)
    const refusal = refusalOf(() => parseXml(text))
    const expected = text.includes('<!DOCTYPE') ? 'script.doctype' : wellFormed ? undefined : 'script.malformed'
    expect(refusal, file).toBe(expected)
    if (refusal !== undefined || parseXml(text).root.local === 'attestation') continue
    const script = parseTokenScript(text)
    expect(script.format.replace('/', '-'), file).toBe(format)
    expect(script.service, file).toBeNull()
    const renamed = text.replace(/(<\/?)ts:/g, '$1other:').replaceAll('xmlns:ts=', 'xmlns:other=')
    expect(parseTokenScript(renamed), file).toEqual(script)
  }
})

function refusalOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return (error as { code: string }).code
  }
}
