/** Benchmarks that need a whole local network: it is started once, and stopped whatever happens. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { FlightDemo } from '../../examples/flight-ticket/src/demo.ts'
import { benchAttestedQuery } from './attested-query.ts'
import { benchCommittedUpdate } from './committed-update.ts'
import { benchEvenLoad } from './even-load.ts'
import { pssMiB, treeOf } from './processes.ts'
import { benchResolve } from './resolve.ts'
import { type Row, row } from './row.ts'
import { benchPublish } from './streams.ts'

/** Below the ports that Linux gives to outgoing connections: those may be taken at any moment. */
const PORT_BASE = 28_700
const SETTLE_MS = 3_000
const TARGET_READY_S = 15
const TARGET_MEMORY_MIB = 1_331

export type NetworkBench =
  | 'ready'
  | 'memory'
  | 'attested-query'
  | 'resolve'
  | 'even-load'
  | 'committed-update'
  | 'publish'

export async function benchNetwork(wanted: readonly NetworkBench[]): Promise<readonly Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'smart-layer-bench-'))
  try {
    return await measureIn(folder, wanted)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureIn(folder: string, wanted: readonly NetworkBench[]): Promise<readonly Row[]> {
  const started = performance.now()
  const demo = await FlightDemo.start({ folder, portBase: PORT_BASE, progress: () => undefined })
  const readyS = (performance.now() - started) / 1000
  try {
    await setTimeout(SETTLE_MS)
    const benches: Readonly<Record<NetworkBench, () => Promise<readonly Row[]>>> = {
      ready: async () => [
        row('ready', 's', { ours: readyS, target: { of: 'ours', at: 'most', value: TARGET_READY_S } }),
      ],
      memory: async () => memory(),
      'attested-query': () => benchAttestedQuery(demo),
      resolve: () => benchResolve(demo),
      'even-load': () => benchEvenLoad(demo),
      'committed-update': () => benchCommittedUpdate(demo),
      publish: () => benchPublish(demo),
    }
    const rows: Row[] = []
    for (const name of wanted) rows.push(...(await benches[name]()))
    return rows
  } finally {
    await demo.stop()
  }
}

/** The whole network, idle, with this process: it runs the sites. */
function memory(): readonly Row[] {
  const target = { of: 'ours', at: 'most', value: TARGET_MEMORY_MIB } as const
  const tree = treeOf(process.pid)
  return [
    row('memory, all processes idle', 'MiB PSS', { ours: pssMiB(tree), target }),
    row('memory of that: chain and nodes', 'MiB PSS', { ours: pssMiB(tree.slice(1)) }),
  ]
}
