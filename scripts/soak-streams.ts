/** `npm run soak:streams`: streams on real processes under kills, stops, partitions and broken disks, judged by a log checker. */
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { BREAKS, type Break } from '../tests/soak/broken.ts'
import { MOUNTS_VARIABLE, namespaceFlags } from '../tests/soak/disk.ts'
import { FAULTS } from '../tests/soak/nemesis.ts'
import { printReport } from '../tests/soak/report.ts'
import { runSoak } from '../tests/soak/run.ts'

const IMPATIENT_MS = 1_000

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string' },
    json: { type: 'boolean', default: false },
    break: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    keep: { type: 'boolean', default: false },
    'no-mounts': { type: 'boolean', default: false },
    'port-base': { type: 'string', default: '15700' },
  },
})
if (values.break !== undefined && !(values.break in BREAKS)) {
  fail(`--break ${values.break} is not known. Use one of: ${Object.keys(BREAKS).join(', ')}.`)
}
const unknown = values.only.find((name) => !(name in FAULTS))
if (unknown) fail(`--only ${unknown} is not known. Use some of: ${Object.keys(FAULTS).join(', ')}.`)
const flags = values['no-mounts'] || process.env[MOUNTS_VARIABLE] !== undefined ? undefined : namespaceFlags()
if (flags) await withMounts(flags)
else await run()

/** Goes on in a process whose mounts nobody else sees, and which vanish with it however it ends. */
async function withMounts(flags: readonly string[]): Promise<void> {
  const self = [process.execPath, ...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)]
  const env = { ...process.env, [MOUNTS_VARIABLE]: flags.join(' ') }
  const child = spawn('unshare', [...flags, ...self], { stdio: 'inherit', env })
  // A terminal sends Ctrl-C to the child as well; other signals, and those sent by programs, reach only us.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'))
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  process.exitCode = await new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? 1)))
}

async function run(): Promise<void> {
  const stop = new AbortController()
  let stoppedAt = 0
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // One signal may come twice, to the whole group and handed on; who sends another one later does not want to wait.
      if (stop.signal.aborted && performance.now() - stoppedAt > IMPATIENT_MS) process.exit(1)
      if (!stop.signal.aborted) stoppedAt = performance.now()
      stop.abort()
    })
  }
  const seed = number(values.seed ?? String(randomInt(2 ** 31)), 'seed')
  const portBase = number(values['port-base'], 'port-base')
  try {
    const result = await runSoak({
      folder: join(tmpdir(), `smart-layer-soak-${portBase}`),
      portBase,
      seconds: number(values.seconds, 'seconds'),
      seed,
      patches: values.break === undefined ? [] : BREAKS[values.break as Break],
      only: values.only,
      keep: values.keep,
      signal: stop.signal,
      progress: (line) => process.stderr.write(`${line}\n`),
    })
    const { passed, failed } = result
    process.stderr.write(printReport(result))
    console.log(values.json ? JSON.stringify(result) : `${passed} passed, ${failed} failed`)
    process.exit(failed === 0 ? 0 : 1)
  } catch (error) {
    if (stop.signal.aborted) fail('It was stopped before it could be judged.')
    throw error
  }
}

function number(text: string, name: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : fail(`--${name} takes a whole number, not "${text}".`)
}

function fail(why: string): never {
  console.error(`✖ ${why}`)
  process.exit(2)
}
