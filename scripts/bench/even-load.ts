/** How evenly a site's verified reads fall on the replicas of a token, over real HTTP. */
import { query, ReplicaBoard, type Site } from '@smartlayer/sdk'
import type { FlightDemo } from '../../examples/flight-ticket/src/demo.ts'
import { type Row, row } from './row.ts'

const READS = 3_000
/** Sites ask several at a time, as a busy back end does. */
const CONCURRENCY = 8
const TARGET_VARIATION = 0.1

export async function benchEvenLoad(demo: FlightDemo): Promise<readonly Row[]> {
  const site: Site = { ...demo.smartLayer.site, board: newBoard() }
  const token = demo.token()
  const scopes = ['flight.status:read']
  const grant = await demo.consent.grant(token, { audience: site.signer.address, origin: demo.urls.rental, scopes })
  const counts = new Map<string, number>()
  let left = READS
  let tried = 0
  const worker = async () => {
    while (left-- > 0) {
      const { node, tried: nodes } = await query(site, { token, method: 'status', grant })
      counts.set(node, (counts.get(node) ?? 0) + 1)
      tried += nodes.length
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  return [
    row(`even-load, ${counts.size} replicas: coefficient of variation`, '', {
      ours: variation([...counts.values()]),
      target: { of: 'ours', at: 'most', value: TARGET_VARIATION },
    }),
    row('even-load: failed tries', 'of 1 000', { ours: ((tried - READS) * 1_000) / READS }),
  ]
}

/** What the site learnt before, while the network started, shall not count. */
function newBoard(): ReplicaBoard {
  return new ReplicaBoard({ now: () => performance.now(), random: Math.random })
}

function variation(counts: readonly number[]): number {
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length
  return Math.sqrt(counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / counts.length) / mean
}
