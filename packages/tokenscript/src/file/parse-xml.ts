/** Reads XML 1.0 with namespaces from a stranger: well-formed, without DOCTYPE, and bounded in size, depth and nodes. */
import { assert, SmartLayerError, utf8 } from '@smartlayer/protocol'
import { SaxesParser, type SaxesTagNS } from 'saxes'
import {
  locate,
  type XmlAttribute,
  type XmlDocument,
  type XmlElement,
  type XmlInstruction,
  type XmlNode,
} from './xml-tree.ts'

export const FILE_BYTE_LIMIT = 4 * 1024 * 1024
const DEPTH_LIMIT = 128
/** Elements, attributes, namespace declarations, texts and instructions together. */
const NODE_LIMIT = 100_000
const XMLNS = 'http://www.w3.org/2000/xmlns/'

type OpenElement = Omit<XmlElement, 'children'> & { readonly children: XmlNode[] }

/**
 * Parses a document. Line endings become LF and U+2028, U+0085 stay as they are, as XML 1.0 says.
 * Throws `script.too_large`, `script.doctype` or `script.malformed` with line and column.
 */
export function parseXml(text: string): XmlDocument {
  refuseLarge(text)
  const parser = new SaxesParser({ xmlns: true, position: true })
  const before: XmlInstruction[] = []
  const after: XmlInstruction[] = []
  const open: OpenElement[] = []
  let root: XmlElement | undefined
  let nodes = 0
  let tagOffset = 0

  const refuse = (detail: string, offset = parser.position): never => {
    throw SmartLayerError.of('script.malformed', { ...locate(text, offset), detail })
  }
  const count = (added: number): void => {
    nodes += added
    if (nodes > NODE_LIMIT) refuse(`more than ${NODE_LIMIT} nodes`)
  }
  const addText = (added: string): void => {
    const children = open.at(-1)?.children
    const last = children?.at(-1)
    if (last?.kind === 'text') last.text += added
    else if (children) {
      count(1)
      children.push({ kind: 'text', text: added })
    }
  }

  parser.on('error', (error) => refuse(error.message.replace(/^(\S*:)?\d+:\d+: /, '').replace(/\.$/, '')))
  parser.on('doctype', () => {
    throw SmartLayerError.of('script.doctype', locate(text, text.lastIndexOf('<!DOCTYPE', parser.position)))
  })
  parser.on('xmldecl', ({ version, encoding }) => {
    if (version !== '1.0') refuse('only XML 1.0 is allowed')
    if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') refuse('only the encoding UTF-8 is allowed')
  })
  parser.on('opentagstart', () => {
    if (open.length >= DEPTH_LIMIT) refuse(`elements are nested more than ${DEPTH_LIMIT} deep`)
    tagOffset = text.lastIndexOf('<', parser.position - 1)
  })
  parser.on('opentag', (tag) => {
    const parent = open.at(-1)
    const element = elementOf(tag, parent, tagOffset)
    count(1)
    if (parent) parent.children.push(element)
    else root = element
    open.push(element)
  })
  parser.on('attribute', () => count(1))
  parser.on('closetag', () => {
    open.pop()
  })
  parser.on('text', addText)
  parser.on('cdata', addText)
  parser.on('processinginstruction', ({ target, body }) => {
    count(1)
    const instruction: XmlInstruction = { kind: 'instruction', target, body }
    const siblings = open.at(-1)?.children ?? (root ? after : before)
    siblings.push(instruction)
  })
  parser.write(text).close()
  assert(root, 'a well-formed document has a root')
  return { text, before, root, after }
}

function elementOf(tag: SaxesTagNS, parent: XmlElement | undefined, offset: number): OpenElement {
  const attributes: XmlAttribute[] = []
  const namespaces = new Map<string, string>()
  for (const { uri, prefix, local, value } of Object.values(tag.attributes)) {
    if (uri !== XMLNS) attributes.push({ uri, prefix, local, value })
    else namespaces.set(prefix === '' ? '' : local, value.trim())
  }
  return {
    kind: 'element',
    uri: tag.uri,
    prefix: tag.prefix,
    local: tag.local,
    attributes,
    namespaces,
    children: [],
    parent,
    offset,
  }
}

function refuseLarge(text: string): void {
  // every UTF-16 unit is at least one byte, so that hostile lengths are refused before any work
  const bytes = text.length > FILE_BYTE_LIMIT ? text.length : utf8(text).length
  if (bytes > FILE_BYTE_LIMIT) throw SmartLayerError.of('script.too_large', { bytes, limit: FILE_BYTE_LIMIT })
}
