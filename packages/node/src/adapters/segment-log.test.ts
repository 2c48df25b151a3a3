import { spawn } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Bytes32 } from '@smartlayer/protocol'
import { type BuildOptions, build } from 'esbuild'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { chain, dumpOf, idOf, type OpenLog, streamLogContract } from '../ports/stream-log.contract.ts'
import type { LogEntry } from '../ports/stream-log.ts'
import { type Disk, realDisk } from './segment-log/segments.ts'
import { SegmentLog, type SegmentLogOptions } from './segment-log.ts'

const ALL = { after: 0n, limit: 100_000 }
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'smart-layer-log-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

streamLogContract('the segment log', opener({}))
streamLogContract('the segment log in tiny segments', opener({ segmentBytes: 1_000 }))
streamLogContract('the segment log that loses its index', opener({ segmentBytes: 1_000 }, { losesIndex: true }))

function opener(options: SegmentLogOptions, { losesIndex = false } = {}): () => Promise<OpenLog> {
  return async () => {
    const path = mkdtempSync(join(tmpdir(), 'smart-layer-log-'))
    const open = async (): Promise<OpenLog> => {
      const log = await SegmentLog.open(path, options)
      const reopen = async () => {
        await log.close()
        if (losesIndex) removeIndex(path)
        return open()
      }
      const close = async () => {
        await log.close()
        rmSync(path, { recursive: true, force: true })
      }
      return { log, reopen, close }
    }
    return open()
  }
}

test('its index takes in what was written ahead also where all of it is one bundle, as nodes run it', async () => {
  const bundle = join(folder, 'log.mjs')
  const entry = fileURLToPath(new URL('segment-log.ts', import.meta.url))
  const common = { bundle: true, platform: 'node', format: 'esm', conditions: ['source'] } satisfies BuildOptions
  await build({ entryPoints: [entry], outfile: bundle, ...common })
  const bundled = (await import(bundle)) as { SegmentLog: typeof SegmentLog }
  const log = await bundled.SegmentLog.open(join(folder, 'log'))
  const sizeOfIndex = () => statSync(join(folder, 'log', 'index.db')).size
  const before = sizeOfIndex()
  for (const entries of inPieces(chain(idOf(1), Array(6_000).fill(1)), 500)) await log.append(entries)
  await expect.poll(sizeOfIndex, { timeout: 10_000 }).toBeGreaterThan(before)
  await log.close()
})

function inPieces<T>(values: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(values.length / size) }, (_, i) => values.slice(i * size, (i + 1) * size))
}

describe('one process', () => {
  test('has the log at a time', async () => {
    const log = await SegmentLog.open(folder)
    await expect(SegmentLog.open(folder)).rejects.toMatchObject({ code: 'store.failed' })
    await log.close()
    await (await SegmentLog.open(folder)).close()
  })

  test('writes what waits before it closes, and takes nothing after', async () => {
    const log = await SegmentLog.open(folder)
    const entries = chain(idOf(1), [1, 1, 1])
    const appends = entries.map((entry) => log.append([entry]))
    await Promise.all([log.close(), ...appends])
    await expect(log.append(chain(idOf(2), [1]))).rejects.toMatchObject({ code: 'store.failed' })
    expect(() => log.read(idOf(1), ALL)).toThrowError(/closed/)
    expect(await contents(idOf(1))).toEqual(entries)
  })
})

