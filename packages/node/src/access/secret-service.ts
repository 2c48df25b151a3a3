/** Secrets of token types: sealed to this node by the contract's owner, kept sealed, opened only when a call needs them. */
import {
  type Address,
  digestOf,
  type Hex,
  SealingKey,
  type SecretRequest,
  SecretUpload,
  SmartLayerError,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Secrets } from '../execution/effect-performer.ts'
import type { Ports } from '../ports/ports.ts'

/** A request may be this far from our clock, in ms. */
const WINDOW_MS = 300_000n
const SECRET_LIMIT = 1_000
const PREFIX = 'secret/'

/** Opens what was sealed to this node; the context binds a ciphertext to one name of one contract. */
export type Opener = { readonly publicKey: Hex; open(sealed: Uint8Array, context: string): Promise<string> }

export class SecretService implements Secrets {
  readonly #ports: Pick<Ports, 'chain' | 'clock' | 'identity' | 'store'>
  readonly #context: NodeContext
  readonly #opener: Opener
  readonly #open = new Map<string, string>()

  constructor(ports: Pick<Ports, 'chain' | 'clock' | 'identity' | 'store'>, context: NodeContext, opener: Opener) {
    this.#ports = ports
    this.#context = context
    this.#opener = opener
  }

  /** Opens the secrets that were kept before. */
  async start(): Promise<void> {
    for (const [key, sealed] of this.#ports.store.range({ from: PREFIX, to: `${PREFIX}~`, limit: SECRET_LIMIT })) {
      const context = key.slice(PREFIX.length)
      this.#open.set(context, await this.#opener.open(sealed, context))
    }
  }

  get(contract: Address, name: string): string | undefined {
    return this.#open.get(contextOf(contract, name))
  }

  /** The key to seal to, signed by this node's identity. */
  sealingKey(): { key: SealingKey; signature: Hex } {
    const { signer, crypto } = this.#ports.identity
    const key: SealingKey = {
      node: signer.address,
      publicKey: this.#opener.publicKey,
      createdAt: this.#ports.clock.now(),
    }
    return { key, signature: signer.sign(digestOf(SealingKey, key, this.#context.domain, crypto.keccak)) }
  }

  /** Takes a secret from the owner of the contract; it must open here. Throws `attestation.signer`, `request.*`. */
  async put({ contract, name, sealed, time, signature }: SecretRequest): Promise<void> {
    const { crypto, signer } = this.#ports.identity
    const now = this.#ports.clock.now()
    if (time < now - WINDOW_MS || time > now + WINDOW_MS) throw SmartLayerError.of('request.expired', { time, now })
    const upload = { node: signer.address, contract, name, sealed, time }
    const by = crypto.recover(digestOf(SecretUpload, upload, this.#context.domain, crypto.keccak), signature)
    const registration = await this.#ports.chain.registration(contract)
    if (!registration) throw SmartLayerError.of('token.unknown', { token: contract })
    if (by !== registration.owner)
      throw SmartLayerError.of('attestation.signer', { signer: by ?? 'nobody', role: 'owner of the contract' })
    if (this.#open.size >= SECRET_LIMIT)
      throw SmartLayerError.of('queue.full', { queue: 'secrets', limit: SECRET_LIMIT })
    const context = contextOf(contract, name)
    const bytes = Buffer.from(sealed.slice(2), 'hex')
    const opened = await this.#opener.open(bytes, context)
    await this.#ports.store.commit([{ key: PREFIX + context, value: bytes }])
    this.#open.set(context, opened)
  }
}

/** What a sealed secret is bound to. */
export function contextOf(contract: Address, name: string): string {
  return `${contract}/${name}`
}
