/** Signs a TokenScript as a whole, in the one form that `verifyTokenScript` accepts. */
import { sha256 } from '@noble/hashes/sha2.js'
import * as secp from '@noble/secp256k1'
import { fromHex, type Hex, nobleSigner, SmartLayerError, utf8 } from '@smartlayer/protocol'
import { toBase64 } from '../content/base64.ts'
import { parseXml } from '../file/parse-xml.ts'
import { childElements, locate } from '../file/xml-tree.ts'
import { canonicalDocument, canonicalElement } from './canonical-xml.ts'
import { C14N, DS, ECDSA, ECDSA_SHA256, ENVELOPED, SECP256K1, SHA256 } from './profile.ts'
import { verifyTokenScript } from './verify.ts'

/**
 * Adds the signature of a secp256k1 key (32 bytes in hex) as the last child of the root. The same file and key give the
 * same bytes. Throws `script.signature_invalid` when the file is signed already, and what reading XML throws.
 */
export function signTokenScript(xml: string, privateKey: Hex): string {
  const document = parseXml(xml)
  const former = childElements(document.root).find((child) => child.uri === DS)
  if (former)
    throw SmartLayerError.of('script.signature_invalid', {
      ...locate(xml, former.offset),
      detail: 'the file is signed already',
    })
  const end = xml.lastIndexOf('</')
  if (end < document.root.offset)
    throw SmartLayerError.of('script.malformed', {
      ...locate(xml, document.root.offset),
      detail: 'the root element is empty',
    })

  const digest = sha256(utf8(canonicalDocument(document)))
  const publicKey = secp.getPublicKey(fromHex(privateKey), false)
  const withSignature = (value: string): string =>
    xml.slice(0, end) + signatureXml(digest, value, publicKey) + xml.slice(end)
  // what SignedInfo inherits depends on the root, so it is canonicalised where it will stand
  const signature = childElements(parseXml(withSignature('')).root).at(-1)!
  const signedInfo = childElements(signature)[0]!
  const signed = fromHex(nobleSigner(privateKey).sign(sha256(utf8(canonicalElement(signedInfo)))))
  const result = withSignature(toBase64(signed.subarray(0, 64)))
  verifyTokenScript(result)
  return result
}

function signatureXml(digest: Uint8Array, value: string, publicKey: Uint8Array): string {
  const x = toBase64(publicKey.subarray(1, 33))
  const y = toBase64(publicKey.subarray(33))
  return (
    `<ds:Signature xmlns:ds="${DS}"><ds:SignedInfo>` +
    `<ds:CanonicalizationMethod Algorithm="${C14N}"/><ds:SignatureMethod Algorithm="${ECDSA_SHA256}"/>` +
    `<ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="${ENVELOPED}"/><ds:Transform Algorithm="${C14N}"/></ds:Transforms>` +
    `<ds:DigestMethod Algorithm="${SHA256}"/><ds:DigestValue>${toBase64(digest)}</ds:DigestValue></ds:Reference></ds:SignedInfo>` +
    `<ds:SignatureValue>${value}</ds:SignatureValue><ds:KeyInfo><ds:KeyValue><ecdsa:ECDSAKeyValue xmlns:ecdsa="${ECDSA}">` +
    `<ecdsa:DomainParameters><ecdsa:NamedCurve URI="${SECP256K1}"/></ecdsa:DomainParameters>` +
    `<ecdsa:PublicKey><ecdsa:X>${x}</ecdsa:X><ecdsa:Y>${y}</ecdsa:Y></ecdsa:PublicKey>` +
    '</ecdsa:ECDSAKeyValue></ds:KeyValue></ds:KeyInfo></ds:Signature>'
  )
}
