import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { BUGS } from './bugs.ts'
import { simulate } from './run.ts'

const SCRIPT = fileURLToPath(new URL('../../../scripts/simulate.ts', import.meta.url))
/** A planted bug must show within this many seeds. */
const SEED_LIMIT = 60

test('a network under faults keeps its invariants, twice alike for every seed', { timeout: 120_000 }, async () => {
  const { failed, seeds, totals } = await simulate({ seeds: 6, from: 1 })
  expect(seeds.filter((seed) => !seed.passed).map(({ seed, violation }) => ({ seed, violation }))).toEqual([])
  expect(failed).toBe(0)
  for (const seed of seeds) expect(seed.totals.entries).toBeGreaterThanOrEqual(100)
  for (const seed of seeds) expect(seed.totals.effects).toBeGreaterThan(0)
  for (const count of [totals.drops, totals.crashes, totals.partitions, totals.duplicates])
    expect(count).toBeGreaterThan(0)
})

test('another seed is another world', { timeout: 60_000 }, async () => {
  const { seeds } = await simulate({ seeds: 2, from: 7, untilMs: 4_000 })
  expect(seeds[0]!.trace).not.toBe(seeds[1]!.trace)
})

test.each(BUGS.map(({ name }) => name))('the planted bug %s is caught', { timeout: 240_000 }, async (name) => {
  const args = ['--bug', name, '--seeds', String(SEED_LIMIT), '--stop-at-failure', '--json']
  const { code, output } = await run(args)
  expect(code, output).toBe(1)
  const { failures } = JSON.parse(output) as { failures: { invariant: string }[] }
  expect(failures.map(({ invariant }) => invariant)[0]).toMatch(/^INV-/)
})

function run(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--conditions=source', SCRIPT, ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    child.on('close', (code) => resolve({ code, output }))
  })
}
