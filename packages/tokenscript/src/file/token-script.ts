/** What a TokenScript file says, as far as the network acts on it; views, styles and selections stay in the file. */
import type { Bytes32 } from '@smartlayer/protocol'
import type { Declaration } from '../declaration/declaration.ts'

/** One wording; `quantity` is one, other, … when the file tells plurals apart, `lang` is '' when it names none. */
export type Label = { readonly lang: string; readonly quantity: string | null; readonly text: string }
/** A contract as written: chain id in decimal and address in lowercase, or whatever a template holds in their place. */
export type ScriptContract = {
  readonly name: string
  readonly interface: string | null
  readonly addresses: readonly { readonly network: string; readonly address: string }[]
}
export type ScriptOrigin = { readonly kind: 'contract' | 'attestation'; readonly name: string }
export type ScriptCard = { readonly type: string; readonly name: string | null; readonly labels: readonly Label[] }
/** A value of the token: by a contract call on its id, given literally, or in a way that this reader does not follow. */
export type ScriptAttribute = {
  readonly name: string
  readonly labels: readonly Label[]
  readonly origin: AttributeOrigin
}
export type AttributeOrigin =
  | { readonly kind: 'call'; readonly contract: string; readonly function: string; readonly as: string }
  | { readonly kind: 'literal'; readonly value: string }
  | { readonly kind: 'other'; readonly element: string }
/** The part that nodes run. `codeHash` is keccak-256 of the code's UTF-8 bytes. */
export type ScriptService = { readonly declaration: Declaration; readonly code: string; readonly codeHash: Bytes32 }

export type TokenScript = {
  /** Year and month of the format, such as `2024/01`. */
  readonly format: string
  readonly root: 'token' | 'card' | 'action'
  readonly name: string | null
  readonly labels: readonly Label[]
  readonly contracts: readonly ScriptContract[]
  readonly origins: readonly ScriptOrigin[]
  readonly cards: readonly ScriptCard[]
  readonly attributes: readonly ScriptAttribute[]
  /** Null for files of wallets only. */
  readonly service: ScriptService | null
}

/** The wording for a language: exact, then same primary language, then English, then the first; undefined when there is none. */
export function labelFor(labels: readonly Label[], lang: string): string | undefined {
  const primary = (tag: string): string => tag.toLowerCase().split('-')[0]!
  const singular = labels.filter(({ quantity }) => quantity === null || quantity === 'one')
  const among = singular.length > 0 ? singular : labels
  const found =
    among.find((label) => label.lang.toLowerCase() === lang.toLowerCase()) ??
    among.find((label) => primary(label.lang) === primary(lang)) ??
    among.find((label) => primary(label.lang) === 'en') ??
    among[0]
  return found?.text
}
