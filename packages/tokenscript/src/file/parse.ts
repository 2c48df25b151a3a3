/** Reads a TokenScript file of any published format into one model. */

import { keccak_256 } from '@noble/hashes/sha3.js'
import { isHex, SmartLayerError, toHex, utf8 } from '@smartlayer/protocol'
import { fromBase64 } from '../content/base64.ts'
import { decodeUtf8 } from '../content/utf8.ts'
import { parseDeclaration } from '../declaration/parse-declaration.ts'
import { ETHEREUM, formatOf, SERVICE, SERVICE_CONTENT, XML } from './namespaces.ts'
import { FILE_BYTE_LIMIT, parseXml } from './parse-xml.ts'
import type {
  AttributeOrigin,
  Label,
  ScriptAttribute,
  ScriptCard,
  ScriptContract,
  ScriptOrigin,
  ScriptService,
  TokenScript,
} from './token-script.ts'
import {
  attributeOf,
  childElements,
  childrenNamed,
  locate,
  textOf,
  type XmlDocument,
  type XmlElement,
} from './xml-tree.ts'

type Refuse = (at: XmlElement, detail: string) => never

const ROOTS = ['token', 'card', 'action'] as const
const CARD_TYPES: Readonly<Record<string, string>> = { action: 'action', 'token-card': 'token', token: 'token' }

/** Text of a file's bytes, strictly UTF-8 and without byte order mark, so that text and bytes have one hash. */
export function decodeTokenScript(bytes: Uint8Array): string {
  if (bytes.length > FILE_BYTE_LIMIT)
    throw SmartLayerError.of('script.too_large', { bytes: bytes.length, limit: FILE_BYTE_LIMIT })
  const text = decodeUtf8(bytes)
  if (text === undefined)
    throw SmartLayerError.of('script.malformed', { line: 1, column: 1, detail: 'the file is not UTF-8' })
  if (text.startsWith('\ufeff'))
    throw SmartLayerError.of('script.malformed', {
      line: 1,
      column: 1,
      detail: 'the file begins with a byte order mark',
    })
  return text
}

/**
 * Reads a file of at most 4 MiB. Elements are found by namespace URI, whatever their prefix, and only where the format
 * puts them. Says nothing about the signature: see `verifyTokenScript`.
 * Throws `script.too_large`, `script.doctype`, `script.malformed` (with line and column), `script.declaration_invalid`
 * or `script.hash_mismatch` (the code is not what its hash says).
 */
export function parseTokenScript(text: string): TokenScript {
  return tokenScriptOf(parseXml(text))
}

/** The same for a document that was parsed already. */
export function tokenScriptOf(document: XmlDocument): TokenScript {
  const { root } = document
  const refuse: Refuse = (at, detail) => {
    throw SmartLayerError.of('script.malformed', { ...locate(document.text, at.offset), detail })
  }
  const format =
    formatOf(root.uri) ?? refuse(root, `${root.uri.slice(0, 80) || 'no namespace'} is not a TokenScript namespace`)
  const kind =
    ROOTS.find((name) => name === root.local) ??
    refuse(root, `the root element is ${root.local.slice(0, 40)}, expected token`)
  const cards = only(root, 'cards', refuse)
  return {
    format,
    root: kind,
    name: attributeOf(root, 'name') ?? null,
    labels: labelsOf(root, refuse),
    contracts: childrenNamed(root, 'contract').map(contractOf),
    origins: originsOf(root, refuse),
    cards: cards ? childrenNamed(cards, 'card', ...Object.keys(CARD_TYPES)).map((card) => cardOf(card, refuse)) : [],
    attributes: attributesOf(root, refuse),
    service: cards ? serviceOf(cards, refuse) : null,
  }
}

function labelsOf(element: XmlElement, refuse: Refuse): Label[] {
  const label = only(element, 'label', refuse) ?? only(element, 'name', refuse)
  if (!label) return []
  const plurals = childrenNamed(label, 'plurals').flatMap((group) => {
    const lang = attributeOf(group, 'lang', XML) ?? ''
    return childrenNamed(group, 'string').map((string) => labelOf(string, lang))
  })
  return [...plurals, ...childrenNamed(label, 'string').map((string) => labelOf(string, ''))]
}

function labelOf(string: XmlElement, lang: string): Label {
  return {
    lang: attributeOf(string, 'lang', XML) ?? lang,
    quantity: attributeOf(string, 'quantity') ?? null,
    text: textOf(string).trim(),
  }
}

