import { expect, it } from 'vitest'
import { nobleCrypto } from '../primitives/crypto.ts'
import type { Member } from './membership.ts'
import { LOCAL_DIRECTORY } from './parameters.ts'
import { type ServiceView, serviceOrderOf, serviceViewOf } from './service-order.ts'
import { beaconsUpTo, idNumber, memberNumber, membersUpTo } from './testing.ts'

const { keccak } = nobleCrypto
const ROTATION = 10
const PARAMETERS = { ...LOCAL_DIRECTORY, rotation: ROTATION, nodesPerCell: 20, shardCount: 256 }

function viewAt(epoch: number, members: readonly Member[]): ServiceView {
  return serviceViewOf(
    { epoch: BigInt(epoch), members },
    { beacons: beaconsUpTo(epoch), parameters: PARAMETERS },
    keccak,
  )
}

function cellNumbers({ cells }: ServiceView): Map<string, number> {
  return new Map(cells.flatMap(({ nodes }, cell) => nodes.map(({ node }) => [node, cell] as const)))
}

it('asks all service nodes, and no anchor, while the network is small', () => {
  const view = viewAt(1, [...membersUpTo(39, 'service'), memberNumber(99)])
  const order = serviceOrderOf({ token: idNumber(1), shard: 5 }, view, keccak)
  expect(new Set(order)).toEqual(new Set(membersUpTo(39, 'service')))
})

it('gives every token an order of its own', () => {
  const view = viewAt(1, membersUpTo(10, 'service'))
  const firsts = Array.from(
    { length: 200 },
    (_, n) => serviceOrderOf({ token: idNumber(n), shard: 5 }, view, keccak)[0],
  )
  expect(new Set(firsts).size).toBe(10)
})

it('asks only the cell of the shard in a large network, and every node has exactly one cell', () => {
  const view = viewAt(1, membersUpTo(400, 'service'))
  expect(view.cells.length).toBe(20)
  const nodes = view.cells.flatMap((cell) => cell.nodes)
  expect([nodes.length, new Set(nodes).size]).toEqual([400, 400])
  const asked = new Set(
    Array.from({ length: 256 }, (_, shard) => serviceOrderOf({ token: idNumber(1), shard }, view, keccak)).map((o) =>
      view.cells.findIndex((cell) => cell.nodes.includes(o[0]!) && cell.nodes.length === o.length),
    ),
  )
  expect(asked.size).toBe(20)
})

it('moves one node in R to another cell per epoch', () => {
  const members = membersUpTo(2_000, 'service')
  const [before, after] = [viewAt(31, members), viewAt(32, members)].map(cellNumbers)
  const moved = members.filter(({ node }) => before!.get(node) !== after!.get(node)).length
  // 200 are drawn anew, 2 of them by chance into the same cell; five standard deviations are 67.
  expect(Math.abs(moved - 198)).toBeLessThan(67)
})

it('splits one cell when the network grows by one, and leaves all others as they are', () => {
  const before = viewAt(1, membersUpTo(419, 'service'))
  const after = viewAt(1, membersUpTo(420, 'service'))
  expect([before.cells.length, after.cells.length]).toEqual([20, 21])
  const [numbers, grown] = [cellNumbers(before), cellNumbers(after)]
  const moved = [...numbers].filter(([node, cell]) => grown.get(node) !== cell)
  expect(new Set(moved.map(([, cell]) => cell)).size).toBe(1)
  expect(moved.length).toBeGreaterThan(0)
})

it('has nobody to ask where nobody serves', () => {
  expect(serviceOrderOf({ token: idNumber(1), shard: 5 }, viewAt(1, membersUpTo(3)), keccak)).toEqual([])
})
