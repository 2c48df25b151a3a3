/** Signed messages around effects: what an outside system answers, and what a node publishes of its keys. */
import { address, bytes, bytes32, struct, type TypeOf, uint } from '../primitives/struct.ts'

/**
 * An outside system's signed answer to one effect: `effect` is the idempotency key it was called with, `request` the hash
 * of the request body it saw, `content` the hash of its own body. Signed with the key that the token declares.
 */
export const OutsideAnswer = struct('OutsideAnswer', {
  effect: bytes32,
  request: bytes32,
  status: uint(16),
  content: bytes32,
})
export type OutsideAnswer = TypeOf<typeof OutsideAnswer>

/** A node's key for sealed secrets (X25519, raw), signed by its identity key. */
export const SealingKey = struct('SealingKey', { node: address, publicKey: bytes(32), createdAt: uint(64) })
export type SealingKey = TypeOf<typeof SealingKey>
