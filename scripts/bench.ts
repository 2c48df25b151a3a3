/** `npm run bench`: measures what the design sets goals for, each beside its peer in the same run; `--only NAME`, `--json`. */
import { parseArgs } from 'node:util'
import { type Row, row } from './bench/row.ts'

const NETWORK = ['ready', 'memory', 'attested-query', 'resolve', 'even-load', 'committed-update', 'publish'] as const
const ALONE = [
  'attested-answers',
  'sandbox',
  'gossip',
  'backfill',
  'idle-stream',
  'stream-log',
  'directory-lookup',
] as const
const NAMES: readonly string[] = [...NETWORK, ...ALONE]

const { values } = parseArgs({
  options: { json: { type: 'boolean', default: false }, only: { type: 'string', multiple: true, default: [] } },
})
const unknown = values.only.find((name) => !NAMES.includes(name))
if (unknown !== undefined) {
  console.error(`✖ --only ${unknown} is not known.\n  fix: Use one of ${NAMES.join(', ')}.\n  code: cli.usage`)
  process.exit(2)
}
const isWanted = (name: string) => values.only.length === 0 || values.only.includes(name)

/** The network goes first, so that this process holds little else when memory is read. */
async function measureAll(): Promise<readonly Row[]> {
  const rows: Row[] = []
  const network = NETWORK.filter(isWanted)
  if (network.length > 0) {
    announce(`a local network for ${network.join(', ')}`)
    const { benchNetwork } = await import('./bench/network.ts')
    rows.push(...(await benchNetwork(network)))
  }
  if (isWanted('attested-answers')) {
    announce('attested-answers')
    rows.push(...(await attestedAnswers()))
  }
  if (isWanted('sandbox')) {
    announce('sandbox')
    const { benchSandbox } = await import('./bench/sandbox.ts')
    rows.push(...(await benchSandbox()))
  }
  if (isWanted('gossip')) {
    announce('gossip beside js-libp2p, four runs of about 40 s each')
    const { benchGossip } = await import('./bench/gossip.ts')
    rows.push(...(await benchGossip()))
  }
  if (isWanted('backfill') || isWanted('idle-stream')) {
    announce('backfill and idle streams')
    const { benchBackfill, benchIdleStreams } = await import('./bench/streams.ts')
    if (isWanted('backfill')) rows.push(...(await benchBackfill()))
    if (isWanted('idle-stream')) rows.push(...(await benchIdleStreams()))
  }
  if (isWanted('stream-log')) {
    announce('stream-log beside SQLite and NATS JetStream, about a minute')
    const { benchStreamLog } = await import('./bench/stream-log.ts')
    rows.push(...(await benchStreamLog()))
  }
  if (isWanted('directory-lookup')) {
    announce('directory-lookup and shard tables')
    const { benchDirectory } = await import('./bench/directory.ts')
    rows.push(...(await benchDirectory()))
  }
  return rows
}

async function attestedAnswers(): Promise<readonly Row[]> {
  const { benchAttestedAnswers } = await import('./bench/attested-answers.ts')
  const { ours, peer, batches, addedP50Ms, addedP99Ms } = await benchAttestedAnswers()
  const of = (wanted: number) => batches.find(({ size }) => size === wanted)
  return [
    row('attested-answers', 'per CPU s', { ours, peer, target: { of: 'ratio', at: 'least', value: 50 } }),
    row('attested-answers, the check in the time too', 'per CPU s', { ours: of(256)!.signedAndVerifiedPerS, peer }),
    row('attested-answers, batches of 16', 'per CPU s', { ours: of(16)!.signedPerS, peer }),
    row('attested-answers added p50 at 1 000/s', 'ms', {
      ours: addedP50Ms,
      target: { of: 'ours', at: 'most', value: 1 },
    }),
    row('attested-answers added p99 at 1 000/s', 'ms', { ours: addedP99Ms }),
  ]
}

function announce(what: string): void {
  process.stderr.write(`▸ ${what} …\n`)
}

function print(rows: readonly Row[]): void {
  const cells = rows.map(({ name, unit, ours, peer, ratio, target, ok }) => [
    name,
    figure(ours),
    peer === undefined ? '' : figure(peer),
    unit,
    ratio === undefined ? '' : `${figure(ratio)} ×`,
    target ?? '',
    ok === undefined ? '' : ok ? '✔' : '✖',
  ])
  const all = [['', 'ours', 'peer', 'unit', 'ratio', 'target', ''], ...cells]
  const widths = all[0]!.map((_, column) => Math.max(...all.map((line) => line[column]!.length)))
  const isNumber = (column: number) => column === 1 || column === 2 || column === 4
  for (const line of all) {
    const padded = line.map((cell, i) => (isNumber(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
    console.log(padded.join('  ').trimEnd())
  }
}

function figure(value: number): string {
  if (!Number.isFinite(value)) return '–'
  return value >= 100 ? Math.round(value).toLocaleString('en').replaceAll(',', ' ') : value.toPrecision(3)
}

const rows = await measureAll()
print(rows)
if (values.json) console.log(JSON.stringify({ rows }))
process.exit(0)
