/** `npm run simulate`: runs seeds of the simulated network and says which hold; `--seed S` replays one. */
import { parseArgs } from 'node:util'
import { BUGS } from '../packages/simulator/src/bugs.ts'
import { plant } from '../packages/simulator/src/plant.ts'
import type { SeedResult, Simulated } from '../packages/simulator/src/run.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    steps: { type: 'string' },
    until: { type: 'string' },
    bug: { type: 'string' },
    'stop-at-failure': { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})

const bug = values.bug === undefined ? undefined : BUGS.find(({ name }) => name === values.bug)
if (values.bug !== undefined && !bug)
  fail(`There is no bug "${values.bug}": one of ${BUGS.map(({ name }) => name).join(', ')}`)
// Edits must be in place before any module they change is loaded.
if (bug) plant(bug)
const { simulate } = await import('../packages/simulator/src/index.ts')

const seeds = values.seed === undefined ? count(values.seeds, 'seeds') : 1
const from = count(values.seed ?? values.from, 'seed')
const startedAt = performance.now()
let done = 0
const result = await simulate({
  seeds,
  from,
  bug,
  stopAtFailure: values['stop-at-failure'],
  onSeed: progress,
  onEvent: values.trace ? (line) => console.log(line) : undefined,
  ...(values.steps === undefined ? {} : { steps: count(values.steps, 'steps') }),
  ...(values.until === undefined ? {} : { untilMs: count(values.until, 'until') }),
})
summary(result)
process.exit(result.failed > 0 ? 1 : 0)

function progress(seed: SeedResult): void {
  done++
  const out = values.json ? process.stderr : process.stdout
  if (!seed.passed) {
    out.write(`${seed.lastEvents.map((line) => `  ${line}`).join('\n')}\n`)
    out.write(`✖ seed ${seed.seed}: ${seed.violation?.invariant} at ${seed.violation?.atMs.toFixed(1)} ms\n`)
    out.write(`  ${seed.violation?.detail}\n  replay: npm run simulate -- --seed ${seed.seed}\n`)
  } else if (seeds === 1 || done % 10 === 0) {
    out.write(`${done}/${seeds} seeds, the last: ${seed.seed}, trace ${seed.trace}, ${seed.totals.entries} entries\n`)
  }
}

function summary({ passed, failed, totals, seeds: results }: Simulated): void {
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10
  const failures = results
    .filter((seed) => !seed.passed)
    .map(({ seed, violation }) => ({ seed, invariant: violation?.invariant, detail: violation?.detail }))
  if (values.json) {
    console.log(JSON.stringify({ passed, failed, bug: bug?.name, failures, totals, seconds }))
    return
  }
  console.log(`${passed} seeds passed twice with equal traces, ${failed} failed, in ${seconds} s`)
  console.log(
    Object.entries(totals)
      .map(([name, value]) => `${name} ${value}`)
      .join(' · '),
  )
}

function count(text: string, name: string): number {
  return /^\d{1,9}$/.test(text) ? Number(text) : fail(`--${name} takes a whole number, not "${text}"`)
}

function fail(why: string): never {
  console.error(`✖ ${why}`)
  process.exit(2)
}
