/** In which order service nodes are asked to run a token: first the cell of its shard, then the token's own order within it. */
import { type Bytes32, toHex, uintWord } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { halfSipHash, littleEndianWords, MESSAGE_WORDS } from '../primitives/half-sip-hash.ts'
import type { Member, Membership } from './membership.ts'
import type { DirectoryParameters } from './parameters.ts'
import { byAddress, type Contenders, contendersOf, rankInto, saltKeyOf, saltOf, WEIGHT_LIMIT } from './rendezvous.ts'
import { type Beacons, beaconIn, lastDrawOf, saltOfShard } from './shard.ts'

/** Service nodes that share the tokens of some shards, sorted by address. */
export type Cell = { readonly nodes: readonly Member[]; readonly contenders: Contenders }

/** All that the service nodes' order in an epoch follows from. */
export type ServiceView = {
  readonly epoch: bigint
  readonly beacons: Beacons
  readonly parameters: DirectoryParameters
  /** Cells with at least one node, in the order of their numbers. */
  readonly cells: readonly Cell[]
  /** The same cells as contenders for shards; each weighs what its nodes weigh together. */
  readonly contenders: Contenders
}

export function serviceViewOf(
  { epoch, members }: Pick<Membership, 'epoch' | 'members'>,
  { beacons, parameters }: { beacons: Beacons; parameters: DirectoryParameters },
  keccak: Hasher,
): ServiceView {
  const nodes = byAddress(members.filter(({ role }) => role === 'service'))
  const count = cellCountOf(nodes.length, parameters)
  const all = contendersOf(nodes, parameters.weight, keccak)
  const cellOf = cellsOfNodes(all, { epoch, beacons, rotation: parameters.rotation, count }, keccak)
  const grouped = Array.from({ length: count }, (): Member[] => [])
  for (const [place, node] of nodes.entries()) grouped[cellOf[place]!]!.push(node)
  const numbers = grouped.map((_, number) => number).filter((number) => grouped[number]!.length > 0)
  const cells = numbers.map((number) => cellFrom(grouped[number]!, parameters, keccak))
  return { epoch, beacons, parameters, cells, contenders: cellContenders(cells, numbers, keccak) }
}

/** The service nodes for a token, best first: those of its shard's cell. Throws `directory.beacon_unknown`. */
export function serviceOrderOf(
  { token, shard }: { token: Bytes32; shard: number },
  view: ServiceView,
  keccak: Hasher,
): readonly Member[] {
  const salt = saltOfShard(shard, { ...view, rotation: view.parameters.rotation }, keccak)
  const cell = cellUnder(salt, view)
  if (!cell) return []
  const order = new Uint32Array(cell.nodes.length)
  rankInto(order, cell.contenders, saltKeyOf(saltOf('service', salt, token, keccak)))
  return Array.from(order, (place) => cell.nodes[place]!)
}

/** How many cells so many nodes make. */
export function cellCountOf(nodeCount: number, { nodesPerCell }: DirectoryParameters): number {
  return Math.max(1, Math.floor(nodeCount / nodesPerCell))
}

/** The cell whose score under a shard's salt is best; the first and only one while the network is small. */
function cellUnder(salt: Bytes32, { cells, contenders }: ServiceView): Cell | undefined {
  if (cells.length < 2) return cells[0]
  const best = new Uint32Array(1)
  rankInto(best, contenders, saltKeyOf(salt))
  return cells[best[0]!]
}

/** The cell of each node: one node in R is drawn anew in each epoch. */
function cellsOfNodes(
  { digests, weights }: Contenders,
  { epoch, beacons, rotation, count }: { epoch: bigint; beacons: Beacons; rotation: number; count: number },
  keccak: Hasher,
): readonly number[] {
  if (count === 1) return Array.from(weights, () => 0)
  const keys = Array.from({ length: rotation }, (_, turn) => {
    const draw = lastDrawOf(turn, epoch, rotation)
    return saltKeyOf(saltOf('cell', beaconIn(beacons, draw), toHex(uintWord(draw)), keccak))
  })
  return Array.from(weights, (_, place) => {
    const at = MESSAGE_WORDS * place
    const { k0, k1 } = keys[(digests[at]! >>> 0) % rotation]!
    return numberAmong(halfSipHash(k0, k1, digests, at), count)
  })
}

/** Linear hashing: one cell more takes nodes from one cell alone, and all others stay where they are. */
function numberAmong(draw: number, count: number): number {
  const size = 2 ** (32 - Math.clz32(count - 1))
  return draw % size < count ? draw % size : draw % (size / 2)
}

function cellFrom(nodes: readonly Member[], { weight }: DirectoryParameters, keccak: Hasher): Cell {
  return { nodes, contenders: contendersOf(nodes, weight, keccak) }
}

function cellContenders(cells: readonly Cell[], numbers: readonly number[], keccak: Hasher): Contenders {
  const digests = new Int32Array(MESSAGE_WORDS * cells.length)
  for (const [i, number] of numbers.entries()) {
    digests.set(littleEndianWords(keccak(uintWord(BigInt(number)))), MESSAGE_WORDS * i)
  }
  const weights = Uint32Array.from(cells, ({ contenders }) => {
    return Math.min(
      WEIGHT_LIMIT,
      contenders.weights.reduce((sum, weight) => sum + weight, 0),
    )
  })
  return { digests, weights }
}
