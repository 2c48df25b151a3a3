/** Bugs that a soak of the network plants in every node: one that does not find them is worth nothing. */
import type { Patch } from '@smartlayer/cli'

export const BREAKS = {
  /** What was signed and stored is gone after a restart. */
  volatile: [
    {
      file: /node\/src\/main\.ts$/,
      find: "new SqliteStore(join(config.folder, 'store.db'))",
      replace: "new SqliteStore(join(config.folder, 'store.db' + process.pid))",
    },
  ],
  /** A call that may have been made is made again, whatever the token says of it. */
  'retry-uncertain': [
    {
      file: /protocol\/src\/execution\/effects\.ts$/,
      find: 'return policy.idempotent\n    ?',
      replace: 'return policy.attempts > 0\n    ?',
    },
  ],
  /** Each executor has keys of its own: who honours them sees something new. */
  'fresh-key': [
    {
      file: /node\/src\/adapters\/http-egress\.ts$/,
      find: "'idempotency-key': outbound.effect,",
      replace: "'idempotency-key': outbound.effect.slice(0, 58) + String(outbound.term).padStart(8, '0'),",
    },
  ],
  /** Every replica alike forgets to call the script for some entries: the state misses what was acknowledged. */
  'lost-update': [
    {
      file: /protocol\/src\/execution\/instance\.ts$/,
      find: 'return followed && !checked.unseen',
      replace: 'return followed && !checked.unseen && entry.n % 10n !== 0n',
    },
  ],
} as const satisfies Record<string, readonly Patch[]>
