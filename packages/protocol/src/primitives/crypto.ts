/** Hashing and signing as values that are handed in; noble is the default, nodes hand in faster ones. */

import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import * as secp from '@noble/secp256k1'
import { type Address, type Bytes32, concat, fromHex, type Hex, isHex, toHex, utf8 } from './bytes.ts'

/** keccak-256: any bytes in, 32 bytes out. */
export type Hasher = (bytes: Uint8Array) => Uint8Array

/** Recovers the address that made `signature` over `digest`; undefined unless the signature is canonical and valid. */
export type Recover = (digest: Uint8Array, signature: Hex) => Address | undefined

/** Hashing and signature recovery together: all that a verifier needs. */
export type Crypto = { readonly keccak: Hasher; readonly recover: Recover }

/** One secp256k1 key that can sign 32-byte digests. Signatures are r ‖ s ‖ v, low-s, v 27 or 28. */
export type Signer = { readonly address: Address; sign(digest: Uint8Array): Hex }

const ORDER_HALF = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n
secp.hashes.sha256 = sha256
secp.hashes.hmacSha256 = (key, message) => hmac(sha256, key, message)

export const nobleCrypto: Crypto = { keccak: keccak_256, recover: nobleRecover }

/** A signer from a 32-byte private key. */
export function nobleSigner(privateKey: Hex, keccak: Hasher = keccak_256): Signer {
  const secret = fromHex(privateKey)
  return {
    address: addressOf(secp.getPublicKey(secret, false), keccak),
    sign(digest) {
      const recovered = secp.sign(digest, secret, { prehash: false, format: 'recovered' })
      return toHex(concat(recovered.subarray(1), Uint8Array.of(27 + recovered[0]!)))
    },
  }
}

/** The EVM address of an uncompressed public key (65 bytes, leading 0x04). */
export function addressOf(publicKey: Uint8Array, keccak: Hasher): Address {
  return toHex(keccak(publicKey.subarray(1)).subarray(12))
}

/** True for 65 bytes r ‖ s ‖ v with low s and v 27 or 28: the only form accepted anywhere. */
export function isCanonical(signature: Hex): boolean {
  if (!isHex(signature, 65)) return false
  const v = signature.slice(130)
  return (v === '1b' || v === '1c') && BigInt(`0x${signature.slice(66, 130)}`) <= ORDER_HALF
}

/** keccak-256 of a UTF-8 string, as hex: how names become ids. */
export function keccakText(keccak: Hasher, text: string): Bytes32 {
  return toHex(keccak(utf8(text)))
}

function nobleRecover(digest: Uint8Array, signature: Hex): Address | undefined {
  if (!isCanonical(signature)) return undefined
  const bytes = fromHex(signature)
  try {
    const recovered = concat(Uint8Array.of(bytes[64]! - 27), bytes.subarray(0, 64))
    const compressed = secp.recoverPublicKey(recovered, digest, { prehash: false })
    return addressOf(secp.Point.fromBytes(compressed).toBytes(false), keccak_256)
  } catch {
    return undefined // not a curve point: no key made this signature
  }
}

/** keccak-256 of a file, as hex: how scripts are named on chain. */
export function keccakOfBytes(bytes: Uint8Array, keccak: Hasher = keccak_256): Bytes32 {
  return toHex(keccak(bytes))
}