describe('a full or failing disk', () => {
  test('refuses what has no room, with all that waits behind it, and goes on when there is room again', async () => {
    const disk = new TestDisk()
    const log = await SegmentLog.open(folder, { disk })
    const entries = chain(idOf(1), Array(6).fill(1))
    await log.append(entries.slice(0, 2))
    disk.room = 250
    const first = log.append(entries.slice(2, 4))
    await nextTurn()
    const second = log.append(entries.slice(4))
    await expect(first).rejects.toMatchObject({ code: 'store.full' })
    await expect(second).rejects.toMatchObject({ code: 'store.full' })
    expect(log.read(idOf(1), ALL)).toEqual(entries.slice(0, 2))
    disk.room = Number.POSITIVE_INFINITY
    const others = chain(idOf(1), Array(5).fill(1), 'other').slice(2)
    await log.append(others)
    await log.close()
    expect(await contents(idOf(1))).toEqual([...entries.slice(0, 2), ...others])
  })

  test('leaves nothing of what it refused, whatever happens next', async () => {
    const disk = new TestDisk()
    const log = await SegmentLog.open(folder, { disk })
    const entries = chain(idOf(1), Array(4).fill(1))
    await log.append(entries.slice(0, 1))
    const before = readFileSync(segmentPath()).length
    disk.room = 300
    await expect(Promise.all([log.append([entries[1]!]), log.append([entries[2]!])])).rejects.toBeDefined()
    expect(readFileSync(segmentPath())).toHaveLength(before)
    await log.close()
    expect(await contents(idOf(1))).toEqual(entries.slice(0, 1))
  })

  test('may have no room for a new segment either', async () => {
    const disk = new TestDisk()
    const log = await SegmentLog.open(folder, { disk, segmentBytes: 500 })
    const entries = chain(idOf(1), Array(5).fill(1))
    await log.append(entries.slice(0, 3))
    disk.room = 10
    await expect(log.append(entries.slice(3, 4))).rejects.toMatchObject({ code: 'store.full' })
    disk.room = Number.POSITIVE_INFINITY
    await log.append(entries.slice(3))
    expect(log.stats().segments).toBe(2)
    await log.close()
    expect(await contents(idOf(1))).toEqual(entries)
  })

  test('that fails an fsync ends the log: nothing is taken until it is opened again', async () => {
    const disk = new TestDisk()
    const log = await SegmentLog.open(folder, { disk })
    const entries = chain(idOf(1), [1, 1, 1])
    await log.append(entries.slice(0, 1))
    disk.syncFails = true
    await expect(log.append(entries.slice(1, 2))).rejects.toMatchObject({ code: 'store.failed' })
    disk.syncFails = false
    await expect(log.append(entries.slice(1, 2))).rejects.toMatchObject({ code: 'store.failed' })
    await expect(log.truncate(idOf(1), 0n)).rejects.toMatchObject({ code: 'store.failed' })
    expect(log.read(idOf(1), ALL)).toEqual(entries.slice(0, 1))
    await log.close()
    const again = await SegmentLog.open(folder)
    const head = again.head(idOf(1))!.sequence // what was not acknowledged may be there or not
    await again.append(entries.slice(Number(head)))
    expect(again.read(idOf(1), ALL)).toEqual(entries)
    await again.close()
  })

  test('that has no room for the index delays it: entries are taken and read, until too many wait', async () => {
    const log = await SegmentLog.open(folder, { fsync: false, indexPages: 40 })
    const entries = chain(idOf(1), Array(40_000).fill(1))
    let taken = 0
    const refused = (async () => {
      for (; ; taken += 1_000) await log.append(entries.slice(taken, taken + 1_000))
    })()
    await expect(refused).rejects.toMatchObject({ code: 'store.full' })
    expect(taken).toBeGreaterThan(32_000)
    expect(log.read(idOf(1), ALL)).toEqual(entries.slice(0, taken))
    expect(log.head(idOf(1))?.sequence).toBe(BigInt(taken))
    expect(() => log.stats()).toThrowError(expect.objectContaining({ code: 'store.full' }))
    expect(log.streams({ after: undefined, limit: 1 })).toEqual([idOf(1)])
    await expect(log.truncate(idOf(1), 100n)).rejects.toMatchObject({ code: 'store.full' })
    await log.close()
    const again = await SegmentLog.open(folder, { fsync: false })
    expect(again.head(idOf(1))?.sequence).toBe(BigInt(taken))
    await again.append(entries.slice(taken))
    expect(again.read(idOf(1), ALL)).toEqual(entries)
    await again.close()
  }, 60_000)

  test('is asked for one fsync by all appends that wait', async () => {
    const disk = new TestDisk()
    const log = await SegmentLog.open(folder, { disk })
    const streams = Array.from({ length: 100 }, (_, i) => chain(idOf(i + 1), [1]))
    await log.append(chain(idOf(999), [1]))
    const before = disk.syncs
    await Promise.all(streams.map((entries) => log.append(entries)))
    expect(disk.syncs - before).toBe(1)
    await log.close()
  })
})

