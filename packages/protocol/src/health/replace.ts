/** When a running placement is to be made anew: a replica is gone, drained or penalised, or there are fewer than wanted. */
import type { Placement } from '../election/messages.ts'
import type { Fitness } from '../election/replicas.ts'
import { type Address, ZERO_ADDRESS } from '../primitives/bytes.ts'
import type { ReplaceReason } from './messages.ts'

/** `node` is zero where nobody has to leave. */
export type Flaw = { readonly node: Address; readonly reason: ReplaceReason }

export type PlacementView = {
  /** Replicas that are wanted. */
  readonly count: number
  readonly nodes: readonly Address[]
  readonly fitness: (node: Address) => Fitness
  /** Why a node that hosts the instance should not: undefined where nothing is against it. */
  readonly against: (node: Address) => Exclude<ReplaceReason, 'few'> | undefined
}

/**
 * The first thing that is wrong with a placement and that a new one would mend: none is made while no other node could take
 * over. An executor that is gone needs no replacing: its lease runs out.
 */
export function flawOf(
  { executor, replicas }: Pick<Placement, 'executor' | 'replicas'>,
  { count, nodes, fitness, against }: PlacementView,
): Flaw | undefined {
  const isSpare = (node: Address) => !replicas.includes(node) && ['eligible', 'weak'].includes(fitness(node))
  if (!nodes.some(isSpare)) return undefined
  for (const node of replicas) {
    const reason = against(node)
    if (reason && !(reason === 'gone' && node === executor)) return { node, reason }
  }
  return replicas.length < count ? { node: ZERO_ADDRESS, reason: 'few' } : undefined
}
