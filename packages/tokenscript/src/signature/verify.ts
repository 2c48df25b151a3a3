/** Decides whether a TokenScript was signed as a whole, and by whom. */

import { sha256 } from '@noble/hashes/sha2.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import * as secp from '@noble/secp256k1'
import { type Address, addressOf, type Bytes32, compareBytes, nobleCrypto, toHex, utf8 } from '@smartlayer/protocol'
import { parseXml } from '../file/parse-xml.ts'
import type { XmlDocument } from '../file/xml-tree.ts'
import { canonicalDocument, canonicalElement } from './canonical-xml.ts'
import { readSignature, refusalsOf, type SignatureParts } from './profile.ts'

/** `signer` is the EVM address of the signing key; whether that key may speak for the contract is decided on chain. */
export type SignedTokenScript = { readonly status: 'valid'; readonly signer: Address; readonly scriptHash: Bytes32 }

/**
 * Verifies the signature over the exact text of a file (decode its bytes with `decodeTokenScript`).
 * Throws `script.unsigned`, or `script.signature_invalid` with the place and kind of what is wrong, or what reading XML
 * throws. Profile: docs of `readSignature`; XML Signature 1.1 with Canonical XML 1.0, SHA-256 and ECDSA on secp256k1.
 */
export function verifyTokenScript(text: string): SignedTokenScript {
  return verifyDocument(parseXml(text))
}

/** The same for a document that was parsed already. */
export function verifyDocument(document: XmlDocument): SignedTokenScript {
  const parts = readSignature(document)
  const refuse = refusalsOf(document)
  const digest = sha256(utf8(canonicalDocument(document, parts.element)))
  if (compareBytes(digest, parts.digest) !== 0)
    refuse(parts.digestElement, 'the document was changed after it was signed')
  const signed = sha256(utf8(canonicalElement(parts.signedInfo)))
  if (!isPoint(parts)) refuse(parts.keyElement, 'the key is not a point of secp256k1')
  if (!holds(parts, signed)) refuse(parts.signatureElement, 'the key did not make this signature')
  return { status: 'valid', signer: addressOf(parts.publicKey, keccak_256), scriptHash: scriptHashOf(document.text) }
}

/** keccak-256 of the file's bytes: the name under which the script is registered. */
export function scriptHashOf(text: string): Bytes32 {
  return toHex(nobleCrypto.keccak(utf8(text)))
}

function isPoint({ publicKey }: SignatureParts): boolean {
  try {
    secp.Point.fromBytes(publicKey).assertValidity()
    return true
  } catch {
    return false // off the curve, or coordinates out of range
  }
}

/** High s is accepted: other tools write it, and the registered hash covers the signature's bytes anyway. */
function holds({ signature, publicKey }: SignatureParts, digest: Uint8Array): boolean {
  try {
    return secp.verify(signature, digest, publicKey, { prehash: false, lowS: false })
  } catch {
    return false // r or s out of range
  }
}
