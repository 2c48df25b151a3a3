/** Which anchors are home of a stream, as this anchor sees it. */
import { type Address, type Bytes32, type Crypto, type Home, homeOf } from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'

export class Homes {
  readonly self: Address
  readonly #context: Pick<NodeContext, 'membership'>
  readonly #crypto: Crypto

  constructor({ identity }: Pick<Ports, 'identity'>, context: Pick<NodeContext, 'membership'>) {
    this.self = identity.signer.address
    this.#context = context
    this.#crypto = identity.crypto
  }

  of(stream: Bytes32): Home {
    return homeOf(stream, this.#context.membership(), this.#crypto.keccak)
  }

  /** True when this anchor is a home anchor of the stream. */
  isOwn(stream: Bytes32): boolean {
    return this.of(stream).anchors.includes(this.self)
  }

  /** The home anchors of the stream without this one. */
  others(stream: Bytes32): readonly Address[] {
    return this.of(stream).anchors.filter((anchor) => anchor !== this.self)
  }

  /** All anchors without this one. */
  get anchors(): readonly Address[] {
    return this.#context
      .membership()
      .members.filter(({ role, node }) => role === 'anchor' && node !== this.self)
      .map(({ node }) => node)
  }
}
