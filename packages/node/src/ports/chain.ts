/** The EVM chain as a port: what nodes read from it, always at a named block. */
import type { Address, Bytes32, Member, TokenRef } from '@smartlayer/protocol'

export type BlockRef = { readonly number: bigint; readonly hash: Bytes32; readonly timestamp: bigint }

/** What the TokenRegistry says of a contract. */
export type TokenRegistration = {
  readonly contract: Address
  readonly owner: Address
  readonly scriptHash: Bytes32
  readonly scriptUri: string
  readonly registeredAt: bigint
}

export type Chain = {
  /** All registered nodes. Throws `chain.unreachable`. */
  members(): Promise<readonly Member[]>
  /** The registration of a contract, or undefined. */
  registration(contract: Address): Promise<TokenRegistration | undefined>
  /** Owner of a token, or undefined when it does not exist; with the block it was read at. */
  ownerOf(token: TokenRef): Promise<{ readonly owner: Address | undefined; readonly block: BlockRef }>
}
