/** How the ledger of health rests on disk: a row per node, a row per judged period, a row per proof of a lie. */
import {
  type Address,
  address,
  type CertifiedPenalty,
  certifiedPenaltyShape,
  HEALTH_LIMITS,
  HEALTH_STATES,
  type HealthState,
  type HeardDrain,
  integer,
  listOf,
  type PeriodInfo,
  periodShape,
  record,
  type SampleConflict,
  type Shape,
  type Standing,
  sampleConflictShape,
  signedDrainShape,
  text,
  uint,
} from '@smartlayer/protocol'
import { decodeJson, encodeJson } from '../election/record-store.ts'
import type { Store, Write } from '../ports/store.ts'

const NODE_PREFIX = 'health/node/'
const PERIOD_PREFIX = 'health/period/'
const CONFLICT_PREFIX = 'health/conflict/'
const SIGNED_KEY = 'health/signed'
/** A score on disk, in parts of a million. */
const SCORE_PARTS = 1_000_000

/** What is kept of one node beside its periods. */
export type NodeRow = {
  readonly standing: Standing
  readonly drains: readonly HeardDrain[]
  readonly penalties: readonly CertifiedPenalty[]
}

const heardDrainShape = record({ signed: signedDrainShape, heard: uint(64) })
export const heardDrainsShape = listOf(heardDrainShape, HEALTH_LIMITS.drains)
const nodeRowShape = record({
  standing: record({
    state: text(16),
    score: integer(0, SCORE_PARTS),
    misses: integer(0, 1_000),
    window: uint(64),
    until: uint(64),
  }),
  drains: heardDrainsShape,
  penalties: listOf(certifiedPenaltyShape, HEALTH_LIMITS.penalties),
})
const signedShape = record({ window: uint(64) })

export class LedgerStore {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  nodes(): readonly (readonly [Address, NodeRow])[] {
    return this.#rows(NODE_PREFIX, HEALTH_LIMITS.nodes).map(([key, value]) => {
      const { standing, drains, penalties } = nodeRowShape.parse(decodeJson(value), key)
      const state = HEALTH_STATES.find((name) => name === standing.state) ?? ('healthy' satisfies HealthState)
      return [
        addressOf(key, NODE_PREFIX),
        { standing: { ...standing, state, score: standing.score / SCORE_PARTS }, drains, penalties },
      ]
    })
  }

  /** Judged periods of a node, in order. */
  periods(node: Address): readonly PeriodInfo[] {
    return this.#parsed(`${PERIOD_PREFIX}${node}/`, HEALTH_LIMITS.periods + 1, periodShape)
  }

  conflicts(): readonly SampleConflict[] {
    return this.#parsed(CONFLICT_PREFIX, HEALTH_LIMITS.conflicts, sampleConflictShape)
  }

  /** The last window that this anchor signed samples for. */
  get signed(): bigint {
    const row = this.#store.get(SIGNED_KEY)
    return row ? signedShape.parse(decodeJson(row), SIGNED_KEY).window : 0n
  }

  commit(writes: readonly Write[]): Promise<void> {
    return this.#store.commit(writes)
  }

  /** The write that forgets all but the newest periods of a node, when there are too many. */
  surplus(node: Address): readonly Write[] {
    const from = `${PERIOD_PREFIX}${node}/`
    const rows = this.#store.range({ from, to: `${from}~`, limit: 2 * HEALTH_LIMITS.periods })
    return rows.slice(0, -HEALTH_LIMITS.periods).map(([key]) => ({ key, value: undefined }))
  }

  #parsed<T>(prefix: string, limit: number, shape: Shape<T>): readonly T[] {
    return this.#rows(prefix, limit).map(([key, value]) => shape.parse(decodeJson(value), key))
  }

  #rows(prefix: string, limit: number): ReturnType<Store['range']> {
    return this.#store.range({ from: prefix, to: `${prefix}~`, limit })
  }
}

export function nodeWrite(node: Address, { standing, drains, penalties }: NodeRow): Write {
  const score = Math.round(standing.score * SCORE_PARTS)
  const value = encodeJson(nodeRowShape.toJson({ standing: { ...standing, score }, drains, penalties }))
  return { key: NODE_PREFIX + node, value }
}

export function periodWrite(node: Address, period: PeriodInfo): Write {
  const key = `${PERIOD_PREFIX}${node}/${String(period.start).padStart(20, '0')}`
  return { key, value: encodeJson(periodShape.toJson(period)) }
}

/** One proof of each liar is enough. */
export function conflictWrite(conflict: SampleConflict): Write {
  const key = CONFLICT_PREFIX + conflict.first.sample.prober
  return { key, value: encodeJson(sampleConflictShape.toJson(conflict)) }
}

export function signedWrite(window: bigint): Write {
  return { key: SIGNED_KEY, value: encodeJson(signedShape.toJson({ window })) }
}

function addressOf(key: string, prefix: string): Address {
  return address.parse(key.slice(prefix.length), 'key')
}