describe('the bounds', () => {
  test('of what may wait are kept', async () => {
    const disk = new TestDisk()
    const log = await SegmentLog.open(folder, { disk })
    const entries = chain(idOf(1), Array(66_000).fill(1))
    const waits = log.append(entries.slice(0, 65_000))
    await expect(log.append(entries.slice(65_000))).rejects.toMatchObject({ code: 'queue.full' })
    await waits
    await log.append(entries.slice(65_000))
    expect(log.head(idOf(1))?.sequence).toBe(66_000n)
    await log.close()
  })
})

describe('after a crash', () => {
  test('a tail torn at any byte loses the appends it tears and nothing else', async () => {
    const log = await SegmentLog.open(folder)
    const entries = chain(idOf(1), [1, 2, 1, 2, 1])
    await log.append(entries.slice(0, 2))
    log.stats() // lets the index follow
    const start = readFileSync(segmentPath()).length
    await log.append(entries.slice(2, 4)) // an append of two is torn as a whole
    const between = readFileSync(segmentPath()).length
    await log.append(entries.slice(4))
    const end = readFileSync(segmentPath()).length
    const copy = await copyWhileOpen()
    await log.close()
    for (let size = start; size <= end; size += size < between - 9 ? 9 : 1) {
      const torn = mkdtempSync(join(folder, 'torn-'))
      cpSync(copy, torn, { recursive: true })
      truncateSync(segmentPath(torn), size)
      if (size % 2 === 0) removeIndex(torn)
      const kept = size < between ? 2 : size < end ? 4 : 5
      const again = await SegmentLog.open(torn)
      expect([start, between, end]).toContain(readFileSync(segmentPath(torn)).length)
      expect(again.read(idOf(1), ALL), `cut at ${size}`).toEqual(entries.slice(0, kept))
      await again.append(entries.slice(kept))
      await again.close()
      expect(await contents(idOf(1), torn), `cut at ${size}`).toEqual(entries)
      rmSync(torn, { recursive: true })
    }
  })

  test('a group of which later pages reached the disk and earlier ones did not is torn as a whole', async () => {
    const log = await SegmentLog.open(folder)
    const entries = chain(idOf(1), Array(8).fill(1))
    await log.append(entries.slice(0, 2))
    const start = readFileSync(segmentPath()).length
    await Promise.all(entries.slice(2).map((entry) => log.append([entry])))
    const copy = await copyWhileOpen()
    await log.close()
    for (const losesIndex of [false, true]) {
      if (losesIndex) removeIndex(copy)
      const torn = mkdtempSync(join(folder, 'torn-'))
      cpSync(copy, torn, { recursive: true })
      const bytes = readFileSync(segmentPath(torn))
      bytes.fill(0, start, start + 300)
      writeFileSync(segmentPath(torn), bytes)
      const again = await SegmentLog.open(torn)
      expect(again.head(idOf(1))?.sequence).toBe(2n)
      await again.append(entries.slice(2))
      expect(again.read(idOf(1), ALL)).toEqual(entries)
      await again.close()
    }
  })

  test('what the index missed is read again, with changes of every kind', async () => {
    const log = await SegmentLog.open(folder, { segmentBytes: 2_000 })
    for (const n of [1, 2, 3]) await log.append(chain(idOf(n), [1, 2, 3, 1, 2, 3, 1, 1]))
    await log.truncate(idOf(1), 5n)
    await log.append(chain(idOf(1), [1, 2, 3, 1, 2, 1], 'other').slice(5))
    await log.prune(idOf(2), { floor: 6n, keepLatest: true })
    await log.prune(idOf(3), { floor: 7n, keepLatest: false })
    const dump = dumpOf(log)
    const copy = await copyWhileOpen()
    await log.close()
    const again = await SegmentLog.open(copy)
    expect(dumpOf(again)).toEqual(dump)
    await again.close()
  })

  test('kill -9 loses nothing that was acknowledged and leaves no gap', async () => {
    const acknowledged = new Map<string, number>()
    for (let round = 0; round < 4; round++) {
      const places = await runUntilKilled({ lines: 150 + round * 150 })
      for (const [stream, sequence] of places)
        acknowledged.set(stream, Math.max(sequence, acknowledged.get(stream) ?? 0))
      const log = await SegmentLog.open(folder, { segmentBytes: 200_000 })
      for (const [stream, sequence] of acknowledged) {
        const id = stream as Bytes32
        const kept = log.read(id, ALL)
        expect(kept.length).toBeGreaterThanOrEqual(sequence)
        expect(kept.every((entry, i) => entry.sequence === BigInt(i + 1))).toBe(true)
        expect(log.head(id)?.sequence).toBe(BigInt(kept.length))
      }
      await log.close()
    }
    expect([...acknowledged.values()].reduce((sum, each) => sum + each, 0)).toBeGreaterThan(1_000)
  }, 20_000)
})

