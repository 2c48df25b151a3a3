/** Signatures that only their owner can make, as long as one plays by the rules: cheap hashes that the world checks. */
import {
  type Address,
  type Crypto,
  compareBytes,
  concat,
  fromHex,
  type Hasher,
  type Hex,
  isCanonical,
  type Signer,
  toHex,
  utf8,
} from '@smartlayer/protocol'

const REMEMBERED_LIMIT = 50_000

/** Gives out keys by name, and recognizes what they signed. Form: address ‖ tag(12) ‖ 00… tag(20) ‖ 1b, which is canonical. */
export class KeyRing {
  readonly #secrets = new Map<Address, Uint8Array>()
  /** What was signed or recognized before, by signature: most are checked by many nodes. */
  readonly #known = new Map<Hex, { readonly digest: Uint8Array; readonly address: Address }>()
  readonly crypto: Crypto

  constructor(keccak: Hasher) {
    this.crypto = { keccak, recover: (digest, signature) => this.#recover(digest, signature) }
  }

  signer(name: string): Signer {
    const secret = this.crypto.keccak(utf8(`secret of ${name}`))
    const address = toHex(this.crypto.keccak(secret).subarray(12))
    this.#secrets.set(address, secret)
    return { address, sign: (digest) => this.#remember(this.#sign(address, secret, digest), digest, address) }
  }

  #sign(address: Address, secret: Uint8Array, digest: Uint8Array): Hex {
    const tag = this.crypto.keccak(concat(secret, digest))
    return `${address}${toHex(tag.subarray(0, 12)).slice(2)}${'00'.repeat(12)}${toHex(tag.subarray(12)).slice(2)}1b`
  }

  #remember(signature: Hex, digest: Uint8Array, address: Address): Hex {
    if (this.#known.size >= REMEMBERED_LIMIT) this.#known.clear()
    this.#known.set(signature, { digest: digest.slice(), address })
    return signature
  }

  #recover(digest: Uint8Array, signature: Hex): Address | undefined {
    const known = this.#known.get(signature)
    if (known && compareBytes(known.digest, digest) === 0) return known.address
    if (!isCanonical(signature)) return undefined
    const address = toHex(fromHex(signature).subarray(0, 20))
    const secret = this.#secrets.get(address)
    return secret && this.#sign(address, secret, digest) === signature ? address : undefined
  }
}
