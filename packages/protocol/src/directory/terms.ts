/** Terms name their home epoch in the upper bits, so that every term of a later home is above all terms of an earlier one. */

const COUNTER_BITS = 32n

export function epochOfTerm(term: bigint): bigint {
  return term >> COUNTER_BITS
}

/** The lowest term of a home epoch. */
export function firstTermOf(homeEpoch: bigint): bigint {
  return homeEpoch << COUNTER_BITS
}

/** For people: `epoch.counter`. */
export function formatTerm(term: bigint): string {
  return `${epochOfTerm(term)}.${term - firstTermOf(epochOfTerm(term))}`
}
