/** `npm run soak:streams`: streams on real processes under kills, stops, partitions and broken disks, judged by a log checker. */
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { BREAKS } from '../tests/soak/broken.ts'
import { MOUNTS_VARIABLE, namespaceFlags } from '../tests/soak/disk.ts'
import { FAULTS } from '../tests/soak/nemesis.ts'
import { printReport } from '../tests/soak/report.ts'
import { runSoak } from '../tests/soak/run.ts'
import { judged, known, number } from './soak-command.ts'

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
const [planted] = known(values.break === undefined ? [] : [values.break], BREAKS, 'break')
const only = known(values.only, FAULTS, 'only')
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
  const seed = number(values.seed ?? String(randomInt(2 ** 31)), 'seed')
  const portBase = number(values['port-base'], 'port-base')
  const soak = (signal: AbortSignal) =>
    runSoak({
      folder: join(tmpdir(), `smart-layer-soak-${portBase}`),
      portBase,
      seconds: number(values.seconds, 'seconds'),
      seed,
      patches: planted === undefined ? [] : BREAKS[planted],
      only,
      keep: values.keep,
      signal,
      progress: (line) => process.stderr.write(`${line}\n`),
    })
  await judged(soak, { print: printReport, json: values.json })
}
