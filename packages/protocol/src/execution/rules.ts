/** What the rules must know of a token's script: read once from its signed declaration, the same on every node. */
import type { MessageRule, SendRule } from '../composition/message.ts'
import type { Expiry } from '../lifecycle/expiry.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import type { Retention } from '../stream/retention.ts'
import type { EffectPolicy } from './effects.ts'

export type InputRule = { readonly issuer: Address; readonly lane: Bytes32; readonly retention: Retention }
export type ActionRule = { readonly scope: string }
export type EffectRule = EffectPolicy & {
  /** The key that signs the outside system's answers; undefined when nobody signs them. */
  readonly attestedBy: Address | undefined
}

export type TokenRules = {
  readonly token: Bytes32
  readonly tokenType: Bytes32
  readonly scriptHash: Bytes32
  /** Who signed the script: the owner of the contract. */
  readonly owner?: Address | undefined
  readonly expiry?: Expiry | undefined
  readonly inputs: Readonly<Record<string, InputRule>>
  readonly actions: Readonly<Record<string, ActionRule>>
  readonly effects: Readonly<Record<string, EffectRule>>
  /** Messages that it takes, and those that it sends; none when left out. */
  readonly messages?: Readonly<Record<string, MessageRule>> | undefined
  readonly sends?: Readonly<Record<string, SendRule>> | undefined
}
