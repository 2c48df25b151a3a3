/** Why one token does not read another, and why a message between tokens is not delivered. */
import { entry } from '../errors/kind.ts'

export const compositionErrors = {
  'read.cycle': entry<{ chain: string }>(
    'invalid',
    (f) => `The reads lead back to where they began: ${f.chain}.`,
    'Take one of these reads out of the declarations, or read a query that has no reads of its own.',
  ),
  'read.too_deep': entry<{ chain: string; limit: number }>(
    'invalid',
    (f) => `Reads may lead over ${f.limit} tokens; these lead further: ${f.chain}.`,
    'Read the token at the end of the chain directly.',
  ),
  'read.no_target': entry<{ name: string; detail: string }>(
    'missing',
    (f) => `Nobody can tell which token the read "${f.name}" is of: ${f.detail}.`,
    'Have the state name the token, or declare the read as optional.',
  ),
  'read.failed': entry<{ name: string; token: string; code: string; why: string }>(
    'unavailable',
    (f) => `The part "${f.name}" of the answer, from ${f.token}, is missing: ${f.why}`,
    'Ask again; an issuer may declare the read as optional.',
  ),
  'read.refused': entry<{ name: string; token: string; code: string; why: string }>(
    'denied',
    (f) => `The part "${f.name}" of the answer, from ${f.token}, is refused: ${f.why}`,
    'Correct the declaration of the read; asking again does not help.',
  ),
  'read.torn': entry<{ instance: string; n: bigint; other: bigint }>(
    'unavailable',
    (f) => `The parts come from places ${f.n} and ${f.other} of one instance, ${f.instance}.`,
    'Ask again: the instance moved on while it was read.',
  ),
  'read.too_large': entry<{ what: string; limit: number }>(
    'invalid',
    (f) => `The answer would have more ${f.what} than ${f.limit}.`,
    'Read less of other tokens, or in more than one query.',
  ),
  'read.part': entry<{ name: string; why: string }>(
    'denied',
    (f) => `The part "${f.name}" of the answer does not hold: ${f.why}`,
    'Ask another replica; report this one.',
  ),
  'delivery.proof': entry<{ detail: string }>(
    'denied',
    (f) => `The message or its receipt does not hold: ${f.detail}.`,
    'Deliver it with the signatures of a majority of the replicas that hold it.',
  ),
  'delivery.order': entry<{ next: bigint; got: bigint }>(
    'conflict',
    (f) => `Message ${f.next} of this sender is next; this is ${f.got}.`,
    'Deliver the messages to one receiver in their order, each after the receipt of the one before.',
  ),
  'delivery.not_accepted': entry(
    'denied',
    () => 'The receiver declares no message of this name from this contract.',
    'Have the issuer of the receiver declare it under messages.',
  ),
  'delivery.unknown': entry<{ name: string }>(
    'invalid',
    (f) => `The script declares no message "${f.name}" to this token.`,
    'Declare it under sends, with the contract of the receiver.',
  ),
  'delivery.too_many_hops': entry<{ limit: number }>(
    'denied',
    (f) => `More than ${f.limit} messages followed from one another.`,
    'Break the ring of tokens that answer each other.',
  ),
  'delivery.outbox_full': entry<{ limit: number }>(
    'conflict',
    (f) => `More than ${f.limit} messages have no receipt yet.`,
    'Send fewer at a time; receivers that sleep wake up first.',
  ),
  'delivery.too_many_correspondents': entry<{ limit: number }>(
    'denied',
    (f) => `More than ${f.limit} tokens exchange messages with this one.`,
    'Gather at a token in between.',
  ),
} as const
