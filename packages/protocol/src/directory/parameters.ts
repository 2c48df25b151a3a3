/** What a network fixes once for its directory: how many shards, how large homes are, how fast they are drawn anew, what stake weighs. */

export type WeightRule = {
  /** Stake that makes one unit of weight. */
  readonly unit: bigint
  /** No node weighs more, whatever it staked. At most `WEIGHT_LIMIT`. */
  readonly cap: number
}

export type DirectoryParameters = {
  readonly shardCount: number
  /** R: the salt of one shard in R is drawn anew in each epoch. */
  readonly rotation: number
  /** m: anchors in a home. */
  readonly homeSize: number
  /** About how many service nodes share a cell; there is one cell while fewer than twice as many are registered. */
  readonly nodesPerCell: number
  readonly weight: WeightRule
}

/** One unit is a tenth of the minimum stake, so that a node weighs 10 or more and rounding costs it at most a tenth. */
export const STAKE_WEIGHT: WeightRule = { unit: 10n ** 19n, cap: 2 ** 14 }

export const NETWORK_DIRECTORY: DirectoryParameters = {
  shardCount: 2 ** 18,
  rotation: 30,
  homeSize: 7,
  nodesPerCell: 100,
  weight: STAKE_WEIGHT,
}

export const LOCAL_DIRECTORY: DirectoryParameters = { ...NETWORK_DIRECTORY, shardCount: 256, homeSize: 4 }

/** How long epochs of a local network are, and how long before each its registration closes; genesis is the registry's. */
export const LOCAL_EPOCHS = { lengthS: 300n, closingS: 60n } as const

/** Most home anchors of one shard. */
export const HOME_LIMIT = 31
