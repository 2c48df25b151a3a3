/** `npm test`: every test there is, with a summary line at the end. Names of steps as arguments run only those. */
import { runForgeTests } from '../contracts/forge.ts'
import { ensureChromium } from './chromium.ts'
import { runStep } from './run.ts'

type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number }
type Suite = { readonly name: string; readonly run: () => Promise<Counts> }

const SIMULATED_SEEDS = { network: 20, streams: 500 } as const
/** Long enough for every fault once; `npm run soak:streams` goes on for ten minutes. */
const SOAK_S = 60
/** The same for the whole network; `npm run soak:network` goes on until 210 processes were killed or stopped. */
const NETWORK_SOAK_S = 90

const SUITES: readonly Suite[] = [
  { name: 'contracts', run: contracts },
  { name: 'unit', run: () => vitest('rules, services, adapters', ['packages', 'contracts', 'examples']) },
  { name: 'interop', run: () => vitest('vectors and real peers', ['tests']) },
  { name: 'simulation', run: () => simulated('network') },
  { name: 'stream-simulation', run: () => simulated('streams') },
  {
    name: 'story',
    run: () => counted('flight story on real processes', ['scripts/story.ts', '--json', '--port-base', '18700']),
  },
  {
    name: 'car',
    run: () => counted('tokens that read and tell each other', ['scripts/car.ts', '--json', '--port-base', '15700']),
  },
  {
    name: 'soak',
    run: () =>
      counted('streams under faults on real processes', [
        'scripts/soak-streams.ts',
        '--seconds',
        String(SOAK_S),
        '--json',
        '--port-base',
        '16700',
      ]),
  },
  {
    name: 'network-soak',
    run: () =>
      counted('the network under faults on real processes', [
        'scripts/soak-network.ts',
        '--seconds',
        String(NETWORK_SOAK_S),
        '--json',
        '--port-base',
        '18800',
      ]),
  },
  { name: 'browser', run: browser },
]

async function contracts(): Promise<Counts> {
  process.stderr.write('▸ contracts (forge) … ')
  const { passed, failed, output } = await runForgeTests()
  process.stderr.write(`${passed} passed, ${failed} failed\n`)
  if (failed > 0) process.stderr.write(output)
  return { passed, failed, skipped: 0 }
}

async function vitest(name: string, paths: readonly string[]): Promise<Counts> {
  const { ok, output } = await runStep({
    name,
    command: 'vitest',
    args: ['run', '--reporter=dot', '--no-color', ...paths],
  })
  const line = /Tests\s+(.*)/.exec(output)?.[1] ?? ''
  const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0)
  const failed = count('failed')
  return { passed: count('passed'), failed: ok ? failed : Math.max(failed, 1), skipped: count('skipped') }
}

/** A script of ours that ends with one JSON line `{passed, failed}`. */
async function counted(name: string, args: readonly string[]): Promise<Counts> {
  const { ok, output } = await runStep({ name, command: process.execPath, args: ['--conditions=source', ...args] })
  const line = output
    .trim()
    .split('\n')
    .findLast((text) => text.startsWith('{'))
  const { passed = 0, failed = 0 } = line ? (JSON.parse(line) as Partial<Counts>) : {}
  return { passed, failed: ok ? failed : Math.max(failed, 1), skipped: 0 }
}

function simulated(world: keyof typeof SIMULATED_SEEDS): Promise<Counts> {
  const seeds = String(SIMULATED_SEEDS[world])
  return counted(`simulated ${world}`, ['scripts/simulate.ts', '--world', world, '--seeds', seeds, '--json'])
}

async function browser(): Promise<Counts> {
  if (!ensureChromium()) return { passed: 0, failed: 1, skipped: 0 }
  return counted('pages in a real browser', ['tests/e2e/browser.ts', '--json'])
}

const wanted = process.argv.slice(2)
const total = { passed: 0, failed: 0, skipped: 0 }
for (const { name, run } of SUITES) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const counts = await run()
  total.passed += counts.passed
  total.failed += counts.failed
  total.skipped += counts.skipped
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1)
