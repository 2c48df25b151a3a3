/** Signed messages of access: grants of holders, and the requests and actions of grantees (docs/spec/access.md). */
import type { Hex } from '../primitives/bytes.ts'
import { address, bool, bytes32, list, string, struct, type TypeOf, uint } from '../primitives/struct.ts'

/** What a holder allowed: `audience` is the address of the integration's key; times in seconds since 1970. */
export const Grant = struct('Grant', {
  token: bytes32,
  holder: address,
  audience: address,
  origin: string(255),
  scopes: list(string(64), 16),
  issuedAt: uint(64),
  expires: uint(64),
  nonce: bytes32,
})
export type Grant = TypeOf<typeof Grant>

/** An anchor checked a grant's signature and, at a block of the chain, that the holder holds the token. Seconds. */
export const GrantCheck = struct('GrantCheck', { grant: bytes32, block: uint(64), expires: uint(64) })
export type GrantCheck = TypeOf<typeof GrantCheck>

/** One anchor's signed check of a grant. */
export type SignedGrantCheck = { readonly check: GrantCheck; readonly signature: Hex }

/** A grant with the holder's signature and the checks of f + 1 anchors. */
export type AttestedGrant = {
  readonly grant: Grant
  readonly signature: Hex
  readonly checks: readonly SignedGrantCheck[]
}

/**
 * A read-only call. `method` is declared by the token; `grant` is zero for public methods; `time` in milliseconds. What follows
 * says how fresh the answer must be (docs/spec/reads.md): zero and false ask for nothing.
 */
export const Query = struct('Query', {
  token: bytes32,
  method: string(64),
  args: bytes32,
  audience: address,
  grant: bytes32,
  nonce: bytes32,
  time: uint(64),
  minN: uint(64),
  stream: bytes32,
  subset: bytes32,
  minSequence: uint(64),
  maxAgeMs: uint(64),
  linearizable: bool,
  bypassCache: bool,
})
export type Query = TypeOf<typeof Query>

/** What an answer for everybody is bound to instead of a signed query: it may be given to all who ask the same. */
export const PublicQuery = struct('PublicQuery', { token: bytes32, method: string(64), args: bytes32 })
export type PublicQuery = TypeOf<typeof PublicQuery>

/** A call that changes state; signed, because a MAC would let a node invent it. `expires` in milliseconds. */
export const Action = struct('Action', {
  instance: bytes32,
  name: string(64),
  args: bytes32,
  audience: address,
  grant: bytes32,
  nonce: bytes32,
  expires: uint(64),
  maxPrice: uint(128),
})
export type Action = TypeOf<typeof Action>
