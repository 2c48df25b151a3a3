import fc from 'fast-check'
import { expect, it } from 'vitest'
import { membersAt, type PlacedEvent, type RegistryEvent } from './membership-log.ts'
import { idNumber, memberNumber } from './testing.ts'

const joins = (n: number, since = 1n): RegistryEvent => ({ kind: 'registered', member: memberNumber(n), since })
const leaves = (n: number, until: bigint): RegistryEvent => ({ kind: 'leaving', node: memberNumber(n).node, until })

function inBlock(block: bigint, ...events: RegistryEvent[]): readonly PlacedEvent[] {
  return events.map((event, i) => ({ block, logIndex: 3 * i, event }))
}

/** Members of an epoch as of a block, by address. */
function nodesAt(events: readonly PlacedEvent[], block: bigint, epoch: bigint): readonly string[] {
  return membersAt(events, { block, epoch }).map(({ node }) => node)
}

function nodes(...numbers: number[]): readonly string[] {
  return numbers.map((n) => memberNumber(n).node).sort()
}

it('reads who is a member of an epoch out of events alone, sorted by address', () => {
  const events = [...inBlock(101n, joins(1), joins(2)), ...inBlock(102n, joins(3, 2n), leaves(1, 2n))]
  expect(nodesAt(events, 101n, 1n)).toEqual(nodes(1, 2))
  expect(nodesAt(events, 102n, 1n)).toEqual(nodes(1, 2))
  expect(nodesAt(events, 102n, 2n)).toEqual(nodes(2, 3))
})

it('keeps a node that moved under its new key and endpoints, and one that came back', () => {
  const moved = {
    kind: 'updated',
    node: memberNumber(1).node,
    transportKey: idNumber(7),
    overlay: 'b:2',
    api: 'http://b',
  } as const
  const events = inBlock(9n, joins(1), leaves(1, 3n), joins(1, 5n), moved)
  const { kind: _, ...places } = moved
  expect(membersAt(events, { block: 100n, epoch: 4n })).toEqual([])
  expect(membersAt(events, { block: 100n, epoch: 5n })).toEqual([{ ...memberNumber(1), ...places }])
})

it('leaves out who is jailed, for the epochs of the sentence or until released', () => {
  const { node } = memberNumber(1)
  const jailed = { kind: 'jailed', node, since: 2n, until: 9n } as const
  const events = [...inBlock(101n, joins(1), jailed), ...inBlock(102n, { kind: 'released', node, until: 4n })]
  const epochsAs = (of: bigint) => [1n, 2n, 3n, 4n, 8n, 9n].filter((epoch) => nodesAt(events, of, epoch).length > 0)
  expect(epochsAs(101n)).toEqual([1n, 9n])
  expect(epochsAs(102n)).toEqual([1n, 4n, 8n, 9n])
})

it('never changes a membership that is in force, whatever happens later', () => {
  const blocks = fc.array(fc.array(fc.tuple(fc.nat(9), fc.boolean()), { maxLength: 4 }), { maxLength: 20 })
  fc.assert(
    fc.property(blocks, fc.nat(20), (all, snapshot) => {
      const events = all.flatMap((changes, i) =>
        inBlock(BigInt(i), ...changes.map(([n, isNew]) => (isNew ? joins(n) : leaves(n, 2n)))),
      )
      const at = { block: BigInt(snapshot), epoch: 2n }
      const untilThen = events.filter(({ block }) => block <= at.block)
      expect(membersAt(events, at)).toEqual(membersAt(untilThen, at))
    }),
    { numRuns: 60 },
  )
})
