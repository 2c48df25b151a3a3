/** `npm run simulate`: runs seeds of a simulated world and says which hold; `--world streams` without elections; `--seed S` replays one. */
import { parseArgs } from 'node:util'
import { BUGS } from '../packages/simulator/src/bugs.ts'
import { plant } from '../packages/simulator/src/plant.ts'
import type { SeedResult, Simulated } from '../packages/simulator/src/series.ts'
import { STREAM_BUGS } from '../packages/simulator/src/streams/bugs.ts'

const { values } = parseArgs({
  options: {
    world: { type: 'string', default: 'network' },
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

const bugs = { network: BUGS, streams: STREAM_BUGS }[values.world] ?? fail('--world is network or streams')
const bug = bugs.find(({ name }) => name === values.bug)
if (values.bug !== undefined && !bug) {
  fail(`There is no bug "${values.bug}" in this world: one of ${bugs.map(({ name }) => name).join(', ')}`)
}
// Edits must be in place before any module they change is loaded.
if (bug) plant(bug)
const { simulate, simulateStreams } = await import('../packages/simulator/src/index.ts')

const seeds = values.seed === undefined ? count(values.seeds, 'seeds') : 1
const from = count(values.seed ?? values.from, 'seed')
const startedAt = performance.now()
let done = 0
const common = {
  seeds,
  from,
  stopAtFailure: values['stop-at-failure'],
  onSeed: progress,
  onEvent: values.trace ? (line: string) => console.log(line) : undefined,
  untilMs: values.until === undefined ? undefined : count(values.until, 'until'),
}
const steps = values.steps === undefined ? {} : { steps: count(values.steps, 'steps') }
const result: Simulated =
  values.world === 'streams'
    ? await simulateStreams({ ...common, planted: bug !== undefined })
    : await simulate({ ...common, ...steps, bug })
summary(result)
process.exit(result.failed > 0 ? 1 : 0)

function progress(seed: SeedResult): void {
  done++
  const out = values.json ? process.stderr : process.stdout
  if (!seed.passed) {
    out.write(`${seed.lastEvents.map((line) => `  ${line}`).join('\n')}\n`)
    out.write(`✖ seed ${seed.seed}: ${seed.violation?.invariant} at ${seed.violation?.atMs.toFixed(1)} ms\n`)
    const world = values.world === 'network' ? '' : `--world ${values.world} `
    out.write(`  ${seed.violation?.detail}\n  replay: npm run simulate -- ${world}--seed ${seed.seed}\n`)
  } else if (seeds === 1 || done % (values.world === 'network' ? 10 : 100) === 0) {
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
