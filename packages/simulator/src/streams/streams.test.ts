import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { STREAM_BUGS } from './bugs.ts'

const SCRIPT = fileURLToPath(new URL('../../../../scripts/simulate.ts', import.meta.url))
/** A planted bug must show within this many seeds; the rarest does in about one of a hundred. */
const SEED_LIMIT = 200

test.each(STREAM_BUGS.map(({ name }) => name))('the planted bug %s is caught', { timeout: 240_000 }, async (name) => {
  const args = ['--world', 'streams', '--bug', name, '--seeds', String(SEED_LIMIT), '--stop-at-failure', '--json']
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
