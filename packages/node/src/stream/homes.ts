/** Which anchors are home of a stream, as this anchor sees it. */
import type { Address, Bytes32, HomeSet } from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'

export class Homes {
  readonly self: Address
  readonly #context: Pick<NodeContext, 'membership' | 'homes'>

  constructor({ identity }: Pick<Ports, 'identity'>, context: Pick<NodeContext, 'membership' | 'homes'>) {
    this.self = identity.signer.address
    this.#context = context
  }

  of(stream: Bytes32): HomeSet {
    return this.#context.homes().of(stream)
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
