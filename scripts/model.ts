/** `npm run model`: exhausts the profiles of the small model; `--profile NAME` one of them; `--break NAME|all` without a rule. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { BREAKS, type Break } from '../packages/simulator/src/model/breaks.ts'
import { plant } from '../packages/simulator/src/plant.ts'

const { values } = parseArgs({
  options: { profile: { type: 'string', multiple: true }, break: { type: 'string' }, limit: { type: 'string' } },
})
if (values.break === 'all') process.exit(breakAll())

const broken = BREAKS.find(({ name }) => name === values.break)
if (values.break !== undefined && !broken)
  fail(`There is no rule "${values.break}" to break: one of ${BREAKS.map(({ name }) => name).join(', ')}`)
// Edits must be in place before any module they change is loaded.
if (broken) plant(broken)
const { boundsOf, check, lineOf, stepsOf, STATE_LIMIT } = await import('../packages/simulator/src/model/check.ts')
const { PROFILES } = await import('../packages/simulator/src/model/profiles.ts')

/** A missing rule shows long before. */
const BREAK_LIMIT = 2_000_000

const limit = values.limit === undefined ? STATE_LIMIT : Number(values.limit)
process.exit(broken ? findBreak() : exhaustAll())

function exhaustAll(): number {
  let failed = 0
  for (const profile of chosen(PROFILES.map(({ name }) => name))) {
    console.log(`▸ ${profile.name}: ${profile.about}\n  ${boundsOf(profile)}`)
    const checked = check(profile, { limit })
    console.log(`  ${lineOf(checked)}`)
    for (const step of stepsOf(checked)) console.log(`  ${step}`)
    if (checked.found || !checked.exhausted) failed++
  }
  console.log(failed === 0 ? 'every profile is exhausted without a violation' : `${failed} profiles failed`)
  return failed === 0 ? 0 : 1
}

/** First what comes of the missing rule; only where nothing does, the promise that an anchor breaks by itself. */
function findBreak(): number {
  const { name, profiles, redundant, promiseOnly, stall } = broken!
  console.log(`▸ without the rule ${name}`)
  const isRedundant = redundant !== undefined
  for (const promises of isRedundant || promiseOnly ? [true] : [false, true]) {
    for (const profile of chosen(profiles)) {
      const most = isRedundant ? limit : Math.min(limit, BREAK_LIMIT)
      const checked = check(profile, { promises, trusting: isRedundant, limit: most })
      console.log(`  ${lineOf(checked)}`)
      for (const step of stepsOf(checked)) console.log(`  ${step}`)
      if (checked.found && stall)
        console.log('  nothing is lost by it, but everybody waits: safety does not rest on this rule')
      if (checked.found) return 1
      if (isRedundant && !checked.exhausted) return 3
    }
  }
  console.log('  no counterexample within these bounds')
  return 0
}

function breakAll(): number {
  const wrong: string[] = []
  for (const { name, redundant } of BREAKS) {
    const args = ['--conditions=source', fileURLToPath(import.meta.url), '--break', name]
    const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    if (redundant !== undefined) console.log(`  ${redundancy(redundant)}`)
    if (status !== (redundant === undefined ? 1 : 0)) wrong.push(name)
  }
  console.log(wrong.length === 0 ? 'every rule counts as it should' : `not as expected: ${wrong.join(', ')}`)
  return wrong.length === 0 ? 0 : 1
}

function redundancy({ why, together }: NonNullable<Break['redundant']>): string {
  const pair = together === undefined ? '' : ` with another; removed together (${together}): counterexample`
  return `redundant within these bounds${pair}. ${why}`
}

function chosen(names: readonly string[]) {
  const wanted = values.profile ?? names
  const unknown = wanted.find((name) => !PROFILES.some((profile) => profile.name === name))
  if (unknown !== undefined)
    fail(`There is no profile "${unknown}": one of ${PROFILES.map(({ name }) => name).join(', ')}`)
  return PROFILES.filter(({ name }) => wanted.includes(name))
}

function fail(why: string): never {
  console.error(`✖ ${why}`)
  process.exit(2)
}
