import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { BREAKS } from './breaks.ts'
import { check, profileNamed } from './check.ts'
import type { World } from './search.ts'
import { search } from './search.ts'

const SCRIPT = fileURLToPath(new URL('../../../../scripts/model.ts', import.meta.url))

test('a journal with an executor under a lease is exhausted without a violation', () => {
  const checked = check(profileNamed('together-executors')!)
  expect(checked.found).toBeUndefined()
  expect(checked.exhausted).toBe(true)
  expect(checked.states).toBeGreaterThan(10_000)
})

test.each(['hand-over', 'hand-over-all-stay', 'hand-over-missed'])(
  '%s is exhausted by the rules of hand-over',
  (name) => {
    const checked = check(profileNamed(name)!)
    expect(checked.found).toBeUndefined()
    expect(checked.exhausted).toBe(true)
    expect(checked.states).toBeGreaterThan(4_000)
  },
)

test('a search that stops at its limit does not count as exhausted', () => {
  const checked = check(profileNamed('together')!, { limit: 100 })
  expect(checked).toMatchObject({ exhausted: false, found: undefined })
})

test('the first violation that is found is a shortest one, with the steps to it', () => {
  const searched = search(counterTo(3), { limit: 1_000 })
  expect(searched.found).toEqual({ violation: 'three', steps: ['one more', 'one more', 'one more'] })
})

test.each(['quorum-of-reports', 'commit-by-holds', 'renew-after-release', 'sign-below-a-seal', 'quorum-of-answers'])(
  'without the rule %s there is a counterexample',
  { timeout: 60_000 },
  async (name) => {
    const { code, output } = await run(['--break', name])
    expect(code, output).toBe(1)
    expect(output).toMatch(/VIOLATION: .*\n +1\. anchor/)
  },
)

test('every rule to break says where to look, and a rule that another stands in for names one to break with it', () => {
  const names = BREAKS.map(({ name }) => name)
  for (const { name, profiles, redundant } of BREAKS) {
    for (const profile of profiles) expect(profileNamed(profile), name).toBeDefined()
    if (redundant?.together !== undefined) expect(names).toContain(redundant.together)
  }
})

/** A world that counts, by one or back to zero. */
function counterTo(wrong: number): World {
  let step = ''
  return {
    width: 1,
    initial: [Uint32Array.of(0)],
    forget: () => {},
    sort: () => {},
    expand(state, visit) {
      step = 'one more'
      visit(Uint32Array.of(state[0]! + 1))
      step = 'back'
      visit(Uint32Array.of(0))
    },
    violation: (state) => (state[0] === wrong ? 'three' : undefined),
    lastStep: () => step,
    stepViolation: () => undefined,
  }
}

function run(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--conditions=source', SCRIPT, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    child.on('close', (code) => resolve({ code, output }))
  })
}
