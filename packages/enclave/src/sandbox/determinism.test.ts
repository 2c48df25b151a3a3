/** The whole corpus gives one digest on every machine: replicas, auditors and courts depend on it. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { engineFile } from '../executor/sandbox.ts'

/** Changes only with the engine, its limits, its prelude or the corpus; such a change is a new engine for every token. */
const DIGEST = 'b206e90c80e0bbfd90c9d385aa9dda5d93a51cadd98562de6a63a2173c71f1b4'

const digestModule = fileURLToPath(new URL('./corpus-digest.ts', import.meta.url))
const program = `import { corpusDigest } from ${JSON.stringify(digestModule)}
console.log(await corpusDigest(${JSON.stringify(engineFile())}))`

async function digestUnder(env: Record<string, string>, flags: readonly string[] = []): Promise<string> {
  const parameters = [...flags, '--input-type=module', '--eval', program]
  const { stdout } = await promisify(execFile)(process.execPath, parameters, { env })
  return stdout.trim()
}

test('in another time zone and language, the corpus answers the same', { timeout: 120_000 }, async () => {
  const [here, there] = await Promise.all([
    digestUnder({ TZ: 'America/New_York', LANG: 'en_US.UTF-8', LC_ALL: 'en_US.UTF-8' }),
    digestUnder({ TZ: 'Asia/Tokyo', LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8' }),
  ])
  expect(here).toBe(DIGEST)
  expect(there).toBe(DIGEST)
})

test("with V8's baseline compiler alone, the corpus answers the same", { timeout: 180_000 }, async () => {
  expect(await digestUnder({ TZ: 'UTC' }, ['--liftoff-only'])).toBe(DIGEST)
})
