/** Bugs that can be planted, to show that the checkers see them. Each lives in a port or a wrapped message, not in the product. */

export const BUG_NAMES = [
  'dropFence',
  'skipFsync',
  'voteTwice',
  'forgetLeases',
  'alterCommitted',
  'equivocate',
  'skipEntry',
  'performTwice',
  'clockBeyondBound',
  'forgeRoots',
] as const
export type BugName = (typeof BUG_NAMES)[number]
export type Bugs = Readonly<Partial<Record<BugName, boolean>>>
