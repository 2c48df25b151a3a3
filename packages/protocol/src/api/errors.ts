/** Errors of the HTTP border itself. */
import { entry } from '../errors/kind.ts'

export const apiErrors = {
  'api.not_found': entry<{ path: string }>(
    'missing',
    (f) => `There is nothing at ${f.path}.`,
    'See /docs for the methods of this node.',
  ),
  'api.body_invalid': entry<{ detail: string }>(
    'invalid',
    (f) => `The request does not fit its schema: ${f.detail}.`,
    'Send the fields that the API reference names.',
  ),
  'api.rate_limited': entry<{ limit: number }>(
    'unavailable',
    (f) => `More than ${f.limit} requests a second from one caller.`,
    'Wait as long as Retry-After says.',
  ),
  'api.idempotency_reused': entry<{ key: string }>(
    'conflict',
    (f) => `Key ${f.key} was used with another body.`,
    'Use a new key for a new operation.',
  ),
} as const
