/** Bugs that a soak plants in every node: one that does not find them is worth nothing. */
import type { Patch } from '@smartlayer/cli'

export const BREAKS = {
  /** What was acknowledged is gone after a restart: unnoticed while the others have it, and lost when all of them restart. */
  volatile: [
    {
      file: /node\/src\/main\.ts$/,
      find: "SegmentLog.open(join(config.folder, 'streams'))",
      replace: "SegmentLog.open(join(config.folder, 'streams', String(process.pid)))",
    },
  ],
  /** Who goes on from a cursor misses an entry now and then. */
  cursor: [
    {
      file: /node\/src\/api\/stream-routes\.ts$/,
      find: 'return { stream, subset, after: BigInt(asked.after) }',
      replace: "return { stream, subset, after: BigInt(asked.after) + (asked.after.endsWith('7') ? 1n : 0n) }",
    },
  ],
} as const satisfies Record<string, readonly Patch[]>
export type Break = keyof typeof BREAKS