describe('a disk that changes bytes', () => {
  test('spoils the entry it changes and no other', async () => {
    const entries = chain(idOf(1), [1, 2, 1, 2, 1])
    const log = await SegmentLog.open(folder)
    const ends = []
    for (const entry of entries) {
      await log.append([entry])
      ends.push(readFileSync(segmentPath()).length)
    }
    log.stats() // lets the index follow
    for (let at = ends[1]!; at < ends[2]!; at += 3) {
      const original = flip(segmentPath(), at)
      expect(() => log.at(idOf(1), 3n), `byte ${at}`).toThrowError(expect.objectContaining({ code: 'store.corrupt' }))
      expect([1n, 2n, 4n, 5n].map((sequence) => log.at(idOf(1), sequence)?.sequence)).toEqual([1n, 2n, 4n, 5n])
      expect(log.read(idOf(1), ALL)).toEqual(entries.slice(0, 2))
      expect(() => log.read(idOf(1), { after: 2n, limit: 5 })).toThrowError(/checksum/)
      expect(log.read(idOf(1), { after: 3n, limit: 5 })).toEqual(entries.slice(3))
      writeFileSync(segmentPath(), original)
    }
    await log.close()
  })

  test('is told what it changed, and what is mended reads as before, also when the index is made again', async () => {
    const entries = chain(idOf(1), [1, 2, 1, 2, 1])
    const log = await SegmentLog.open(folder)
    const ends: number[] = []
    for (const entry of entries) {
      await log.append([entry])
      ends.push(readFileSync(segmentPath()).length)
    }
    await log.close()
    for (const withIndex of [true, false]) {
      const copy = mkdtempSync(join(folder, 'copy-'))
      copyFileSync(segmentPath(), segmentPath(copy))
      if (withIndex) copyFileSync(join(folder, 'index.db'), join(copy, 'index.db'))
      flip(segmentPath(copy), ends[1]! + 20)
      flip(segmentPath(copy), ends[2]! + 20)
      const spoilt = await SegmentLog.open(copy)
      expect(spoilt.read(idOf(1), ALL)).toEqual(entries.slice(0, 2))
      expect(() => spoilt.read(idOf(1), { after: 3n, limit: 1 })).toThrowError(/checksum/)
      expect(new Set(spoilt.damaged().map(({ sequence }) => sequence))).toEqual(new Set([3n, 4n]))
      if (withIndex) await spoilt.mend([{ ...entries[2]!, uid: idOf(99) }]) // another one is no help
      await spoilt.mend([entries[3]!, entries[4]!])
      await spoilt.mend([entries[2]!])
      expect(spoilt.damaged()).toEqual([])
      expect(spoilt.read(idOf(1), ALL)).toEqual(entries)
      expect(spoilt.readSubset(idOf(1), idOf(2), ALL)).toEqual([entries[1], entries[3]])
      expect(spoilt.stats()).toMatchObject({ entries: 5 })
      await spoilt.close()
      removeIndex(copy)
      const again = await SegmentLog.open(copy)
      expect(again.read(idOf(1), ALL)).toEqual(entries)
      expect(again.head(idOf(1))?.sequence).toBe(5n)
      await again.truncate(idOf(1), 2n)
      expect(again.read(idOf(1), ALL)).toEqual(entries.slice(0, 2))
      await again.close()
    }
  })

  test('that hides the last entry of a subset hides where the subset ends, until it is mended', async () => {
    const entries = chain(idOf(1), [1, 2, 1, 2, 1, 1, 2])
    const log = await SegmentLog.open(folder)
    const ends: number[] = []
    for (const entry of entries.slice(0, 6)) {
      await log.append([entry])
      ends.push(readFileSync(segmentPath()).length)
    }
    await log.close()
    removeIndex(folder)
    flip(segmentPath(), ends[2]! + 20)
    const spoilt = await SegmentLog.open(folder)
    expect(spoilt.subsetHead(idOf(1), idOf(2))?.subSequence).toBe(1n)
    await expect(spoilt.append([entries[6]!])).rejects.toMatchObject({ code: 'stream.sequence_gap' })
    await spoilt.mend([entries[3]!])
    expect(spoilt.subsetHead(idOf(1), idOf(2))?.subSequence).toBe(2n)
    await spoilt.append([entries[6]!])
    expect(spoilt.read(idOf(1), ALL)).toEqual(entries)
    await spoilt.close()
  })

  test('spoils no other entry when the index is made again either, and the hole is told from the end', async () => {
    const entries = chain(idOf(1), [1, 2, 1, 2, 1, 2, 1])
    const log = await SegmentLog.open(folder)
    const ends: number[] = []
    for (const entry of entries) {
      await log.append([entry])
      ends.push(readFileSync(segmentPath()).length)
    }
    await log.close()
    removeIndex(folder)
    for (let at = ends[1]!; at < ends[2]!; at += 7) {
      const copy = mkdtempSync(join(folder, 'copy-'))
      copyFileSync(segmentPath(), segmentPath(copy))
      flip(segmentPath(copy), at)
      const again = await SegmentLog.open(copy)
      expect(() => again.at(idOf(1), 3n), `byte ${at}`).toThrowError(expect.objectContaining({ code: 'store.corrupt' }))
      expect(again.head(idOf(1))?.sequence).toBe(7n)
      expect(again.read(idOf(1), ALL)).toEqual(entries.slice(0, 2))
      expect(() => again.read(idOf(1), { after: 2n, limit: 5 })).toThrowError(/checksum/)
      expect(again.read(idOf(1), { after: 3n, limit: 5 })).toEqual(entries.slice(3))
      expect(again.readSubset(idOf(1), idOf(2), ALL)).toEqual([entries[1], entries[3], entries[5]])
      expect(again.readSubset(idOf(1), idOf(1), ALL)).toEqual([entries[0]])
      await again.close()
    }
  })

  test('in every header makes the log refuse to open rather than to cut everything off', async () => {
    const log = await SegmentLog.open(folder)
    await log.append(chain(idOf(1), [1]))
    await log.close()
    const before = flip(segmentPath(), 9)
    await expect(SegmentLog.open(folder)).rejects.toMatchObject({
      code: 'store.failed',
      cause: { code: 'store.corrupt' },
    })
    writeFileSync(segmentPath(), before)
    expect(await contents(idOf(1))).toHaveLength(1)
  })

  test('in the index has it made again', async () => {
    const entries = chain(idOf(1), Array(50).fill(1))
    const log = await SegmentLog.open(folder)
    await log.append(entries)
    await log.close()
    writeFileSync(join(folder, 'index.db'), 'no database')
    expect(await contents(idOf(1))).toEqual(entries)
  })

  test('and anything else that the segments or the index may hold, crashes nothing', async () => {
    const entries = [chain(idOf(1), [1, 2, 1, 2]), chain(idOf(2), [1, 1, 1, 3])]
    const log = await SegmentLog.open(folder, { segmentBytes: 1_000 })
    for (let i = 0; i < 4; i++) await log.append(entries.map((each) => each[i]!))
    await log.truncate(idOf(1), 3n)
    await log.prune(idOf(2), { floor: 3n, keepLatest: false })
    await log.close()
    const files = readdirSync(folder).filter((name) => name.endsWith('.segment') || name === 'index.db')
    const mutation = fc.record({
      file: fc.constantFrom(...files),
      at: fc.nat(1_200),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
      losesIndex: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
        const copy = mkdtempSync(join(folder, 'copy-'))
        for (const name of files) copyFileSync(join(folder, name), join(copy, name))
        for (const { file, at, bytes } of mutations) {
          const content = readFileSync(join(copy, file))
          content.set(bytes.subarray(0, Math.max(0, content.length - at)), Math.min(at, content.length))
          writeFileSync(join(copy, file), content)
        }
        if (mutations[0]!.losesIndex) removeIndex(copy)
        await expectNoCrash(copy)
        rmSync(copy, { recursive: true })
      }),
      { numRuns: 150 },
    )
  })
})

