/** Signed messages around the life of an instance: its end, its export, its restore (docs/spec/lifecycle.md). */
import { bytes32, struct, type TypeOf, uint } from '../primitives/struct.ts'

/** The owner of the contract ends an instance, in this incarnation. `time` in milliseconds. */
export const Retire = struct('Retire', { instance: bytes32, incarnation: uint(64), time: uint(64) })
export type Retire = TypeOf<typeof Retire>

/** Who owns the contract, or holds the token, asks for everything that is kept of the instance. `time` in milliseconds. */
export const Export = struct('Export', { instance: bytes32, nonce: bytes32, time: uint(64) })
export type Export = TypeOf<typeof Export>

/**
 * The owner of the contract lets an instance go on in the next incarnation, from the state with this root after entry `n` of the
 * network `network`: what was committed after it counts no more.
 */
export const Restore = struct('Restore', {
  instance: bytes32,
  network: bytes32,
  incarnation: uint(64),
  n: uint(64),
  root: bytes32,
  time: uint(64),
})
export type Restore = TypeOf<typeof Restore>
