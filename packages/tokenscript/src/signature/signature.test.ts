/** Signatures: made and verified, every change found, both known ways around a verifier closed, real files confirmed. */
import { type Hex, keccakText, nobleCrypto, nobleSigner, utf8 } from '@smartlayer/protocol'
import fc from 'fast-check'
import { ParseOption, XmlDocument } from 'libxml2-wasm'
import { describe, expect, test } from 'vitest'
import { corpus } from '../../test/corpus.ts'
import { bindings, flightTicket } from '../../test/flight-ticket.ts'
import { declarationOf } from '../declaration/declaration-of.ts'
import { buildTokenScript } from '../file/build.ts'
import { decodeTokenScript, parseTokenScript } from '../file/parse.ts'
import { parseXml } from '../file/parse-xml.ts'
import { canonicalDocument, canonicalElement } from './canonical-xml.ts'
import { readSignature } from './profile.ts'
import { signTokenScript } from './sign.ts'
import { verifyTokenScript } from './verify.ts'

const key: Hex = `0x${'42'.repeat(32)}`
const unsigned = buildTokenScript({
  name: 'FlightTicket',
  label: 'Flight ticket',
  contract: { chainId: 31_337, address: `0x${'33'.repeat(20)}` },
  declaration: declarationOf(flightTicket, bindings),
  code: 'code',
})
const signed = signTokenScript(unsigned, key)
const cards = 'xmlns:ts="http://tokenscript.org/2024/01/tokenscript"'

test('a signed file names its signer and its hash', () => {
  expect(verifyTokenScript(signed)).toEqual({
    status: 'valid',
    signer: nobleSigner(key).address,
    scriptHash: keccakText(nobleCrypto.keccak, signed),
  })
  expect(parseTokenScript(signed)).toEqual(parseTokenScript(unsigned))
})

test('the same key signs the same bytes, and only once', () => {
  expect(signTokenScript(unsigned, key)).toBe(signed)
  expect(() => signTokenScript(signed, key)).toThrow('the file is signed already')
})

test('any key signs any document', () => {
  const text = fc.string({ unit: 'grapheme' }).map((value) => value.replace(/[^\u0020-\ufffd]|[<&]/g, ''))
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 31, maxLength: 31 }), text, (secret, label) => {
      const secretKey: Hex = `0x01${Buffer.from(secret).toString('hex')}`
      const file = signTokenScript(`<r xml:lang="en" xmlns="u" xmlns:a="v">${label}<a:b/></r>`, secretKey)
      expect(verifyTokenScript(file).signer).toBe(nobleSigner(secretKey).address)
    }),
    { numRuns: 20 },
  )
})

test('a file without signature is told apart from one with a wrong one', () => {
  expect(refusal(unsigned)).toMatchObject({ code: 'script.unsigned' })
})

test('no byte that means anything can be changed', () => {
  const before = parseXml(signed)
  const meaning = canonicalDocument(before)
  fc.assert(
    fc.property(fc.nat({ max: signed.length - 1 }), fc.constantFrom(...'aZ09+/=<>"& x'), (at, character) => {
      const changed = signed.slice(0, at) + character + signed.slice(at + 1)
      const found = refusal(changed)
      // a change that leaves the canonical form alone (white space inside a tag, an equal character) may stand
      if (found === undefined) expect(canonicalDocument(parseXml(changed))).toBe(meaning)
      else
        expect(['script.signature_invalid', 'script.malformed', 'script.unsigned', 'script.doctype']).toContain(
          found.code,
        )
    }),
    { numRuns: 3000 },
  )
})

test('a change is found where it shows', () => {
  const line = signed.split('\n').findIndex((text) => text.includes('<ds:Signature')) + 1
  expect(refusal(signed.replace('Flight ticket', 'Flight tickets'))).toMatchObject({
    facts: { line, detail: 'the document was changed after it was signed' },
  })
  expect(refusal(signed.replace('<ds:DigestValue>', '<ds:DigestValue> '))).toMatchObject({
    facts: { line, detail: 'the key did not make this signature' },
  })
})

