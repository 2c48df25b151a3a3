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

  /** Who may have what is missing here: the other home anchors, and those of the set before. */
  sources(stream: Bytes32): readonly Address[] {
    const homes = this.#context.homes()
    const [home, before] = homes.history(homes.shardOf(stream))
    const sources = new Set([...home.anchors, ...(before?.anchors ?? [])])
    sources.delete(this.self)
    return [...sources]
  }

  /** The home set that signed in a home epoch; undefined when this node knows none. */
  at(stream: Bytes32, epoch: bigint): HomeSet | undefined {
    return this.#context.homes().at(stream, epoch)
  }

  /** All anchors without this one. */
  get anchors(): readonly Address[] {
    return this.#context
      .membership()
      .members.filter(({ role, node }) => role === 'anchor' && node !== this.self)
      .map(({ node }) => node)
  }
}
