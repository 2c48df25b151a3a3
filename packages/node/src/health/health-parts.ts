/** What the services of health share: parameters, who probes whom, and the context in which signed words are checked. */
import {
  type Address,
  digestOf,
  type HealthParameters,
  type Hex,
  LOCAL_HEALTH,
  type Probers,
  probersOf,
  type SampleContext,
  type Struct,
} from '@smartlayer/protocol'
import type { NetworkParameters, NodeContext } from '../context.ts'
import type { Identity } from '../ports/signer.ts'

export function healthOf({ health }: Pick<NetworkParameters, 'health'>): HealthParameters {
  return health ?? LOCAL_HEALTH
}

export class HealthParts {
  readonly context: NodeContext
  readonly health: HealthParameters
  readonly #identity: Identity

  constructor(identity: Identity, context: NodeContext) {
    this.#identity = identity
    this.context = context
    this.health = healthOf(context.parameters)
  }

  get self(): Address {
    return this.#identity.signer.address
  }

  get epsilonMs(): bigint {
    return BigInt(this.context.parameters.epsilonMs)
  }

  probers(node: Address): Probers {
    return probersOf(node, this.context.membership(), this.#identity.crypto.keccak)
  }

  /** In which samples and penalties of a node are checked. */
  about(node: Address): SampleContext {
    const { crypto } = this.#identity
    return { domain: this.context.domain, crypto, health: this.health, probers: this.probers(node) }
  }

  digest<T>(type: Struct<T>, value: T): Uint8Array {
    return digestOf(type, value, this.context.domain, this.#identity.crypto.keccak)
  }

  sign<T>(type: Struct<T>, value: T): Hex {
    return this.#identity.signer.sign(this.digest(type, value))
  }

  /** Who signed this value. */
  signerOf<T>(type: Struct<T>, value: T, signature: Hex): Address | undefined {
    return this.#identity.crypto.recover(this.digest(type, value), signature)
  }

  /** The start of the window that a moment lies in. */
  windowOf(now: bigint): bigint {
    const windowMs = BigInt(this.health.windowMs)
    return now - (now % windowMs)
  }
}
