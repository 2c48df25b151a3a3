/** Finds forge in the npm packages and runs the contract tests with it. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const here = dirname(fileURLToPath(import.meta.url))
export const FORGE = createRequire(import.meta.url).resolve('@foundry-rs/forge-linux-amd64/bin/forge')

export type ForgeResult = { readonly passed: number; readonly failed: number; readonly output: string }

/** forge starts solc.cjs with `env node`: it must find Node 24. */
export function forgeEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${join(here, '..', 'node_modules', '.bin')}:${process.env.PATH}` }
}

/** A digest of all Solidity sources, to see whether the artifacts are those of these sources. */
export function sourcesHash(): string {
  const files = readdirSync(join(here, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.sol'),
  )
  const hash = createHash('sha256')
  for (const file of files.sort()) hash.update(file).update(readFileSync(join(here, 'src', file)))
  return hash.digest('hex')
}

/** Runs unit, fuzz and invariant tests. */
export async function runForgeTests(): Promise<ForgeResult> {
  const child = spawn(FORGE, ['test'], { cwd: here, env: forgeEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  const summary = /(\d+) tests? passed, (\d+) failed/.exec(output.slice(output.lastIndexOf('Ran ')))
  const passed = Number(summary?.[1] ?? 0)
  const failed = Number(summary?.[2] ?? 0)
  return { passed, failed: failed === 0 && code !== 0 ? 1 : failed, output }
}
