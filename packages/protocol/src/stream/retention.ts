/** How long a stream keeps its entries, as its token declares it; checkpoints and heads stay in any case. */

/** `latest`: beyond the hot window only the last entry of each subset. `days`: nothing older than that many days. */
export type Retention =
  | { readonly keep: 'all' }
  | { readonly keep: 'latest' }
  | { readonly keep: 'days'; readonly days: number }

export const KEEP_ALL: Retention = { keep: 'all' }
export const RETENTION_DAYS_LIMIT = 3_650

/** Reads `all`, `latest` or `30 days`; undefined for anything else. */
export function parseRetention(text: string): Retention | undefined {
  if (text === 'all' || text === 'latest') return { keep: text }
  const days = Number(/^([1-9]\d{0,3}) days?$/.exec(text)?.[1])
  return days >= 1 && days <= RETENTION_DAYS_LIMIT ? { keep: 'days', days } : undefined
}

/** Of two classes that are declared for one stream the one that keeps more. */
export function longest(a: Retention, b: Retention): Retention {
  if (a.keep === 'all' || b.keep === 'all') return KEEP_ALL
  if (a.keep === 'days' && b.keep === 'days') return a.days >= b.days ? a : b
  return a.keep === 'days' ? a : b
}

export type FloorInput = {
  readonly retention: Retention
  /** Size of the newest cosigned checkpoint: nothing above it is ever dropped. */
  readonly checkpoint: bigint
  /** The last place whose entry is older than the hot window, and than the days of the class. */
  readonly lastBefore: (ageS: bigint) => bigint
  /** The lowest cursor that was promised to a follower. */
  readonly promised: bigint | undefined
  readonly hotS: bigint
}

/** The place up to which a stream may be pruned now; 0 means that nothing may go. */
export function floorOf({ retention, checkpoint, lastBefore, promised, hotS }: FloorInput): bigint {
  if (retention.keep === 'all') return 0n
  const ageS = retention.keep === 'days' ? BigInt(retention.days) * 86_400n : hotS
  return [checkpoint, promised ?? checkpoint, lastBefore(ageS > hotS ? ageS : hotS)].reduce((least, each) =>
    each < least ? each : least,
  )
}
