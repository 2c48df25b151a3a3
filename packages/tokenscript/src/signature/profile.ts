/** The one form of XML signature that a TokenScript may carry; everything else is refused with its place. */
import { concat, SmartLayerError } from '@smartlayer/protocol'
import { fromBase64 } from '../content/base64.ts'
import { attributeOf, childElements, locate, textOf, type XmlDocument, type XmlElement } from '../file/xml-tree.ts'

export const DS = 'http://www.w3.org/2000/09/xmldsig#'
/** Namespace of RFC 4050, in which TokenScript tools write the public key. */
export const ECDSA = 'http://www.w3.org/2001/04/xmldsig-more#'
export const C14N = 'http://www.w3.org/TR/2001/REC-xml-c14n-20010315'
export const ECDSA_SHA256 = 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256'
export const ENVELOPED = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature'
export const SHA256 = 'http://www.w3.org/2001/04/xmlenc#sha256'
export const SECP256K1 = 'urn:oid:1.3.132.0.10'

/** A signature whose form was checked; whether it holds is for `verifyTokenScript` to say. */
export type SignatureParts = {
  readonly element: XmlElement
  readonly signedInfo: XmlElement
  readonly digest: Uint8Array
  readonly digestElement: XmlElement
  /** r ‖ s, 64 bytes. */
  readonly signature: Uint8Array
  readonly signatureElement: XmlElement
  /** Uncompressed, 65 bytes; whether it is a point of the curve is not yet known. */
  readonly publicKey: Uint8Array
  readonly keyElement: XmlElement
}

/**
 * Finds and takes apart the signature: exactly one in the whole document, last child of the root, exactly SignedInfo,
 * SignatureValue and KeyInfo inside, one Reference to the whole document. Unsigned content inside the signature
 * (ds:Object) and fragment references are how other readers were bypassed, so no such form gets through.
 * Throws `script.unsigned` or `script.signature_invalid`.
 */
export function readSignature(document: XmlDocument): SignatureParts {
  const refuse = refusalsOf(document)
  const element = onlySignature(document, refuse)
  const [signedInfo, signatureElement, keyInfo] = children(element, ['SignedInfo', 'SignatureValue', 'KeyInfo'], refuse)
  const [method, signatureMethod, reference] = children(
    signedInfo!,
    ['CanonicalizationMethod', 'SignatureMethod', 'Reference'],
    refuse,
  )
  algorithm(method!, C14N, refuse)
  algorithm(signatureMethod!, ECDSA_SHA256, refuse)
  attributes(reference!, ['URI'], refuse)
  if ((attributeOf(reference!, 'URI') ?? '') !== '')
    refuse(reference!, 'the reference does not cover the whole document')
  const [transforms, digestMethod, digestElement] = children(
    reference!,
    ['Transforms', 'DigestMethod', 'DigestValue'],
    refuse,
  )
  const [enveloped, canonical] = children(transforms!, ['Transform', 'Transform'], refuse)
  algorithm(enveloped!, ENVELOPED, refuse)
  algorithm(canonical!, C14N, refuse)
  algorithm(digestMethod!, SHA256, refuse)
  for (const plain of [element, signedInfo!, transforms!, signatureElement!, keyInfo!, digestElement!])
    attributes(plain, [], refuse)
  const keyElement = keyValue(keyInfo!, refuse)
  return {
    element,
    signedInfo: signedInfo!,
    digest: bytes(digestElement!, 32, refuse),
    digestElement: digestElement!,
    signature: bytes(signatureElement!, 64, refuse),
    signatureElement: signatureElement!,
    publicKey: publicKey(keyElement, refuse),
    keyElement,
  }
}

export type Refuse = (at: XmlElement, detail: string) => never

/** Refuses a signature at the place of an element. */
export function refusalsOf(document: XmlDocument): Refuse {
  return (at, detail) => {
    throw SmartLayerError.of('script.signature_invalid', { ...locate(document.text, at.offset), detail })
  }
}

function onlySignature({ root }: XmlDocument, refuse: Refuse): XmlElement {
  const found: XmlElement[] = []
  collect(root, found)
  const [first, second] = found
  if (first === undefined) throw SmartLayerError.of('script.unsigned')
  if (second !== undefined) return refuse(second, 'a second signature')
  if (first.parent !== root) return refuse(first, 'the signature is not a child of the root element')
  if (childElements(root).at(-1) !== first) return refuse(first, 'the signature is not the last element of the root')
  return first
}

function collect(element: XmlElement, into: XmlElement[]): void {
  for (const child of childElements(element)) {
    if (child.uri === DS && child.local === 'Signature') into.push(child)
    collect(child, into)
  }
}

/** RFC 4050: domain parameters by name, X and Y in base64. Certificates beside the key say nothing to us and may stand there. */
function keyValue(keyInfo: XmlElement, refuse: Refuse): XmlElement {
  const certificates = childElements(keyInfo).filter((child) => child.uri === DS && child.local === 'X509Data')
  const rest = childElements(keyInfo).filter((child) => !certificates.includes(child))
  const [value] = rest
  if (rest.length !== 1 || certificates.length > 1 || value?.uri !== DS || value.local !== 'KeyValue') {
    return refuse(keyInfo, 'expected exactly one ds:KeyValue')
  }
  return children(value, ['ECDSAKeyValue'], refuse, ECDSA)[0]!
}

function publicKey(keyElement: XmlElement, refuse: Refuse): Uint8Array {
  const [parameters, point] = children(keyElement, ['DomainParameters', 'PublicKey'], refuse, ECDSA)
  const [curve] = children(parameters!, ['NamedCurve'], refuse, ECDSA)
  attributes(curve!, ['URI', 'URN'], refuse)
  if ((attributeOf(curve!, 'URI') ?? attributeOf(curve!, 'URN')) !== SECP256K1)
    refuse(curve!, 'the key is not on secp256k1')
  const [x, y] = children(point!, ['X', 'Y'], refuse, ECDSA)
  return concat(Uint8Array.of(4), bytes(x!, 32, refuse), bytes(y!, 32, refuse))
}

/** The child elements, when they are exactly these, in this order, with only white space between them. */
function children(element: XmlElement, names: readonly string[], refuse: Refuse, uri = DS): XmlElement[] {
  const found = childElements(element)
  names.forEach((name, i) => {
    const child = found[i]
    if (child === undefined) refuse(element, `${name} is missing`)
    else if (child.uri !== uri || child.local !== name)
      refuse(child, `expected ${name}, found ${child.local.slice(0, 40)}`)
  })
  const extra = found[names.length]
  if (extra !== undefined) refuse(extra, `${extra.local.slice(0, 40)} is not allowed here`)
  if (textOf(element).trim() !== '') refuse(element, 'text is not allowed here')
  return found
}

function algorithm(element: XmlElement, expected: string, refuse: Refuse): void {
  attributes(element, ['Algorithm'], refuse)
  children(element, [], refuse)
  if (attributeOf(element, 'Algorithm') !== expected)
    refuse(element, `the algorithm of ${element.local} must be ${expected}`)
}

function attributes(element: XmlElement, allowed: readonly string[], refuse: Refuse): void {
  for (const { uri, local } of element.attributes) {
    if (uri !== '' || !allowed.includes(local)) refuse(element, `attribute ${local.slice(0, 40)} is not allowed here`)
  }
}

function bytes(element: XmlElement, size: number, refuse: Refuse): Uint8Array {
  if (childElements(element).length > 0) refuse(element, `${element.local} must hold text only`)
  const value = fromBase64(textOf(element))
  return value?.length === size ? value : refuse(element, `${element.local} is not ${size} bytes of base64`)
}
