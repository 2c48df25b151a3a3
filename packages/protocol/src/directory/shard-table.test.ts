import fc from 'fast-check'
import { expect, it } from 'vitest'
import { nobleCrypto } from '../primitives/crypto.ts'
import { type DirectoryView, homeOfShard } from './home.ts'
import { buildShards, carryShards, changeOf, emptyTable, homeIn, type ShardTable } from './shard-table.ts'
import { memberNumber, membersUpTo, viewAt } from './testing.ts'

const { keccak } = nobleCrypto
const SHARDS = 24
const PARAMETERS = { rotation: 5, homeSize: 4, shardCount: SHARDS }

function built(view: DirectoryView): ShardTable {
  const table = emptyTable(view)
  buildShards(table, { from: 0, to: SHARDS }, keccak)
  return table
}

it('holds the home of every shard, also when built in slices', () => {
  const view = viewAt(7, membersUpTo(12), PARAMETERS)
  const table = emptyTable(view)
  for (let from = 0; from < SHARDS; from += 5) buildShards(table, { from, to: Math.min(SHARDS, from + 5) }, keccak)
  for (let shard = 0; shard < SHARDS; shard++) {
    expect(homeIn(table, shard)).toEqual(homeOfShard(shard, view, keccak))
  }
})

it('is the same carried on as built anew, whoever joins, leaves or weighs something else, and over draws', () => {
  const anchors = fc.uniqueArray(fc.record({ n: fc.nat(11), weight: fc.integer({ min: 9, max: 12 }) }), {
    selector: ({ n }) => n,
    maxLength: 12,
  })
  const step = fc.record({ anchors, epochs: fc.integer({ min: 0, max: 7 }) })
  fc.assert(
    fc.property(fc.array(step, { minLength: 2, maxLength: 5 }), (steps) => {
      let epoch = 1
      let table: ShardTable | undefined
      for (const { anchors, epochs } of steps) {
        epoch += epochs
        const view = viewAt(
          epoch,
          anchors.map(({ n, weight }) => memberNumber(n, weight)),
          PARAMETERS,
        )
        const whole = built(view)
        if (table) {
          const change = changeOf(table, view)
          carryShards(change, { from: 0, to: SHARDS }, keccak)
          expect(change.after.seats).toEqual(whole.seats)
          expect(change.after.keys).toEqual(whole.keys)
        }
        table = whole
      }
    }),
    { numRuns: 150 },
  )
})
