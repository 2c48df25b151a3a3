/** `npm run soak:network`: the whole network on real processes under kill -9 and SIGSTOP, with counting systems outside. */
import { randomInt } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BREAKS } from '../tests/network-soak/broken.ts'
import { FAULTS } from '../tests/network-soak/nemesis.ts'
import { printReport } from '../tests/network-soak/report.ts'
import { runSoak } from '../tests/network-soak/run.ts'
import { judged, known, number } from './soak-command.ts'

/** Without another limit a run ends when so many processes were struck, or after this time. */
const STRUCK = 210
const LIMIT_S = 3_600

const { values } = parseArgs({
  options: {
    faults: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
    json: { type: 'boolean', default: false },
    break: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    keep: { type: 'boolean', default: false },
    'port-base': { type: 'string', default: '18700' },
  },
})
const [planted] = known(values.break === undefined ? [] : [values.break], BREAKS, 'break')
const only = known(values.only, FAULTS, 'only')
const seconds = values.seconds === undefined ? LIMIT_S : number(values.seconds, 'seconds')
const struck = number(values.faults ?? String(values.seconds === undefined ? STRUCK : 2 ** 31), 'faults')
const portBase = number(values['port-base'], 'port-base')
const seed = number(values.seed ?? String(randomInt(2 ** 31)), 'seed')

const soak = (signal: AbortSignal) =>
  runSoak({
    folder: join(tmpdir(), `smart-layer-network-soak-${portBase}`),
    portBase,
    seconds,
    struck,
    seed,
    patches: planted === undefined ? [] : BREAKS[planted],
    only,
    keep: values.keep,
    signal,
    progress: (line) => process.stderr.write(`${line}\n`),
  })
await judged(soak, { print: printReport, json: values.json })
