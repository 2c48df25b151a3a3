/** Signatures that only their owner can make, as long as one plays by the rules: cheap hashes that the world checks. */
import {
  type Address,
  type Crypto,
  concat,
  fromHex,
  type Hasher,
  type Hex,
  isCanonical,
  type Signer,
  toHex,
  utf8,
} from '@smartlayer/protocol'

/** Gives out keys by name, and recognizes what they signed. Form: address ‖ tag(12) ‖ 00… tag(20) ‖ 1b, which is canonical. */
export class KeyRing {
  readonly #secrets = new Map<Address, Uint8Array>()
  readonly crypto: Crypto

  constructor(keccak: Hasher) {
    this.crypto = { keccak, recover: (digest, signature) => this.#recover(digest, signature) }
  }

  signer(name: string): Signer {
    const secret = this.crypto.keccak(utf8(`secret of ${name}`))
    const address = toHex(this.crypto.keccak(secret).subarray(12))
    this.#secrets.set(address, secret)
    return { address, sign: (digest) => this.#sign(address, secret, digest) }
  }

  #sign(address: Address, secret: Uint8Array, digest: Uint8Array): Hex {
    const tag = this.crypto.keccak(concat(secret, digest))
    return `${address}${toHex(tag.subarray(0, 12)).slice(2)}${'00'.repeat(12)}${toHex(tag.subarray(12)).slice(2)}1b`
  }

  #recover(digest: Uint8Array, signature: Hex): Address | undefined {
    if (!isCanonical(signature)) return undefined
    const address = toHex(fromHex(signature).subarray(0, 20))
    const secret = this.#secrets.get(address)
    return secret && this.#sign(address, secret, digest) === signature ? address : undefined
  }
}