describe('ways around other verifiers', () => {
  test('a card hidden in ds:Object is refused: it would be read but not signed', () => {
    const hidden = `<ds:Object><ts:card ${cards} type="action" name="Evil"/></ds:Object></ds:Signature>`
    expect(refusal(signed.replace('</ds:Signature>', hidden))).toMatchObject({
      facts: { detail: 'Object is not allowed here' },
    })
  })

  test('a reference to a fragment is refused: it leaves the contract address unsigned', () => {
    const fragment = signed.replace('<ds:Reference URI="">', '<ds:Reference URI="#part">').replace('3333', '4444')
    expect(refusal(fragment)).toMatchObject({ facts: { detail: 'the reference does not cover the whole document' } })
  })

  const signature = /<ds:Signature.*<\/ds:Signature>/s.exec(signed)![0]
  test.each<[string, (text: string) => string, string]>([
    ['a second signature', (t) => t.replace(signature, signature + signature), 'a second signature'],
    ['a nested signature', (t) => t.replace('</ds:KeyInfo>', `</ds:KeyInfo>${signature}`), 'a second signature'],
    [
      'a signature deeper down',
      (t) => t.replace(signature, '').replace('</ts:cards>', `${signature}</ts:cards>`),
      'not a child of the root',
    ],
    ['content after the signature', (t) => t.replace(signature, `${signature}<ts:contract/>`), 'not the last element'],
    [
      'a wrapped document',
      (t) => t.replace('<ts:token ', `<ts:token ${cards}><ts:token `).replace(signature, `</ts:token>${signature}`),
      'changed',
    ],
    [
      'a second reference',
      (t) => t.replace('</ds:Reference>', '</ds:Reference><ds:Reference URI="#x"/>'),
      'Reference is not allowed here',
    ],
    [
      'a second digest',
      (t) => t.replace('<ds:DigestValue>', '<ds:DigestValue>AA==</ds:DigestValue><ds:DigestValue>'),
      'DigestValue is not',
    ],
    ['a second key', (t) => t.replace('<ds:KeyValue>', '<ds:KeyValue/><ds:KeyValue>'), 'exactly one ds:KeyValue'],
    [
      'an XPath transform',
      (t) =>
        t.replace(
          '<ds:Transforms>',
          '<ds:Transforms><ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"/>',
        ),
      'not allowed here',
    ],
    [
      'exclusive canonicalisation',
      (t) =>
        t.replace(
          'CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"',
          'CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"',
        ),
      'algorithm of CanonicalizationMethod',
    ],
    [
      'an HMAC',
      (t) => t.replace('2001/04/xmldsig-more#ecdsa-sha256', '2000/09/xmldsig#hmac-sha1'),
      'algorithm of SignatureMethod',
    ],
    ['SHA-1', (t) => t.replace('2001/04/xmlenc#sha256', '2000/09/xmldsig#sha1'), 'algorithm of DigestMethod'],
    ['another curve', (t) => t.replace('1.3.132.0.10', '1.2.840.10045.3.1.7'), 'not on secp256k1'],
    [
      'a point off the curve',
      (t) => t.replace(/<ecdsa:Y>[^<]*/, `<ecdsa:Y>${Buffer.alloc(32, 1).toString('base64')}`),
      'not a point',
    ],
    [
      'a zero signature',
      (t) => t.replace(/<ds:SignatureValue>[^<]*/, `<ds:SignatureValue>${Buffer.alloc(64).toString('base64')}`),
      'did not make',
    ],
    [
      'a signature in DER',
      (t) => t.replace(/<ds:SignatureValue>[^<]*/, `<ds:SignatureValue>${Buffer.alloc(70, 48).toString('base64')}`),
      'not 64 bytes',
    ],
    ['an Id', (t) => t.replace('<ds:SignedInfo>', '<ds:SignedInfo Id="a">'), 'attribute Id is not allowed'],
    ['text between', (t) => t.replace('<ds:KeyInfo>', 'x<ds:KeyInfo>'), 'text is not allowed'],
    ['a missing key', (t) => t.replace(/<ds:KeyInfo>.*<\/ds:KeyInfo>/s, ''), 'KeyInfo is missing'],
    [
      'a namespace like the right one',
      (t) => t.replaceAll('www.w3.org/2001/04/xmldsig-more#"><ecdsa:D', 'example.org/#"><ecdsa:D'),
      'expected ECDSAKeyValue',
    ],
  ])('%s', (_, change, detail) => {
    expect(change(signed)).not.toBe(signed)
    expect(refusal(change(signed))).toMatchObject({
      code: 'script.signature_invalid',
      facts: { detail: expect.stringContaining(detail) },
    })
  })

  test('another key over the same digest is another signer, never this one', () => {
    const other = signTokenScript(unsigned, `0x${'43'.repeat(32)}`)
    const swapped = signed.replace(/<ds:KeyInfo>.*<\/ds:KeyInfo>/s, /<ds:KeyInfo>.*<\/ds:KeyInfo>/s.exec(other)![0])
    expect(refusal(swapped)).toMatchObject({ facts: { detail: 'the key did not make this signature' } })
  })
})

