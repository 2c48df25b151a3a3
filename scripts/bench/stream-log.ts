/** The log of streams: appends and reads per CPU second beside one SQLite file and NATS JetStream, and memory at rest. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Bytes32 } from '@smartlayer/protocol'
import { SegmentLog } from '../../packages/node/src/adapters/segment-log.ts'
import { SqliteStore } from '../../packages/node/src/adapters/sqlite-store.ts'
import { storeLog } from '../../packages/node/src/adapters/store-log.ts'
import type { LogEntry, StreamLog } from '../../packages/node/src/ports/stream-log.ts'
import { type Nats, startNats } from './nats-server.ts'
import { cpuOf } from './processes.ts'
import { cpuNowS, median, type Row, row } from './row.ts'

const ROUNDS = 3
const STREAMS = 1_000
/** How many appends are under way at once, and how many there are in all. */
const GROUPS = [
  { size: 1, entries: 3_000, sqliteEntries: 1_500 },
  { size: 64, entries: 30_000, sqliteEntries: 8_000 },
  { size: 512, entries: 30_000, sqliteEntries: 8_000 },
] as const
const IDLE_STREAMS = 100_000
const IDLE_BATCH = 1_000
const IDLE_BYTES = 1_024
const PAGE = 100
const body = new Uint8Array(randomBytes(1_024))

type Group = (typeof GROUPS)[number]
/** A log with what it appends to; `close` writes what it owes. */
type Opened = { readonly log: StreamLog; readonly close: () => Promise<void> }
type Open = (folder: string) => Promise<Opened>
/** Entries per CPU second, this process and the server together. */
type Figures = { readonly appendsPerS: number; readonly readsPerS: number }

const durable: Open = async (folder) => opened(await SegmentLog.open(folder))
const unsynced: Open = async (folder) => opened(await SegmentLog.open(folder, { fsync: false }))
const sqlite: Open = async (folder) => {
  const store = new SqliteStore(join(folder, 'node.db'))
  return { log: storeLog(store), close: async () => store.close() }
}

/** Every figure is the median of rounds in which all candidates take their turn. */
export async function benchStreamLog(): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const group of GROUPS) {
    const rounds = []
    for (let round = 0; round < ROUNDS; round++) rounds.push(await measureRound(group))
    rows.push(...rowsOf(group, rounds))
  }
  return [...rows, await idleRow()]
}

async function measureRound(group: Group) {
  return {
    durable: await measureLog(durable, group.size, group.entries),
    nats: await measureNats(group),
    unsynced: await measureLog(unsynced, group.size, group.entries),
    sqlite: await measureLog(sqlite, group.size, group.sqliteEntries),
  }
}

function rowsOf({ size }: Group, rounds: readonly Awaited<ReturnType<typeof measureRound>>[]): readonly Row[] {
  const of = (figure: (round: (typeof rounds)[number]) => number) => median(rounds.map(figure))
  const ours = of((round) => round.durable.appendsPerS)
  const oursUnsynced = of((round) => round.unsynced.appendsPerS)
  const name = `append of 1 KiB, ${size} at a time`
  const rows = [
    row(`${name}, fsync, beside one SQLite file with fsync`, '/CPU s', {
      ours,
      peer: of((round) => round.sqlite.appendsPerS),
    }),
  ]
  const { nats } = rounds[0]!
  if (nats) {
    const peer = of((round) => round.nats!.appendsPerS)
    const server = `NATS JetStream ${nats.version}`
    rows.push(
      row(`${name}, no fsync, beside ${server}, which acknowledges without fsync`, '/CPU s', {
        ours: oursUnsynced,
        peer,
        target: { of: 'ratio', at: 'least', value: 1 },
      }),
      row(`${name}, fsync, beside the same without fsync`, '/CPU s', { ours, peer }),
    )
  } else rows.push(row(`${name}, no fsync (nats-server is missing: no peer)`, '/CPU s', { ours: oursUnsynced }))
  if (size === GROUPS.at(-1)!.size) {
    const peer = of((round) => round.sqlite.readsPerS)
    rows.push(
      row(`entries of 1 KiB read, ${PAGE} at a time, beside one SQLite file`, '/CPU s', {
        ours: of((round) => round.durable.readsPerS),
        peer,
      }),
    )
  }
  return rows
}

