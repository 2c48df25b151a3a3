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
  /** Until an anchor settled after a crash, its wall clock may show this much more than the true time. */
  readonly clockAhead: number
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
  /** Home sets one after the other, each by the honest anchors that sit in it. */
  readonly homes: readonly (readonly number[])[]
  /** How often anchors crash and start again, all together. */
  readonly crashes: number
  /** Anchors that sit in later sets only started a moment ago, and their clocks may be this far ahead until they settled. */
  readonly newcomersAhead: number
  /** As production makes them, with the home epoch in the upper bits, in rising order. */
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
