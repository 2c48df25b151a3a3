/** Fast hashing and signing for nodes: keccak and libsecp256k1 in WebAssembly, equal to the default in every answer. */
import { instantiateSecp256k1, type RecoveryId, type Secp256k1 } from '@bitauth/libauth'
import {
  addressOf,
  type Crypto,
  fromHex,
  type Hasher,
  type Hex,
  isCanonical,
  isHex,
  type Signer,
  SmartLayerError,
  toHex,
} from '@smartlayer/protocol'
import { createKeccak } from 'hash-wasm'

export type FastCrypto = {
  readonly crypto: Crypto
  /** A signer from a 32-byte private key. Throws `bug.unexpected` for a key outside the curve's order. */
  signer(privateKey: Hex): Signer
}

/** Loads both modules; about 20 ms, once per process. */
export async function fastCrypto(): Promise<FastCrypto> {
  const [keccak, secp] = await Promise.all([keccakHasher(), instantiateSecp256k1()])
  return {
    crypto: { keccak, recover: (digest, signature) => recover(secp, keccak, digest, signature) },
    signer: (privateKey) => signerOf(secp, keccak, privateKey),
  }
}

/** One reused hasher: rules are synchronous, so no two hashes are ever open at once. */
async function keccakHasher(): Promise<Hasher> {
  const hasher = await createKeccak(256)
  return (bytes) => hasher.init().update(bytes).digest('binary')
}

function signerOf(secp: Secp256k1, keccak: Hasher, privateKey: Hex): Signer {
  const secret = isHex(privateKey, 32) ? fromHex(privateKey) : new Uint8Array(32)
  if (!secp.validatePrivateKey(secret)) {
    throw SmartLayerError.of('bug.unexpected', { detail: 'the private key is not a secp256k1 key' })
  }
  const publicKey = expectBytes(secp.derivePublicKeyUncompressed(secret))
  return {
    address: addressOf(publicKey, keccak),
    sign(digest) {
      const signed = secp.signMessageHashRecoverableCompact(secret, digest)
      if (typeof signed === 'string') throw SmartLayerError.of('bug.unexpected', { detail: signed })
      return `${toHex(signed.signature)}${signed.recoveryId === 0 ? '1b' : '1c'}`
    },
  }
}

function recover(secp: Secp256k1, keccak: Hasher, digest: Uint8Array, signature: Hex) {
  if (!isCanonical(signature)) return undefined
  const bytes = fromHex(signature)
  const recoveryId = (bytes[64]! - 27) as RecoveryId
  const publicKey = secp.recoverPublicKeyUncompressed(bytes.subarray(0, 64), recoveryId, digest)
  return typeof publicKey === 'string' ? undefined : addressOf(publicKey, keccak)
}

function expectBytes(result: Uint8Array | string): Uint8Array {
  if (typeof result === 'string') throw SmartLayerError.of('bug.unexpected', { detail: result })
  return result
}
