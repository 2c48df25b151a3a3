/** Errors of the HTTP border itself. */
import { entry } from '../errors/kind.ts'

export const apiErrors = {
  'api.not_found': entry<{ path: string }>(
    'missing',
    (f) => `There is nothing at ${f.path}.`,
    'See docs/spec/api.md for the methods of a node.',
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
  'answer.malformed': entry<{ peer: string; detail: string }>(
    'fault',
    (f) => `${f.peer} answered in a form that cannot be read: ${f.detail}.`,
    'Ask another node; this one does not speak the protocol.',
  ),
  'answer.not_replica': entry<{ node: string; term: bigint }>(
    'fault',
    (f) => `${f.node} answered, but is no replica of the placement of term ${f.term}.`,
    'Ask a replica of the placement.',
  ),
  'answer.placement_ended': entry<{ ended: bigint; now: bigint }>(
    'unavailable',
    (f) => `The placement ended at ${f.ended}; it is ${f.now} here.`,
    'Ask the anchors for the placement in force.',
  ),
  'answer.state_unconfirmed': entry<{ got: number; needed: number; n: bigint; root: string }>(
    'fault',
    (f) => `${f.got} replicas signed root ${f.root} at ${f.n}, ${f.needed} needed.`,
    'Ask another replica; the state behind this answer is not that of a majority.',
  ),
} as const
