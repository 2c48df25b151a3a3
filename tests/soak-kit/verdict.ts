/** Laws over what everybody wrote down: each looks at something and names what does not hold. */

export type Finding = {
  readonly name: string
  /** How much was looked at: a law that looked at nothing says nothing, and does not hold. */
  readonly looked: number
  readonly faults: readonly string[]
}
export type Law<World> = (world: World) => { readonly looked: number; readonly faults: readonly string[] }

const FAULTS_NAMED = 20

export function judge<World>(world: World, laws: Readonly<Record<string, Law<World>>>): readonly Finding[] {
  return Object.entries(laws).map(([name, law]) => {
    const { looked, faults } = law(world)
    const named = faults.slice(0, FAULTS_NAMED)
    const more = faults.length > named.length ? [`and ${faults.length - named.length} more`] : []
    return { name, looked, faults: looked === 0 ? ['there was nothing to look at'] : [...named, ...more] }
  })
}

/** Rows of figures, then one line for each law with what broke it below. */
export function printVerdict(rows: readonly (readonly [string, string])[], findings: readonly Finding[]): string {
  const width = Math.max(...rows.map(([name]) => name.length))
  const table = rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`)
  return ['', ...table, '', ...findings.flatMap(printFinding), ''].join('\n')
}

/** Counts of names as one line. */
export function listed(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(' · ')
}

export function counted(names: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

function printFinding({ name, looked, faults }: Finding): readonly string[] {
  const isHeld = faults.length === 0
  return [`  ${isHeld ? '✔' : '✖'} ${name} (${looked})`, ...faults.map((fault) => `      ${fault}`)]
}
