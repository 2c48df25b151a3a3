/** Why an instance is not exported, restored, ended or moved to another script. */
import { entry } from '../errors/kind.ts'

export const lifecycleErrors = {
  'lifecycle.retired': entry<{ reason: string; since: bigint }>(
    'denied',
    (f) => `The instance ended (${f.reason}) at ${f.since}: it takes no inputs and no actions any more.`,
    'Read its last state while it is kept; a new token begins anew.',
  ),
  'lifecycle.forgotten': entry<{ until: bigint }>(
    'missing',
    (f) => `The instance ended, and its last state was answered until ${f.until}.`,
    'Use an export that was made in time.',
  ),
  'lifecycle.not_due': entry<{ due: bigint; time: bigint }>(
    'conflict',
    (f) => `The instance expires at ${f.due}; the entry says ${f.time}.`,
    'Wait until it is due.',
  ),
  'lifecycle.no_expiry': entry(
    'invalid',
    () => 'The script declares no expiry for this instance.',
    'Declare one in a later version, or retire the instance as the owner of its contract.',
  ),
  'archive.malformed': entry<{ detail: string }>(
    'invalid',
    (f) => `The archive does not hold together: ${f.detail}.`,
    'Export the instance again, or take another copy of the file.',
  ),
  'archive.nothing': entry<{ token: string }>(
    'missing',
    (f) => `There is nothing to export of ${f.token}: no entry of it is committed.`,
    'Ask its home anchors with sl token where; give it an input first.',
  ),
  'archive.passphrase': entry(
    'denied',
    () => 'The passphrase does not open this file, or the file was changed.',
    'Give the passphrase that the file was exported with.',
  ),
  'restore.behind': entry<{ known: bigint; offered: bigint }>(
    'conflict',
    (f) => `Home anchors know this instance up to entry ${f.known}; the archive proves ${f.offered} only.`,
    'Restore from a newer export, or leave the instance as it is.',
  ),
  'restore.incomplete': entry<{ n: bigint; incarnation: bigint }>(
    'denied',
    (f) =>
      `Nobody can prove that nothing was committed after entry ${f.n}, because its home anchors lost what they knew.`,
    'Let the owner of the contract restore it in its next incarnation (--key).',
  ),
  'restore.forked': entry<{ n: bigint }>(
    'denied',
    (f) =>
      `This anchor stands at an entry ${f.n} that the archive does not have: the instance was begun anew, or it lags.`,
    'Let the owner of the contract restore it in its next incarnation (--key); what was begun anew is dropped.',
  ),
  'restore.elsewhere': entry<{ network: string }>(
    'denied',
    (f) => `The archive comes from network ${f.network}, whose signatures do not count here.`,
    'Let the owner of the contract restore it in its next incarnation (--key).',
  ),
  'restore.incarnation': entry<{ offered: bigint; known: bigint }>(
    'conflict',
    (f) => `Incarnation ${f.offered} is not above ${f.known}, which is known here.`,
    'Restore in a higher incarnation, or from an export of the present one.',
  ),
  'restore.occupied': entry<{ n: bigint }>(
    'conflict',
    (f) => `The instance lives on this network already, up to entry ${f.n}.`,
    'Nothing can be brought in from another network over it.',
  ),
  'restore.no_checkpoint': entry(
    'invalid',
    () => 'The archive holds no checkpoint that an incarnation could begin with.',
    'Export again once a checkpoint was made.',
  ),
  'restore.statement': entry<{ member: string }>(
    'invalid',
    (f) => `The statement of the owner is about another ${f.member} than the archive.`,
    'Sign a statement over exactly this archive.',
  ),
} as const
