/** Canonical XML 1.0 without comments (https://www.w3.org/TR/2001/REC-xml-c14n-20010315): the bytes that signatures cover. */
import type { XmlAttribute, XmlDocument, XmlElement, XmlNode } from '../file/xml-tree.ts'

const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace'

/** Namespaces that output ancestors have shown; a chain, because copying it per element could be made expensive. */
type Scope = { readonly shown: ReadonlyMap<string, string>; readonly outer: Scope | undefined }

/** The canonical form of a whole document, leaving out one element with everything in it. */
export function canonicalDocument(document: XmlDocument, without?: XmlElement): string {
  const out: string[] = []
  for (const node of document.before) out.push(instruction(node), '\n')
  write(document.root, undefined, without, out)
  for (const node of document.after) out.push('\n', instruction(node))
  return out.join('')
}

/** The canonical form of one element as a document subset: with the namespaces and `xml:` attributes that it inherits. */
export function canonicalElement(apex: XmlElement): string {
  const namespaces = new Map<string, string>()
  const inherited = new Map<string, XmlAttribute>()
  for (let element: XmlElement | undefined = apex; element; element = element.parent) {
    for (const [prefix, uri] of element.namespaces) if (!namespaces.has(prefix)) namespaces.set(prefix, uri)
    for (const attribute of element.attributes) {
      if (attribute.uri === XML_NAMESPACE && !inherited.has(attribute.local)) inherited.set(attribute.local, attribute)
    }
  }
  const own = apex.attributes.filter((attribute) => attribute.uri !== XML_NAMESPACE)
  const out: string[] = []
  write({ ...apex, namespaces, attributes: [...own, ...inherited.values()] }, undefined, undefined, out)
  return out.join('')
}

function write(node: XmlNode, scope: Scope | undefined, without: XmlElement | undefined, out: string[]): void {
  if (node === without) return
  if (node.kind === 'text') {
    out.push(escapeText(node.text))
    return
  }
  if (node.kind === 'instruction') {
    out.push(instruction(node))
    return
  }
  const name = node.prefix === '' ? node.local : `${node.prefix}:${node.local}`
  const declared = [...node.namespaces].filter(([prefix, uri]) => prefix !== 'xml' && shownUri(scope, prefix) !== uri)
  out.push('<', name)
  for (const [prefix, uri] of declared.sort(([a], [b]) => compareText(a, b))) {
    out.push(prefix === '' ? ' xmlns="' : ` xmlns:${prefix}="`, escapeAttribute(uri), '"')
  }
  for (const { prefix, local, value } of [...node.attributes].sort(compareAttributes)) {
    out.push(' ', prefix === '' ? local : `${prefix}:${local}`, '="', escapeAttribute(value), '"')
  }
  out.push('>')
  const inner = declared.length === 0 ? scope : { shown: new Map(declared), outer: scope }
  for (const child of node.children) write(child, inner, without, out)
  out.push('</', name, '>')
}

/** The URI that an output ancestor gave to a prefix; '' stands for none, as in xmlns="". */
function shownUri(scope: Scope | undefined, prefix: string): string {
  for (let at = scope; at; at = at.outer) {
    const uri = at.shown.get(prefix)
    if (uri !== undefined) return uri
  }
  return ''
}

function compareAttributes(a: XmlAttribute, b: XmlAttribute): number {
  return compareText(a.uri, b.uri) || compareText(a.local, b.local)
}

/** Compares by code points, which differs from UTF-16 order beyond the basic plane. */
function compareText(a: string, b: string): number {
  const left = [...a]
  const right = [...b]
  for (let i = 0; i < left.length && i < right.length; i++) {
    const difference = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

function instruction({ target, body }: { readonly target: string; readonly body: string }): string {
  return body === '' ? `<?${target}?>` : `<?${target} ${body}?>`
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\r', '&#xD;')
}

function escapeAttribute(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\t', '&#x9;')
    .replaceAll('\n', '&#xA;')
    .replaceAll('\r', '&#xD;')
}
