/** Why a site may not ask. */
import { entry } from '../errors/kind.ts'

export const accessErrors = {
  'grant.missing': entry<{ scope: string }>(
    'denied',
    (f) => `The call needs a grant of the holder for ${f.scope}.`,
    'Ask the holder for consent and send the grant with the call.',
  ),
  'grant.signature': entry(
    'denied',
    () => 'The grant was not signed by the holder it names.',
    'Ask the holder for consent again.',
  ),
  'grant.not_owner': entry<{ holder: string; token: string }>(
    'denied',
    (f) => `${f.holder} does not hold token ${f.token}.`,
    'Ask the present holder for consent.',
  ),
  'grant.expired': entry<{ expired: bigint; now: bigint }>(
    'denied',
    (f) => `The grant ended at ${f.expired}; it is ${f.now} here.`,
    'Ask the holder for consent again.',
  ),
  'grant.revoked': entry(
    'denied',
    () => 'The holder withdrew the grant.',
    'Stop calling; ask again only after a new click of the holder.',
  ),
  'grant.audience': entry<{ expected: string; actual: string }>(
    'denied',
    (f) => `The grant is for ${f.expected}; the request was signed by ${f.actual}.`,
    'Sign requests with the key that the holder allowed.',
  ),
  'grant.token': entry('denied', () => 'The grant is for another token.', 'Use the grant of the token that is asked.'),
  'grant.unattested': entry<{ got: number; needed: number }>(
    'denied',
    (f) => `${f.got} anchors attested the grant, ${f.needed} needed.`,
    'Register the grant with the anchors first.',
  ),
  'scope.not_granted': entry<{ granted: string; needed: string }>(
    'denied',
    (f) => `The holder granted ${f.granted || 'nothing'}; the call needs ${f.needed}.`,
    'Ask the holder for the scope that is missing.',
  ),
  'request.signature': entry(
    'denied',
    () => 'The request was not signed by the key it names.',
    'Sign the request with the key of the integration.',
  ),
  'request.expired': entry<{ time: bigint; now: bigint }>(
    'denied',
    (f) => `The request was made at ${f.time}; it is ${f.now} here.`,
    'Correct the clock of the caller, or sign the request again.',
  ),
  'request.replayed': entry(
    'denied',
    () => 'A request with this nonce was answered before.',
    'Take a new nonce for every request.',
  ),
} as const
