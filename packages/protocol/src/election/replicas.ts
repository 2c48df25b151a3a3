/** Who is to host an instance: warm nodes first, then by rendezvous order, spread over operators and platforms. */
import type { Member } from '../directory/membership.ts'
import type { Address } from '../primitives/bytes.ts'

/**
 * How an anchor sees a node when it makes a placement. `eligible`: alive, with room, nothing against it. `weak`: the same, but
 * it misses objectives now and then. `reluctant`: alive, but drained, penalised or full: taken only where nobody else is.
 * `gone`: never taken.
 */
export type Fitness = 'eligible' | 'weak' | 'reluctant' | 'gone'

export type Choice = {
  /** Replicas that are wanted. */
  readonly count: number
  readonly state: (node: Address) => Fitness
  /** Replicas of the last placement, its executor first: they hold state, so a re-election moves nothing needlessly. */
  readonly warm?: readonly Address[]
}

/** The first is the executor. Empty when no node is alive. */
export function chooseReplicas(order: readonly Member[], { count, state, warm = [] }: Choice): readonly Address[] {
  const fitness = new Map(order.map(({ node }) => [node, state(node)]))
  const of = (...wanted: readonly Fitness[]) => order.filter(({ node }) => wanted.includes(fitness.get(node)!))
  const byWarmth = (members: readonly Member[]) => warm.flatMap((node) => members.find((m) => m.node === node) ?? [])
  const groups = of('eligible', 'weak').length > 0 ? [of('eligible'), of('weak')] : [of('reluctant')]
  const kept: readonly Member[] = byWarmth(groups.flat()).slice(0, count)
  return groups.reduce((chosen, group) => pick(group, chosen, count), kept).map(({ node }) => node)
}

/** Adds members while there are fewer than wanted: each time the first of those that share least with who is chosen. */
function pick(from: readonly Member[], chosen: readonly Member[], count: number): readonly Member[] {
  const picked = [...chosen]
  const rest = from.filter((member) => !picked.includes(member))
  while (picked.length < count && rest.length > 0) {
    const shared = rest.map((member) => sharedWith(member, picked))
    const best = shared.indexOf(Math.min(...shared))
    picked.push(...rest.splice(best, 1))
  }
  return picked
}

/** An operator in common weighs more than any number of platforms in common. */
function sharedWith({ operator, platform }: Member, chosen: readonly Member[]): number {
  const sameOperator = chosen.filter((other) => other.operator === operator).length
  const samePlatform = chosen.filter((other) => other.platform === platform).length
  return sameOperator * (chosen.length + 1) + samePlatform
}
