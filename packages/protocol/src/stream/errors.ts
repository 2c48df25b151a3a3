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
    'The issuer must start a new epoch: sl attest epoch --reason fork.',
  ),
  'stream.identity': entry(
    'invalid',
    () => 'Stream, context or lane do not belong to this issuer and token type.',
    'Derive stream and context from issuer, token type and lane.',
  ),
  'stream.kind': entry<{ kind: string }>(
    'invalid',
    (f) => `An issuer's stream takes no entry of kind ${f.kind}.`,
    'Publish facts, revocations and epochs; outcomes and attempts come from executors.',
  ),
  'stream.body': entry<{ kind: string; expected: string }>(
    'invalid',
    (f) => `The body of this ${f.kind} entry is not what it must be: ${f.expected}.`,
    'See docs/spec/stream.md for the body of each kind.',
  ),
  'stream.key': entry<{ expected: string; got: string }>(
    'denied',
    (f) => `${f.expected} signs in this epoch of the stream, not ${f.got}.`,
    'Sign with the key that the epoch names, or open a new epoch with the issuer key.',
  ),
  'stream.pruned': entry<{ floor: bigint; asked: bigint }>(
    'missing',
    (f) => `Entries up to ${f.floor} were pruned; you asked for what follows ${f.asked}.`,
    'Start again from the checkpoint that came with this answer.',
  ),
  'stream.checkpoint': entry<{ detail: string }>(
    'denied',
    (f) => `The checkpoint or its proof does not hold: ${f.detail}.`,
    'Ask another home anchor.',
  ),
  'stream.not_home': entry<{ stream: string }>(
    'missing',
    (f) => `This node holds no entries of stream ${f.stream}.`,
    'Ask one of its home anchors.',
  ),
  'stream.subscribers': entry<{ limit: number }>(
    'unavailable',
    (f) => `${f.limit} subscriptions are open here, which is the most.`,
    'Subscribe at another anchor, or wait.',
  ),
  'stream.slow': entry<{ seconds: number }>(
    'unavailable',
    (f) => `The subscriber took nothing for ${f.seconds} s although entries were waiting.`,
    'Read faster, and subscribe again from the last cursor: nothing is lost.',
  ),
  'stream.not_forked': entry<{ stream: string }>(
    'missing',
    (f) => `No fork of stream ${f.stream} is known here.`,
    'Nothing to do: the issuer signed one entry for each place.',
  ),
  'stream.no_checkpoint': entry<{ stream: string }>(
    'missing',
    (f) => `Stream ${f.stream} has no cosigned checkpoint here yet.`,
    'Read from the beginning; home anchors cosign a checkpoint after some entries or seconds.',
  ),
  'stream.batch': entry<{ detail: string }>(
    'invalid',
    (f) => `The entries are not one run of one stream: ${f.detail}.`,
    'Send consecutive entries of one stream, in order.',
  ),
  'stream.too_long': entry<{ limit: bigint }>(
    'denied',
    (f) => `A stream holds at most ${f.limit} entries.`,
    'Publish in another lane.',
  ),
  'stream.state_missing': entry<{ stream: string; sequence: bigint; path: string }>(
    'conflict',
    (f) => `Stream ${f.stream} stands at ${f.sequence}, but ${f.path} is not there: what it kept unsent may be lost.`,
    'Bring it back. Without it open a new epoch (--new-epoch), or go on (--continue) if nothing signed was left unsent.',
  ),
  'stream.state_behind': entry<{ stream: string; sequence: bigint; known: bigint; pending: number; path: string }>(
    'conflict',
    (f) =>
      `Stream ${f.stream} stands at ${f.sequence} with entries that ${f.path} does not know (its last is ${f.known}, ${f.pending} unsent): another process signs in it, or the file is an old copy.`,
    'Let one process sign. Then open a new epoch (--new-epoch), or go on (--continue) if nothing signed was left unsent.',
  ),
  'stream.state_damaged': entry<{ path: string; line: number; detail: string }>(
    'fault',
    (f) => `${f.path} is damaged at line ${f.line}: ${f.detail}.`,
    'Bring back its newest copy. Without it open a new epoch (--new-epoch).',
  ),
  'stream.unconfirmed': entry<{ sequence: bigint; reason: string }>(
    'unavailable',
    (f) => `Entry ${f.sequence} is signed and kept, but has no receipt yet: ${f.reason}`,
    'Do not sign it again: it is sent first when the issuer is used again.',
  ),
  'stream.epoch_needed': entry<{ sequence: bigint; reason: string }>(
    'denied',
    (f) => `A new epoch must begin after entry ${f.sequence}: ${f.reason}`,
    "Open it with the issuer's own key (--issuer-key).",
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
