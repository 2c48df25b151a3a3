/** Terms name their home epoch: the upper bits say whose votes count, the lower ones number the elections of that home set. */

const COUNTER_BITS = 32n

/** The home epoch in which a term belongs: only the home set of that epoch votes in it. */
export function epochOfTerm(term: bigint): bigint {
  return term >> COUNTER_BITS
}

/** Below every term of this epoch and above every term of earlier ones; no placement ever has it. */
export function floorOfEpoch(epoch: bigint): bigint {
  return epoch << COUNTER_BITS
}

/** For people: `epoch.counter`. */
export function formatTerm(term: bigint): string {
  return `${epochOfTerm(term)}.${term - floorOfEpoch(epochOfTerm(term))}`
}
