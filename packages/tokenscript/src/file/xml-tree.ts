/** The part of an XML document that rules look at: elements with resolved namespaces, text and instructions. */

export type XmlAttribute = {
  readonly uri: string
  readonly prefix: string
  readonly local: string
  readonly value: string
}
export type XmlElement = {
  readonly kind: 'element'
  readonly uri: string
  readonly prefix: string
  readonly local: string
  /** Without namespace declarations. */
  readonly attributes: readonly XmlAttribute[]
  /** Namespaces declared on this very element: prefix ('' is the default) to URI. */
  readonly namespaces: ReadonlyMap<string, string>
  readonly children: readonly XmlNode[]
  readonly parent: XmlElement | undefined
  /** Where its `<` stands in the text, in UTF-16 units. */
  readonly offset: number
}
/** Neighbouring text, entities and CDATA sections are one node; comments are dropped and split nothing. */
export type XmlText = { readonly kind: 'text'; text: string }
export type XmlInstruction = { readonly kind: 'instruction'; readonly target: string; readonly body: string }
export type XmlNode = XmlElement | XmlText | XmlInstruction

export type XmlDocument = {
  readonly text: string
  readonly before: readonly XmlInstruction[]
  readonly root: XmlElement
  readonly after: readonly XmlInstruction[]
}

export type Location = { readonly line: number; readonly column: number }

/** Line and column (both 1-based, columns in UTF-16 units) of an offset. */
export function locate(text: string, offset: number): Location {
  const before = text.slice(0, offset)
  const line = before.split(/\r\n|\r|\n/)
  return { line: line.length, column: line.at(-1)!.length + 1 }
}

export function childElements(element: XmlElement): XmlElement[] {
  return element.children.filter((node): node is XmlElement => node.kind === 'element')
}

/** Direct children of that name in the same namespace as the element itself. */
export function childrenNamed(element: XmlElement, ...locals: readonly string[]): XmlElement[] {
  return childElements(element).filter((child) => child.uri === element.uri && locals.includes(child.local))
}

/** The value of an attribute without namespace (or in `uri`), or undefined. */
export function attributeOf(element: XmlElement, local: string, uri = ''): string | undefined {
  return element.attributes.find((attribute) => attribute.local === local && attribute.uri === uri)?.value
}

/** The text directly inside an element; text of children is left out. */
export function textOf(element: XmlElement): string {
  return element.children.map((node) => (node.kind === 'text' ? node.text : '')).join('')
}
