/** Why an attestation, an answer or a batch is not believed. */
import { entry } from '../errors/kind.ts'

export const attestationErrors = {
  'attestation.domain': entry<{ detail: string }>(
    'invalid',
    (f) => `The attestation is for another domain: ${f.detail}.`,
    'Sign for this chain and this EAS contract.',
  ),
  'attestation.signature': entry<{ expected: string }>(
    'denied',
    (f) => `The signature was not made by ${f.expected} over this content.`,
    'Get the attestation again from its issuer; do not change any field.',
  ),
  'attestation.schema': entry<{ schema: string }>(
    'invalid',
    (f) => `Schema ${f.schema} is not one that this verifier accepts here.`,
    'Use the schema that docs/spec/attestation.md names for this role.',
  ),
  'attestation.signer': entry<{ signer: string; role: string }>(
    'denied',
    (f) => `${f.signer} may not sign as ${f.role}.`,
    'Sign with a key that the registry or the token names for this role.',
  ),
  'attestation.not_yet_valid': entry<{ validFrom: bigint; now: bigint }>(
    'conflict',
    (f) => `Valid only from ${f.validFrom}; it is ${f.now} here.`,
    'Wait, or correct the clock of the signer.',
  ),
  'attestation.expired': entry<{ expired: bigint; now: bigint }>(
    'denied',
    (f) => `Expired at ${f.expired}; it is ${f.now} here.`,
    'Ask for a fresh one.',
  ),
  'attestation.lifetime': entry<{ seconds: bigint; limit: bigint }>(
    'invalid',
    (f) => `It would live ${f.seconds} s; ${f.limit} s is the most for its schema.`,
    'Sign it with a shorter validity.',
  ),
  'attestation.context': entry<{ expected: string; actual: string }>(
    'denied',
    (f) => `It was signed for context ${f.actual}, not ${f.expected}.`,
    'An attestation counts only for the network, token type and lane it names.',
  ),
  'attestation.token': entry<{ expected: string; actual: string }>(
    'denied',
    (f) => `It concerns token ${f.actual}, not ${f.expected}.`,
    'A fact counts only for the token, or the subset of tokens, that it names.',
  ),
  'attestation.audience': entry<{ expected: string; actual: string }>(
    'denied',
    (f) => `It was made for audience ${f.actual}, not ${f.expected}.`,
    'Ask for an answer of your own.',
  ),
  'attestation.request': entry(
    'denied',
    () => 'It answers another request than the one that was sent.',
    'Discard it and ask again.',
  ),
  'attestation.content': entry<{ expected: string; actual: string }>(
    'denied',
    (f) => `The body has hash ${f.actual}; ${f.expected} was signed.`,
    'Get the body again; it was changed on its way.',
  ),
  'attestation.proof': entry(
    'denied',
    () => 'The inclusion proof does not lead to the signed batch root.',
    'Ask for the answer again.',
  ),
  'attestation.revoked': entry<{ uid: string }>(
    'denied',
    (f) => `Attestation ${f.uid} was revoked by its issuer.`,
    'Use the one that replaces it.',
  ),
  'attestation.not_revoked': entry<{ uid: string }>(
    'missing',
    (f) => `No revocation of ${f.uid} is known here.`,
    'Ask f + 1 anchors before you rely on it; a revocation takes up to two seconds to reach all of them.',
  ),
  'content.not_canonical': entry<{ at: string; detail: string }>(
    'invalid',
    (f) => `${f.at}: ${f.detail} has no canonical JSON form.`,
    'Use strings, finite numbers, booleans, null, arrays and plain objects.',
  ),
} as const
