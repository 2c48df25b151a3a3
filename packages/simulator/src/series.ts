/** Runs seeds one after another: each twice with the same trace, unless a bug is planted. */

/** What a run found out; `totals` are summed over all seeds. */
export type SeedResult<T extends Totals = Totals> = {
  readonly seed: number
  readonly passed: boolean
  readonly trace: string
  readonly violation: { readonly invariant: string; readonly atMs: number; readonly detail: string } | undefined
  readonly lastEvents: readonly string[]
  readonly totals: T
}
export type Totals = { readonly [name: string]: number }
export type Simulated<T extends Totals = Totals> = {
  readonly passed: number
  readonly failed: number
  readonly seeds: readonly SeedResult<T>[]
  readonly totals: T
}
export type SeriesOptions<T extends Totals = Totals> = {
  readonly seeds: number
  readonly from: number
  readonly onSeed?: (result: SeedResult<T>) => void
  /** Ends the series at the first seed that fails. */
  readonly stopAtFailure?: boolean
}

/** `run` says whether it is the second run of a seed. `twice` is false when a bug is planted. */
export async function series<T extends Totals>(
  { seeds, from, onSeed, stopAtFailure = false }: SeriesOptions<T>,
  { run, twice, none }: { run: (seed: number, again: boolean) => Promise<SeedResult<T>>; twice: boolean; none: T },
): Promise<Simulated<T>> {
  const results: SeedResult<T>[] = []
  for (let seed = from; seed < from + seeds; seed++) {
    const first = await run(seed, false)
    const again = first.passed && twice ? await run(seed, true) : first
    const result = first.trace === again.trace ? first : differing(first, again)
    results.push(result)
    onSeed?.(result)
    if (stopAtFailure && !result.passed) break
  }
  const failed = results.filter((result) => !result.passed).length
  const totals = results.map((result) => result.totals).reduce(added, none)
  return { passed: results.length - failed, failed, seeds: results, totals }
}

function differing<T extends Totals>(first: SeedResult<T>, again: SeedResult<T>): SeedResult<T> {
  const detail = `two runs of one seed differ: ${first.trace} and ${again.trace}`
  return { ...again, passed: false, violation: again.violation ?? { invariant: 'NO-BUGS', atMs: 0, detail } }
}

function added<T extends Totals>(a: T, b: T): T {
  return Object.fromEntries(Object.keys(a).map((key) => [key, a[key]! + b[key]!])) as unknown as T
}
