/** Whether a body is the one that an attestation binds, and small enough to be read at all. */
import { type Bytes32, toHex, utf8 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { accept, reject, type Verdict } from '../primitives/verdict.ts'

/** The body's keccak is what was signed. */
export function checkContent(body: string, expected: Bytes32, keccak: Hasher): Verdict<string> {
  const actual = toHex(keccak(utf8(body)))
  return actual === expected ? accept(body) : reject('attestation.content', { expected, actual })
}