describe('segments', () => {
  test('without life are removed, and those with little are copied', async () => {
    const log = await SegmentLog.open(folder, { segmentBytes: 4_000 })
    for (let i = 0; i < 40; i++) await log.append([...chain(idOf(1), Array(i + 1).fill(1)).slice(i), ...other(i)])
    const before = log.stats().segments
    expect(before).toBeGreaterThan(3)
    await log.prune(idOf(1), { floor: 40n, keepLatest: true })
    await log.prune(idOf(2), { floor: 38n, keepLatest: false })
    expect(log.stats()).toMatchObject({ segments: 1, entries: 3 })
    expect(log.at(idOf(2), 39n)).toEqual(other(38)[0])
    await log.close()
    removeIndex(folder)
    const again = await SegmentLog.open(folder)
    expect(again.stats()).toMatchObject({ streams: 2, entries: 3 })
    expect(again.head(idOf(2))?.sequence).toBe(40n)
    expect(again.floor(idOf(2))).toBe(38n)
    await again.close()
  })

  test('are copied while appends, reads and prunings go on, and nothing is lost', async () => {
    const log = await SegmentLog.open(folder, { segmentBytes: 20_000 })
    const count = 1_500
    const subsets = Array.from({ length: count }, (_, i) => i % 4)
    const streams = [1, 2].map((n) => chain(idOf(n), subsets))
    const rare = chain(idOf(3), subsets.slice(0, 100))
    const writers = streams.map(async (entries) => {
      for (let i = 0; i < count; i += 5) await log.append(entries.slice(i, i + 5))
    })
    const rareWriter = (async () => {
      for (const [i, each] of rare.entries()) {
        while ((log.head(idOf(1))?.sequence ?? 0n) < BigInt(i * 15)) await nextTurn()
        await log.append([each])
      }
    })()
    const pruner = (async () => {
      for (let floor = 50n; floor < 1_400n; floor += 50n) {
        while ((log.head(idOf(1))?.sequence ?? 0n) < floor + 50n) await nextTurn()
        await Promise.all([
          log.prune(idOf(1), { floor, keepLatest: true }),
          log.prune(idOf(2), { floor: (log.head(idOf(2))?.sequence ?? 0n) - 20n, keepLatest: false }),
        ])
        const seen = log.read(idOf(3), ALL)
        expect(seen).toEqual(rare.slice(0, seen.length))
      }
    })()
    await Promise.all([...writers, rareWriter, pruner])
    const check = (each: SegmentLog) => {
      expect(each.read(idOf(3), ALL)).toEqual(rare)
      expect(each.read(idOf(2), ALL)).toEqual(streams[1]!.slice(Number(each.floor(idOf(2)))))
      expect(each.read(idOf(1), ALL)).toEqual(streams[0]!.slice(1_346))
    }
    expect(log.stats().segments).toBeLessThan(10)
    check(log)
    await log.close()
    removeIndex(folder)
    const again = await SegmentLog.open(folder)
    check(again)
    await again.close()
  })
})