async function measureLog(open: Open, size: number, entries: number): Promise<Figures> {
  return inFolder(async (folder) => {
    const { log, close } = await open(folder)
    const before = cpuNowS()
    await inGroups(entries, size, (i) => log.append([entryOf(i)]))
    log.stats() // the index is part of the work
    const appendedS = cpuNowS() - before
    const readsPerS = readAll(log, entries)
    await close()
    return { appendsPerS: entries / appendedS, readsPerS }
  })
}

function readAll(log: StreamLog, entries: number): number {
  const before = cpuNowS()
  let read = 0
  for (let n = 0; n < Math.min(STREAMS, entries); n++) {
    for (let after = 0n, page = PAGE; page === PAGE; after += BigInt(page)) {
      page = log.read(streamId(n), { after, limit: PAGE }).length
      read += page
    }
  }
  if (read !== entries) throw new Error(`${read} of ${entries} entries came back`)
  return read / (cpuNowS() - before)
}

async function measureNats({ size, entries }: Group): Promise<{ appendsPerS: number; version: string } | undefined> {
  return inFolder(async (folder) => {
    const nats: Nats | undefined = await startNats(folder)
    if (!nats) return undefined
    try {
      const before = cpuNowS() + cpuOf([nats.pid])
      await inGroups(entries, size, (i) => nats.publish(i % STREAMS, body))
      return { appendsPerS: entries / (cpuNowS() + cpuOf([nats.pid]) - before), version: nats.version }
    } finally {
      await nats.stop()
    }
  })
}

/** A window of `size` appends, all acknowledged before the next one. */
async function inGroups(entries: number, size: number, append: (i: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < entries; i += size) {
    await Promise.all(Array.from({ length: Math.min(size, entries - i) }, (_, offset) => append(i + offset)))
  }
}

/** What a process grows by when the log that it opens has a hundred thousand streams instead of one. */
async function idleRow(): Promise<Row> {
  const [one, many] = [await openedMemory(1), await openedMemory(IDLE_STREAMS)]
  return row(
    `memory of the log per idle stream, of ${IDLE_STREAMS.toLocaleString('en').replaceAll(',', ' ')}`,
    'bytes',
    {
      ours: Math.max(0, many - one) / IDLE_STREAMS,
      target: { of: 'ours', at: 'most', value: IDLE_BYTES },
    },
  )
}

async function openedMemory(streams: number): Promise<number> {
  return inFolder(async (folder) => {
    const log = await SegmentLog.open(folder, { fsync: false })
    for (let n = 0; n < streams; n += IDLE_BATCH) {
      const count = Math.min(IDLE_BATCH, streams - n)
      await log.append(Array.from({ length: count }, (_, i) => ({ ...entryOf(0), stream: streamId(n + i) })))
    }
    await log.close()
    return rssAfterOpening(folder)
  })
}

function rssAfterOpening(folder: string): Promise<number> {
  const path = join(import.meta.dirname, '../../packages/node/src/adapters/segment-log.ts')
  const program = `
    import { SegmentLog } from ${JSON.stringify(path)}
    const log = await SegmentLog.open(${JSON.stringify(folder)})
    for (let i = 0; i < 3; i++) globalThis.gc()
    console.log(process.memoryUsage().rss)
    await log.close()`
  const args = ['--expose-gc', '--conditions=source', '--disable-warning=ExperimentalWarning', '--input-type=module']
  const child = spawn(process.execPath, [...args, '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve(Number(text)) : reject(new Error(`the log did not open (${code})`)),
    )
  })
}

function opened(log: SegmentLog): Opened {
  return { log, close: () => log.close() }
}

/** The streams take turns. */
function entryOf(i: number): LogEntry {
  const sequence = BigInt(Math.floor(i / STREAMS) + 1)
  const stream = streamId(i % STREAMS)
  return { stream, epoch: 1n, sequence, subset: stream, subSequence: sequence, uid: idOf(i), bytes: body }
}

function streamId(n: number): Bytes32 {
  return idOf(2 ** 40 + n)
}

function idOf(n: number): Bytes32 {
  return `0x${n.toString(16).padStart(64, '0')}`
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'smart-layer-bench-'))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
