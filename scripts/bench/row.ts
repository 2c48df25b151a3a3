/** One line of the benchmark table, and the statistics that all benchmarks share. */

export type Row = {
  readonly name: string
  readonly unit: string
  readonly ours: number
  /** The same work by a peer in the same run on the same machine. */
  readonly peer?: number
  readonly ratio?: number
  /** The goal as text: `≥ 100 ×`, `≤ 25 ms`; left out for figures that have none. */
  readonly target?: string
  readonly ok?: boolean
}

/** How far a figure may go: a ratio to the peer, or an absolute one. */
export type Target = { readonly of: 'ours' | 'ratio'; readonly at: 'least' | 'most'; readonly value: number }

/** A row that compares with a peer: the ratio is ours / peer. */
export function row(
  name: string,
  unit: string,
  { ours, peer, target }: { ours: number; peer?: number; target?: Target },
): Row {
  const ratio = peer === undefined ? undefined : ours / peer
  const base = { name, unit, ours, ...(peer === undefined ? {} : { peer, ratio: ours / peer }) }
  if (!target) return base
  const figure = target.of === 'ours' ? ours : ratio
  const unitText = target.of === 'ours' ? unit : '×'
  const text = `${target.at === 'least' ? '≥' : '≤'} ${target.value} ${unitText}`
  const met = figure !== undefined && (target.at === 'least' ? figure >= target.value : figure <= target.value)
  return { ...base, target: text, ok: met }
}

/** CPU time of this process so far, in seconds. */
export function cpuNowS(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** The value below which `share` of all values lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}
