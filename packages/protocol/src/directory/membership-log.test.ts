import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Bytes32 } from '../primitives/bytes.ts'
import { accepted, type Verdict } from '../primitives/verdict.ts'
import type { Member } from './membership.ts'
import {
  appendBlock,
  compact,
  finalizeTo,
  type LogBlock,
  type MembershipLog,
  membersAt,
  openMembershipLog,
  type RegistryEvent,
} from './membership-log.ts'
import { idNumber, memberNumber } from './testing.ts'

const START = { number: 100n, hash: idNumber(100) }
const EMPTY = openMembershipLog(START, [])

function value<T>(verdict: Verdict<T>): T {
  if (!accepted(verdict)) throw new Error(verdict.code)
  return verdict.value
}

/** A block on `parent`; the name makes its hash. */
function blockOn(parent: { number: bigint; hash: Bytes32 }, name: number, ...events: RegistryEvent[]): LogBlock {
  const number = parent.number + 1n
  const placed = events.map((event, i) => ({ block: number, logIndex: 3 * i, event }))
  return { number, hash: idNumber(name), parentHash: parent.hash, events: placed }
}

const joins = (n: number, since = 1n): RegistryEvent => ({ kind: 'registered', member: memberNumber(n), since })
const leaves = (n: number, until: bigint): RegistryEvent => ({ kind: 'leaving', node: memberNumber(n).node, until })

function append(log: MembershipLog, ...blocks: LogBlock[]): MembershipLog {
  return blocks.reduce((grown, block) => value(appendBlock(grown, block)), log)
}

/** Members of an epoch as of a block, by address. */
function nodesAt(log: MembershipLog, block: bigint, epoch: bigint): readonly string[] {
  return value(membersAt(log, { block, epoch })).map(({ node }) => node)
}

function nodes(...numbers: number[]): readonly string[] {
  return numbers.map((n) => memberNumber(n).node).sort()
}

it('reads who is a member of an epoch out of events alone, sorted by address', () => {
  const [first, second] = [blockOn(START, 1, joins(1), joins(2)), { number: 101n, hash: idNumber(1) }]
  const log = append(EMPTY, first, blockOn(second, 2, joins(3, 2n), leaves(1, 2n)))
  const final = value(finalizeTo(log, 102n))
  expect(nodesAt(final, 101n, 1n)).toEqual(nodes(1, 2))
  expect(nodesAt(final, 102n, 1n)).toEqual(nodes(1, 2))
  expect(nodesAt(final, 102n, 2n)).toEqual(nodes(2, 3))
})

it('keeps a node that moved under its new key and endpoints, and one that came back', () => {
  const moved = {
    kind: 'updated',
    node: memberNumber(1).node,
    transportKey: idNumber(7),
    overlay: 'b:2',
    api: 'http://b',
  } as const
  const log = openMembershipLog(
    START,
    [joins(1), leaves(1, 3n), joins(1, 5n), moved].map((event, logIndex) => ({ block: 9n, logIndex, event })),
  )
  const { kind: _, ...places } = moved
  expect(value(membersAt(log, { block: 100n, epoch: 4n }))).toEqual([])
  expect(value(membersAt(log, { block: 100n, epoch: 5n }))).toEqual([{ ...memberNumber(1), ...places }])
})

it('leaves out who is jailed, for the epochs of the sentence or until released', () => {
  const { node } = memberNumber(1)
  const jailed = { kind: 'jailed', node, since: 2n, until: 9n } as const
  const block = blockOn(START, 1, joins(1), jailed)
  const after = blockOn(block, 2, { kind: 'released', node, until: 4n })
  const log = value(finalizeTo(append(EMPTY, block, after), 102n))
  const epochsAs = (of: bigint) => [1n, 2n, 3n, 4n, 8n, 9n].filter((epoch) => nodesAt(log, of, epoch).length > 0)
  expect(epochsAs(101n)).toEqual([1n, 9n])
  expect(epochsAs(102n)).toEqual([1n, 4n, 8n, 9n])
})