test('another thread moves what the index has saved into its file', async () => {
  const log = await SegmentLog.open(folder, { fsync: false })
  const entries = chain(idOf(1), Array(6_000).fill(1))
  for (let i = 0; i < entries.length; i += 1_000) await log.append(entries.slice(i, i + 1_000))
  log.stats() // lets the index follow
  const size = () => statSync(join(folder, 'index.db')).size
  await expect.poll(size, { timeout: 10_000 }).toBeGreaterThan(200_000)
  await log.close()
})

test('idle streams cost no memory', async () => {
  const streams = 30_000
  const log = await SegmentLog.open(folder, { fsync: false })
  for (let n = 0; n < streams; n += 1_000) {
    await log.append(Array.from({ length: 1_000 }, (_, i) => chain(idOf(n + i + 1), [1])[0]!))
  }
  await log.close()
  const before = heapBytes()
  const again = await SegmentLog.open(folder)
  expect(again.stats()).toMatchObject({ streams, entries: streams })
  expect((heapBytes() - before) / streams).toBeLessThan(300)
  await again.close()
}, 60_000)

/** What a new process would find of a stream. */
async function contents(stream: Bytes32, path = folder): Promise<readonly LogEntry[]> {
  const log = await SegmentLog.open(path)
  const entries = log.read(stream, ALL)
  await log.close()
  return entries
}