function contractOf(contract: XmlElement): ScriptContract {
  return {
    name: attributeOf(contract, 'name') ?? '',
    interface: attributeOf(contract, 'interface') ?? null,
    addresses: childrenNamed(contract, 'address').map((address) => {
      const written = textOf(address).trim()
      const hex = written.toLowerCase()
      return { network: attributeOf(address, 'network') ?? '', address: isHex(hex, 20) ? hex : written }
    }),
  }
}

function originsOf(root: XmlElement, refuse: Refuse): ScriptOrigin[] {
  const origins = only(root, 'origins', refuse)
  return (origins ? childElements(origins) : []).flatMap((origin): ScriptOrigin[] => {
    if (origin.local === 'ethereum') return [{ kind: 'contract', name: attributeOf(origin, 'contract') ?? '' }]
    if (origin.local === 'attestation') return [{ kind: 'attestation', name: attributeOf(origin, 'name') ?? '' }]
    return []
  })
}

function cardOf(card: XmlElement, refuse: Refuse): ScriptCard {
  const type = card.local === 'card' ? attributeOf(card, 'type') : CARD_TYPES[card.local]
  return { type: type ?? '', name: attributeOf(card, 'name') ?? null, labels: labelsOf(card, refuse) }
}

/** `attribute` since 2020/06, `attribute-types/attribute-type` before. */
function attributesOf(root: XmlElement, refuse: Refuse): ScriptAttribute[] {
  const older = only(root, 'attribute-types', refuse)
  const found = [
    ...childrenNamed(root, 'attribute', 'attribute-type'),
    ...(older ? childrenNamed(older, 'attribute-type') : []),
  ]
  return found.map((attribute) => {
    const origins = only(attribute, 'origins', refuse) ?? only(attribute, 'origin', refuse)
    const first = origins && childElements(origins)[0]
    return {
      name: attributeOf(attribute, 'name') ?? attributeOf(attribute, 'id') ?? '',
      labels: labelsOf(attribute, refuse),
      origin: first ? attributeOriginOf(first) : { kind: 'other', element: '' },
    }
  })
}

function attributeOriginOf(origin: XmlElement): AttributeOrigin {
  const [contract, call, as] = ['contract', 'function', 'as'].map((name) => attributeOf(origin, name))
  if (origin.uri === ETHEREUM && origin.local === 'call' && contract && call && as) {
    return { kind: 'call', contract, function: call, as }
  }
  const [literal, ...more] = childElements(origin)
  const isLiteral = origin.local === 'data' && literal && more.length === 0 && literal.attributes.length === 0
  return isLiteral ? { kind: 'literal', value: textOf(literal) } : { kind: 'other', element: origin.local }
}

function serviceOf(cards: XmlElement, refuse: Refuse): ScriptService | null {
  const [content, second] = childrenNamed(cards, 'viewContent').filter(
    (view) => attributeOf(view, 'name') === SERVICE_CONTENT,
  )
  if (!content) return null
  if (second) return refuse(second, `a second viewContent named ${SERVICE_CONTENT}`)
  const [service, ...others] = childElements(content)
  if (service?.uri !== SERVICE || service.local !== 'service' || others.length > 0) {
    return refuse(content, 'expected exactly one sl:service inside')
  }
  if (attributeOf(service, 'format') !== '1') return refuse(service, 'the service format is not 1')
  const [declaration, code, ...rest] = childElements(service)
  if (!isService(declaration, 'declaration') || !isService(code, 'code') || rest.length > 0) {
    return refuse(service, 'expected sl:declaration and then sl:code')
  }
  return { declaration: parseDeclaration(textOf(declaration)), ...codeOf(code, refuse) }
}

function codeOf(element: XmlElement, refuse: Refuse): Pick<ScriptService, 'code' | 'codeHash'> {
  const bytes = fromBase64(textOf(element))
  const code = bytes && decodeUtf8(bytes)
  if (code === undefined) return refuse(element, 'the code is not base64 of UTF-8 text')
  const expected = attributeOf(element, 'keccak256') ?? ''
  const actual = toHex(keccak_256(utf8(code)))
  if (expected !== actual) throw SmartLayerError.of('script.hash_mismatch', { expected: expected.slice(0, 70), actual })
  return { code, codeHash: actual }
}

function isService(element: XmlElement | undefined, local: string): element is XmlElement {
  return element?.uri === SERVICE && element.local === local
}

function only(element: XmlElement, local: string, refuse: Refuse): XmlElement | undefined {
  const [first, second] = childrenNamed(element, local)
  return second ? refuse(second, `a second ${local}`) : first
}
