/** Why a stream does not take an entry. */
import { entry } from '../errors/kind.ts'

export const streamErrors = {
  'stream.already_known': entry<{ sequence: bigint }>(
    'conflict',
    (f) => `Entry ${f.sequence} is in the stream already.`,
    'Nothing to do: it was accepted before.',
  ),
  'stream.sequence_gap': entry<{ next: bigint; got: bigint }>(
    'conflict',
    (f) => `The stream continues at ${f.next}, not ${f.got}.`,
    'Publish the entries between first, in order.',
  ),
  'stream.predecessor': entry<{ expected: string; got: string }>(
    'conflict',
    (f) => `The entry names predecessor ${f.got}; the head is ${f.expected}.`,
    'Read the head of the stream and sign again.',
  ),
  'stream.epoch': entry<{ current: bigint; got: bigint }>(
    'conflict',
    (f) => `The stream is in epoch ${f.current}; the entry is for ${f.got}.`,
    'Sign for the current epoch.',
  ),
  'stream.subset': entry<{ next: bigint; got: bigint }>(
    'conflict',
    (f) => `The subset continues at ${f.next}, not ${f.got}, or its predecessor differs.`,
    'Read the head of the subset and sign again.',
  ),
  'stream.fork': entry<{ sequence: bigint }>(
    'fault',
    (f) => `The issuer signed two different entries at ${f.sequence}; both are kept as proof.`,
    'The stream is frozen after its last receipted place; the issuer must start a new epoch.',
  ),
  'stream.frozen': entry<{ sequence: bigint }>(
    'denied',
    (f) => `The stream is frozen after ${f.sequence}: its issuer forked it.`,
    'The issuer must start a new epoch.',
  ),
  'stream.identity': entry(
    'invalid',
    () => 'Stream, context or lane do not belong to this issuer and token type.',
    'Derive stream and context from issuer, token type and lane.',
  ),
  'stream.unknown': entry<{ stream: string }>(
    'missing',
    (f) => `No entry of stream ${f.stream} is known here.`,
    'Check issuer, token type and lane.',
  ),
  'stream.no_quorum': entry<{ got: number; needed: number; of: number }>(
    'unavailable',
    (f) => `${f.got} of ${f.of} home anchors signed a receipt, ${f.needed} needed.`,
    'Send it again: publishing the same entry twice is safe.',
  ),
} as const
