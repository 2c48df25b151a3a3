/** Bounds of one exhaustive check: what may happen in it, and how often. */

export type LeaseBounds = {
  /** Longest lease, in ticks of one ε. */
  readonly length: number
  /** Begin and length of the leases that proposers ask votes for, seen from the moment of the first vote. */
  readonly begins: readonly number[]
  readonly lengths: readonly number[]
  /** Anchors report without voting afterwards. Voting alone also enters a term, so reports add little where no journal is. */
  readonly reports: boolean
  readonly releases: boolean
  /** Anchors crash and start again. Until they settled, their wall clock may show this much more than the true time. */
  readonly restarts: { readonly count: number; readonly clockAhead: number } | undefined
  /** Executors ask for their lease, and for more of it once that is due. Without them a lease only binds anchors. */
  readonly executors: boolean
  readonly renewals: boolean
  readonly executorsCrash: boolean
  /** The executor's wall clock may stand still after it asked for a lease: only its monotonic clock goes on. */
  readonly stalledClock: boolean
}

export type Profile = {
  readonly name: string
  readonly about: string
  /** Terms with the epoch of their home set in the upper bits, in rising order. */
  readonly terms: readonly bigint[]
  /** Longest journal; zero when only leases are looked at. */
  readonly entries: number
  /** What an equivocating executor signs for one place, and an equivocating proposer for one term. */
  readonly entryVariants: number
  readonly bodyVariants: number
  /** Keeps every difference between states, also those that only broken rules could tell apart. */
  readonly exact: boolean
  /** Anchors may store a certificate without signing anything for it. */
  readonly storing: boolean
  /** Without leases time stands still and every lease runs. */
  readonly leases: LeaseBounds | undefined
}