describe('the canonical form', () => {
  test.each([
    ['<a  b = "1"   a=\'2\' />', '<a a="2" b="1"></a>'],
    ['<?x y?><a><!-- c --><![CDATA[<&>]]>&#13;</a><?z?>', '<?x y?>\n<a>&lt;&amp;&gt;&#xD;</a>\n<?z?>'],
    ['<a b="&#9;&#10;&#13;&lt;&quot;\'>"/>', '<a b="&#x9;&#xA;&#xD;&lt;&quot;\'>"></a>'],
    ['<a xmlns="urn:u"><b xmlns="urn:u"/><c xmlns=""/></a>', '<a xmlns="urn:u"><b></b><c xmlns=""></c></a>'],
    [
      '<z:a xmlns:z="urn:u" xmlns:y="urn:t" y:q="1" z:b="2" a="3"/>',
      '<z:a xmlns:y="urn:t" xmlns:z="urn:u" a="3" y:q="1" z:b="2"></z:a>',
    ],
    ['<a>\u2028\u0085\r\n</a>', '<a>\u2028\u0085\n</a>'],
  ])('of %s', (text, canonical) => {
    expect(canonicalDocument(parseXml(text))).toBe(canonical)
    expect(libxml2Canonical(text)).toBe(canonical)
  })

  test('a part inherits namespaces and xml: attributes', () => {
    const part = parseXml('<a xmlns="urn:u" xmlns:p="urn:v" xml:lang="en" b="1"><c xml:space="preserve" p:d=""/></a>')
      .root.children[0]!
    expect(part.kind === 'element' && canonicalElement(part)).toBe(
      '<c xmlns="urn:u" xmlns:p="urn:v" xml:lang="en" xml:space="preserve" p:d=""></c>',
    )
  })

  test('is the one of libxml2 for documents of any shape', () => {
    const name = fc.constantFrom('a', 'p:a', 'q:b')
    const text = fc.constantFrom(
      '',
      ' ',
      'x',
      '&amp;',
      '&#13;',
      '\u2028',
      '\u0085',
      '<![CDATA[<]]>',
      '<!--c-->',
      '<?i x?>',
      '\r\n',
    )
    const attribute = fc.constantFrom(
      '',
      ' c="1"',
      ' p:c="&#10;"',
      ' q:c="\t"',
      ' xmlns="urn:u"',
      ' xmlns=""',
      ' xmlns:p="urn:w"',
      ' xml:lang="en"',
    )
    const element = fc.letrec<{ any: string }>((tie) => ({
      any: fc.oneof(
        { maxDepth: 5 },
        text,
        fc
          .tuple(name, attribute, fc.array(tie('any'), { maxLength: 4 }))
          .map(([n, a, inner]) => `<${n}${a}>${inner.join('')}</${n}>`),
      ),
    })).any
    fc.assert(
      fc.property(fc.array(element), (inner) => {
        const document = `<r xmlns:p="urn:v" xmlns:q="urn:x">${inner.join('')}</r>`
        expect(canonicalDocument(parseXml(document))).toBe(libxml2Canonical(document))
      }),
      { numRuns: 500 },
    )
  })
})

const files = corpus()
describe.runIf(files.length > 0)('real files', () => {
  test('all that were signed on secp256k1 name the signer that an independent verifier found', () => {
    const ours = files.filter(({ signature }) => signature.includes('secp256k1 VALID'))
    expect(ours.length).toBe(10)
    for (const { file, signer, bytes } of ours) {
      const text = decodeTokenScript(bytes)
      expect(verifyTokenScript(text).signer, file).toBe(signer)
      const { element } = readSignature(parseXml(text))
      const hidden =
        text.slice(0, element.offset) +
        text.slice(element.offset).replace(/<\/(\w+:)?Signature>/, '<$1Object/></$1Signature>')
      expect(refusal(hidden), file).toMatchObject({ code: 'script.signature_invalid' })
      expect(refusal(text.replace(/0x[0-9a-fA-F]{40}/, `0x${'00'.repeat(20)}`)), file).toMatchObject({
        code: 'script.signature_invalid',
      })
    }
  })

  test('all others are unsigned or refused', () => {
    for (const { file, signature, bytes } of files.filter((entry) => !entry.signature.includes('secp256k1'))) {
      const code = refusal(decodeTokenScript(bytes))?.code
      const expected =
        signature === 'none' ? ['script.unsigned', 'script.doctype', 'script.malformed'] : ['script.signature_invalid']
      expect(expected, file).toContain(code)
    }
  })

  test('their canonical form is the one of libxml2', () => {
    let compared = 0
    for (const { file, wellFormed, bytes } of files) {
      const text = decodeTokenScript(bytes)
      if (!wellFormed || text.includes('<!DOCTYPE')) continue
      expect(canonicalDocument(parseXml(text)) === libxml2Canonical(text), file).toBe(true)
      compared++
    }
    expect(compared).toBeGreaterThan(60)
  })
})

function libxml2Canonical(text: string): string {
  const document = XmlDocument.fromBuffer(utf8(text), {
    option: ParseOption.XML_PARSE_NONET | ParseOption.XML_PARSE_HUGE,
  })
  try {
    return document.canonicalizeToString({ mode: 0, withComments: false } as never)
  } finally {
    document.dispose()
  }
}

function refusal(text: string): { code: string; facts: Record<string, unknown> } | undefined {
  try {
    verifyTokenScript(text)
    return undefined
  } catch (error) {
    return error as { code: string; facts: Record<string, unknown> }
  }
}
