/** Writes the TokenScript file of a token whose service part the network runs. */

import { keccak_256 } from '@noble/hashes/sha3.js'
import { type Address, isHex, SmartLayerError, toHex, utf8 } from '@smartlayer/protocol'
import { toBase64 } from '../content/base64.ts'
import type { Declaration } from '../declaration/declaration.ts'
import { ETHEREUM, namespaceOf, SERVICE, SERVICE_CONTENT, XHTML } from './namespaces.ts'
import { parseTokenScript } from './parse.ts'

const TEXT_SYNTAX = '1.3.6.1.4.1.1466.115.121.1.15'
const CONTRACT = 'Token'

/** A value that the file gives to the token: read from the contract by token id, or the same for all tokens. */
export type AttributeSource =
  | { readonly function: string; readonly as: 'uint' | 'utf8' | 'address' | 'bool' | 'bytes' }
  | { readonly value: string }

export type TokenScriptParts = {
  /** An XML name without colon, such as `FlightTicket`. */
  readonly name: string
  /** What holders read, in English. */
  readonly label: string
  readonly contract: {
    readonly chainId: bigint | number
    readonly address: Address
    readonly interface?: 'erc721' | 'erc1155' | 'erc20'
  }
  readonly declaration: Declaration
  /** Bundled JavaScript that ends in `install(token)`. */
  readonly code: string
  readonly attributes?: Readonly<Record<string, AttributeSource>>
}

/**
 * Builds the file in the 2024/01 format, elements in the order of its schema, unsigned. The same parts give the same
 * text. Declaration and code are plain ASCII in it (JSON escapes, base64), so no reader can change them by normalising.
 * Throws `script.declaration_invalid` for parts that cannot be written and `script.too_large` above 4 MiB.
 */
export function buildTokenScript(parts: TokenScriptParts): string {
  const { name, label, contract, declaration, code, attributes = {} } = parts
  demand(/^[A-Za-z_][A-Za-z0-9._-]{0,127}$/.test(name), 'name', 'expected an XML name')
  demand(isHex(contract.address, 20), 'contract.address', 'expected an address in lowercase hex')
  demand(/^[1-9]\d{0,77}$/.test(String(contract.chainId)), 'contract.chainId', 'expected a chain id')
  demand(code.isWellFormed(), 'code', 'holds half a surrogate pair')
  demand(
    isXmlText(label) && label.trim() === label && label !== '',
    'label',
    'expected text without control characters',
  )
  const xml = `<?xml version="1.0" encoding="UTF-8"?>
<ts:token xmlns:ts="${namespaceOf('2024/01')}" xmlns:ethereum="${ETHEREUM}" name="${name}">
  <ts:label><ts:string xml:lang="en">${escapeXml(label)}</ts:string></ts:label>
  <ts:contract name="${CONTRACT}" interface="${contract.interface ?? 'erc721'}">
    <ts:address network="${contract.chainId}">${contract.address}</ts:address>
  </ts:contract>
  <ts:origins><ts:ethereum contract="${CONTRACT}"/></ts:origins>
  <ts:cards>
    <ts:viewContent name="${SERVICE_CONTENT}">
      <sl:service xmlns:sl="${SERVICE}" format="1">
        <sl:declaration>${escapeXml(asciiJson(declaration))}</sl:declaration>
        <sl:code language="javascript" encoding="base64" keccak256="${toHex(keccak_256(utf8(code)))}">${toBase64(utf8(code))}</sl:code>
      </sl:service>
    </ts:viewContent>
    <ts:card type="token" name="Info" origins="${CONTRACT}">
      <ts:label><ts:string xml:lang="en">Info</ts:string></ts:label>
      <ts:view xml:lang="en"><div xmlns="${XHTML}">${escapeXml(label)}</div></ts:view>
    </ts:card>
  </ts:cards>
${Object.entries(attributes).map(attributeXml).join('')}</ts:token>
`
  parseTokenScript(xml)
  return xml
}

function attributeXml([name, source]: readonly [string, AttributeSource]): string {
  const at = `attributes.${name}`
  demand(/^[A-Za-z][A-Za-z0-9]{0,63}$/.test(name), at, 'expected a name of letters and digits')
  return `  <ts:attribute name="${name}">
    <ts:type><ts:syntax>${TEXT_SYNTAX}</ts:syntax></ts:type>
    <ts:label><ts:string xml:lang="en">${name}</ts:string></ts:label>
    <ts:origins>${originXml(source, at)}</ts:origins>
  </ts:attribute>
`
}

function originXml(source: AttributeSource, at: string): string {
  if ('value' in source) {
    demand(isXmlText(source.value), at, 'expected text without control characters')
    return `<ts:data><ts:string>${escapeXml(source.value)}</ts:string></ts:data>`
  }
  demand(/^[A-Za-z_$][A-Za-z0-9_$]{0,127}$/.test(source.function), at, 'expected the name of a contract function')
  return `<ethereum:call contract="${CONTRACT}" function="${source.function}" as="${source.as}"><ts:data><ts:uint256 ref="tokenId"/></ts:data></ethereum:call>`
}

/** JSON in ASCII; what lies beyond is written as \uXXXX. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\r', '&#xD;')
}

/** What XML 1.0 can hold, without control characters: a tab or line end would not survive other readers. */
function isXmlText(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
  return text.isWellFormed() && !/[\u0000-\u001f\u007f\ufffe\uffff]/.test(text)
}

function demand(condition: boolean, at: string, detail: string): void {
  if (!condition) throw SmartLayerError.of('script.declaration_invalid', { at, detail })
}
