/** Why a call, an action or an effect is refused or failed. */
import { entry } from '../errors/kind.ts'

export const executionErrors = {
  'query.unknown_method': entry<{ method: string; token: string }>(
    'missing',
    (f) => `${f.token} declares no query or action "${f.method}".`,
    'Call one of the methods that the declaration in the TokenScript names.',
  ),
  'query.not_serving': entry<{ reason: string }>(
    'unavailable',
    (f) => `This node does not serve the token now: ${f.reason}.`,
    'Ask an anchor for the current placement and take another replica.',
  ),
  'query.behind': entry<{ n: bigint; minN: bigint; sequence: bigint; minSequence: bigint }>(
    'unavailable',
    (f) =>
      `The replica stands at place ${f.n} (asked for ${f.minN}) and at ${f.sequence} of the subset (asked for ${f.minSequence}).`,
    'Ask again, or another replica: what was asked for has not arrived here in time.',
  ),
  'query.too_old': entry<{ ageMs: bigint; maxAgeMs: bigint }>(
    'unavailable',
    (f) => `Its place was last known to be the newest ${f.ageMs} ms ago; at most ${f.maxAgeMs} ms are allowed.`,
    'Ask another replica, or allow a greater age.',
  ),
  'query.not_linearizable': entry<{ reason: string }>(
    'unavailable',
    (f) => `No linearizable answer from here: ${f.reason}.`,
    'Ask the anchors for the placement in force and take its executor.',
  ),
  'query.not_public': entry<{ method: string; scope: string }>(
    'denied',
    (f) => `"${f.method}" is not for everybody: it needs the scope ${f.scope}.`,
    'Send a signed query with a grant.',
  ),
  'query.unanswered': entry<{ token: string; failures: readonly { node: string; code: string; why: string }[] }>(
    'unavailable',
    (f) => `No replica of ${f.token} gave an answer: ${f.failures.map(({ node, why }) => `${node}: ${why}`).join(' ')}`,
    'See what each replica failed with; ask again when they are back.',
  ),
  'query.arguments': entry<{ at: string; detail: string }>(
    'invalid',
    (f) => `Argument ${f.at}: ${f.detail}.`,
    'Send arguments of the declared shape.',
  ),
  'effect.unknown': entry<{ effect: string }>(
    'invalid',
    (f) => `The script declares no effect "${f.effect}".`,
    'Declare it under effects.',
  ),
  'effect.lease_over': entry(
    'conflict',
    () => 'The lease is too short for the call; nothing was sent.',
    'The executor renews its lease, or another one continues.',
  ),
  'effect.host': entry<{ host: string }>(
    'denied',
    (f) => `The script does not declare host ${f.host}.`,
    'Declare the host of the effect.',
  ),
  'effect.no_secret': entry<{ name: string }>(
    'missing',
    (f) => `Secret ${f.name} is not set on this node.`,
    'sl secrets set NAME, as the owner of the contract.',
  ),
  'effect.answer_unsigned': entry<{ host: string }>(
    'denied',
    (f) => `${f.host} did not sign its answer with the key that the token declares.`,
    'Correct the key in the manifest, or the signature of the outside system.',
  ),
  'effect.too_many': entry<{ limit: number }>(
    'invalid',
    (f) => `The handler asked for more than ${f.limit} effects that have no outcome yet.`,
    'Ask for fewer effects at a time.',
  ),
  'state.too_large': entry<{ bytes: number; limit: number }>(
    'invalid',
    (f) => `The state would have ${f.bytes} bytes; ${f.limit} are allowed.`,
    'Keep less in the state; refer to large content by CID.',
  ),
} as const