function other(i: number): LogEntry[] {
  return chain(idOf(2), Array(i + 1).fill(2)).slice(i)
}

/** The files as they are, without what the process still holds in memory: what a crash would leave. */
async function copyWhileOpen(): Promise<string> {
  const copy = join(folder, 'copy')
  const names = readdirSync(folder).filter((name) => name.endsWith('.segment') || name.startsWith('index.db'))
  for (const name of names) cpSync(join(folder, name), join(copy, name))
  return copy
}

async function expectNoCrash(path: string): Promise<void> {
  let log: SegmentLog
  try {
    log = await SegmentLog.open(path)
  } catch (error) {
    expect(error).toHaveProperty('code', 'store.failed')
    return
  }
  for (const stream of [idOf(1), idOf(2)]) {
    for (const read of [
      () => log.read(stream, ALL),
      () => log.readSubset(stream, idOf(1), ALL),
      () => log.at(stream, 2n),
    ]) {
      try {
        read()
      } catch (error) {
        expect(error).toHaveProperty('code', 'store.corrupt')
      }
    }
  }
  await log.close()
}

/** Runs a process that appends until it is killed; returns the highest place that it acknowledged per stream. */
async function runUntilKilled({ lines }: { lines: number }): Promise<ReadonlyMap<string, number>> {
  const program = `
    import { SegmentLog } from ${JSON.stringify(join(import.meta.dirname, 'segment-log.ts'))}
    const log = await SegmentLog.open(${JSON.stringify(folder)}, { segmentBytes: 200_000 })
    const bytes = new Uint8Array(500).fill(7)
    const write = async (n) => {
      const stream = '0x' + String(n).padStart(64, '0')
      for (;;) {
        const sequence = (log.head(stream)?.sequence ?? 0n) + 1n
        const entry = (sequence) => ({ stream, epoch: 1n, sequence, subset: stream, subSequence: sequence, uid: stream, bytes })
        await log.append([entry(sequence), entry(sequence + 1n)])
        process.stdout.write(stream + ' ' + (sequence + 1n) + '\\n')
      }
    }
    for (let n = 1; n <= 8; n++) void write(n)`
  const child = spawn(process.execPath, ['--conditions=source', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  for await (const chunk of child.stdout) {
    text += chunk
    if (text.split('\n').length > lines) break
  }
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  const places = text
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split(' '))
  return new Map(places.map(([stream, sequence]) => [stream!, Number(sequence)]))
}

/** A real disk with `room` bytes left, whose fsync can be made to fail. */
class TestDisk implements Disk {
  room = Number.POSITIVE_INFINITY
  syncFails = false
  syncs = 0

  async write(file: number, bytes: Uint8Array, at: number): Promise<number> {
    if (this.room === 0) throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
    const written = await realDisk.write(file, bytes.subarray(0, Math.min(this.room, bytes.length)), at)
    this.room -= written
    return written
  }

  async sync(file: number): Promise<void> {
    this.syncs++
    if (this.syncFails) throw Object.assign(new Error('input/output error'), { code: 'EIO' })
    await realDisk.sync(file)
  }
}

function segmentPath(path = folder): string {
  return join(path, '0000000001.segment')
}

/** Turns one byte into another; returns the file as it was. */
function flip(path: string, at: number): Buffer {
  const original = readFileSync(path)
  const changed = Buffer.from(original)
  changed[at]! ^= 0x41
  writeFileSync(path, changed)
  return original
}

function removeIndex(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(path, `index.db${suffix}`), { force: true })
}

function heapBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
