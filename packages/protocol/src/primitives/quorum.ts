/** Quorums: how many of a known set signed one digest, each counted once. */
import type { Address, Hex } from './bytes.ts'
import type { Crypto } from './crypto.ts'
import { recoverShared } from './shared-signature.ts'

/** The distinct members whose valid signatures over `digest` are among `signatures`. */
export function signersAmong(
  members: readonly Address[],
  { digest, signatures }: { digest: Uint8Array; signatures: readonly Hex[] },
  crypto: Crypto,
): readonly Address[] {
  const signers = new Set<Address>()
  for (const signature of signatures.slice(0, 2 * members.length)) {
    const signer = recoverShared(digest, signature, crypto)
    if (signer && members.includes(signer)) signers.add(signer)
  }
  return [...signers]
}
