/** Epochs: when each starts, when its registration closes, and after which moment its beacon is drawn. Times in seconds. */

export type Schedule = {
  /** Epoch 1 starts here. */
  readonly genesisS: bigint
  readonly lengthS: bigint
  /** Registration for an epoch closes this long before the epoch starts; for epoch 1 at genesis. Shorter than an epoch. */
  readonly closingS: bigint
}

/** The epoch at a time; 0 before genesis. */
export function epochAt({ genesisS, lengthS }: Schedule, timeS: bigint): bigint {
  return timeS < genesisS ? 0n : (timeS - genesisS) / lengthS + 1n
}

export function startOf({ genesisS, lengthS }: Schedule, epoch: bigint): bigint {
  return genesisS + (epoch - 1n) * lengthS
}

/** The last second in which a registration still counts for this epoch. */
export function closesAt(schedule: Schedule, epoch: bigint): bigint {
  return epoch === 1n ? schedule.genesisS : startOf(schedule, epoch) - schedule.closingS
}

/** The first finalized block later than this gives the epoch's beacon: who registered could not know it. */
export function beaconAfter(schedule: Schedule, epoch: bigint): bigint {
  return closesAt(schedule, epoch)
}

/** The first epoch for which a change at this time counts. */
export function openEpochAt(schedule: Schedule, timeS: bigint): bigint {
  const { genesisS, lengthS, closingS } = schedule
  if (timeS <= genesisS) return 1n
  return (timeS - genesisS + closingS + lengthS - 1n) / lengthS + 1n
}
