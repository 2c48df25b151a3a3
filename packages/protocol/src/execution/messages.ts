/** Signed messages around effects: what an outside system answers, and what a node publishes of its keys. */
import { address, bytes, bytes32, string, struct, type TypeOf, uint } from '../primitives/struct.ts'

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

/** The owner of a contract hands a node a secret, sealed to the node's key (HPKE); `time` in milliseconds. */
export const SecretUpload = struct('SecretUpload', {
  node: address,
  contract: address,
  name: string(64),
  sealed: bytes(8_192),
  time: uint(64),
})
export type SecretUpload = TypeOf<typeof SecretUpload>