it('drops a tail that the chain took back', () => {
  const one = blockOn(START, 1, joins(1))
  const log = append(EMPTY, one, blockOn(one, 2, joins(2)), blockOn(one, 3, joins(3)))
  expect(nodesAt(value(finalizeTo(log, 102n)), 102n, 1n)).toEqual(nodes(1, 3))
})

it('keeps what follows when a block comes twice', () => {
  const one = blockOn(START, 1, joins(1))
  const log = append(EMPTY, one, blockOn(one, 2, joins(2)))
  expect(append(log, one)).toBe(log)
})

it('asks for the blocks between, and for the new parent after a deeper reorganisation', () => {
  const one = blockOn(START, 1)
  const log = append(EMPTY, one)
  const far = { ...blockOn(one, 5), number: 105n }
  expect(appendBlock(log, far)).toMatchObject({ code: 'directory.block_gap', facts: { next: 102n, got: 105n } })
  const other = blockOn({ number: 101n, hash: idNumber(77) }, 6)
  expect(appendBlock(log, other)).toMatchObject({ code: 'directory.block_gap', facts: { next: 101n, got: 102n } })
})

it('refuses a chain that forks off below what is final, and events out of order', () => {
  const one = blockOn(START, 1)
  const log = value(finalizeTo(append(EMPTY, one), 101n))
  expect(appendBlock(log, blockOn({ number: 101n, hash: idNumber(77) }, 6))).toMatchObject({
    verdict: 'reject',
    code: 'directory.block_foreign',
  })
  expect(appendBlock(log, blockOn(START, 8))).toMatchObject({ verdict: 'ignore', code: 'directory.block_foreign' })
  const swapped = blockOn(one, 2, joins(1), joins(2))
  expect(appendBlock(log, { ...swapped, events: swapped.events.toReversed() })).toMatchObject({
    code: 'directory.event_order',
  })
})

it('answers only for blocks that are final', () => {
  const log = append(EMPTY, blockOn(START, 1, joins(1)))
  expect(membersAt(log, { block: 101n, epoch: 1n })).toMatchObject({
    code: 'directory.snapshot_unknown',
    facts: { block: 101n, from: 100n, to: 100n },
  })
})

it('is bounded: blocks beyond the limit wait until the chain finalizes', () => {
  const tail = Array.from({ length: 4_096 }, (_, i) => ({ ...blockOn(START, i), number: 101n + BigInt(i) }))
  const log = { ...EMPTY, tail }
  const tip = log.tail.at(-1)!
  expect(appendBlock(log, blockOn(tip, 9_999))).toMatchObject({ code: 'directory.log_full' })
})

it('comes to the same members folded as unfolded, and forgets who is long gone', () => {
  const one = blockOn(START, 1, joins(1), joins(2), leaves(1, 2n))
  const log = value(finalizeTo(append(EMPTY, one, blockOn(one, 2, joins(3, 2n))), 102n))
  const folded = compact(log, { block: 101n, epoch: 2n })
  expect(folded.registrations.has(memberNumber(1).node)).toBe(false)
  expect(nodesAt(folded, 102n, 3n)).toEqual(nodesAt(log, 102n, 3n))
})

it('never changes a membership that is in force, whatever the tail does', () => {
  type Step = { readonly back: number; readonly joins: number; readonly isFinal: boolean }
  const steps = fc.array(fc.record({ back: fc.nat(4), joins: fc.nat(9), isFinal: fc.boolean() }), { maxLength: 40 })
  fc.assert(
    fc.property(steps, (all: readonly Step[]) => {
      let log = EMPTY
      const inForce: { readonly block: bigint; readonly members: readonly Member[] }[] = []
      for (const [i, step] of all.entries()) {
        const chain = [log.finalized, ...log.tail]
        const parent = chain.at(-1 - Math.min(step.back, chain.length - 1))!
        const block = blockOn(parent, 1_000 + i, joins(step.joins))
        log = append(log, block)
        if (step.isFinal) {
          log = value(finalizeTo(log, block.number))
          inForce.push({ block: block.number, members: value(membersAt(log, { block: block.number, epoch: 1n })) })
        }
        for (const { block, members } of inForce) {
          expect(value(membersAt(log, { block, epoch: 1n }))).toEqual(members)
        }
      }
    }),
    { numRuns: 60 },
  )
})
