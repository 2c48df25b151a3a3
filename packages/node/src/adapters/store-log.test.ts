import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Store, Write } from '../ports/store.ts'
import { chain, idOf, type OpenLog, streamLogContract } from '../ports/stream-log.contract.ts'
import { SqliteStore } from './sqlite-store.ts'
import { storeLog } from './store-log.ts'

streamLogContract('the log on a store in memory', async () => {
  const store = memoryStore()
  const open = async (): Promise<OpenLog> => ({ log: storeLog(store), reopen: open, close: async () => {} })
  return open()
})

streamLogContract('the log on one SQLite file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'smart-layer-log-'))
  const open = async (): Promise<OpenLog> => {
    const store = new SqliteStore(join(folder, 'node.db'))
    const reopen = async () => {
      store.close()
      return open()
    }
    const close = async () => {
      store.close()
      rmSync(folder, { recursive: true, force: true })
    }
    return { log: storeLog(store), reopen, close }
  }
  return open()
})

test('when a commit is refused, what waited behind it is refused too, and the log goes on from its head', async () => {
  const store = memoryStore()
  const log = storeLog(store)
  const entries = chain(idOf(1), [1, 1, 1])
  await log.append(entries.slice(0, 1))
  store.refuseNext()
  const first = log.append(entries.slice(1, 2))
  await Promise.resolve()
  const second = log.append(entries.slice(2))
  await expect(first).rejects.toThrowError('no room')
  await expect(second).rejects.toThrowError('no room')
  expect(log.head(idOf(1))?.sequence).toBe(1n)
  await log.append(entries.slice(1))
  expect(log.head(idOf(1))?.sequence).toBe(3n)
})

test('a pruning that was cut off is finished when it is asked for again', async () => {
  const store = memoryStore()
  const log = storeLog(store)
  await log.append(chain(idOf(1), Array(600).fill(1)))
  store.refuseNext(2)
  await expect(log.prune(idOf(1), { floor: 590n, keepLatest: true })).rejects.toThrowError('no room')
  expect(log.floor(idOf(1))).toBe(590n)
  const again = storeLog(store)
  await again.prune(idOf(1), { floor: 590n, keepLatest: true })
  expect(again.places(idOf(1), { after: 0n, limit: 1_000 }).map(({ sequence }) => sequence)).toHaveLength(11)
  expect(again.stats()).toMatchObject({ streams: 1, entries: 11, bytes: 440 })
})

test('only keys of the log are written, and the same calls write the same rows', async () => {
  const stores = [memoryStore(), memoryStore()]
  for (const store of stores) {
    const log = storeLog(store)
    await Promise.all([log.append(chain(idOf(1), [1, 2, 1])), log.append(chain(idOf(2), [1]))])
    await log.prune(idOf(1), { floor: 2n, keepLatest: false })
    await log.truncate(idOf(1), 2n)
  }
  expect(stores[0]!.dump()).toEqual(stores[1]!.dump())
  expect(stores[0]!.dump().every(([key]) => key.startsWith('log/'))).toBe(true)
})

type MemoryStore = Store & { dump(): [string, Uint8Array][]; refuseNext(after?: number): void }

/** Commits become visible a turn later; one of them can be made to fail. */
function memoryStore(): MemoryStore {
  const rows = new Map<string, Uint8Array>()
  let commitsUntilRefusal = Number.POSITIVE_INFINITY
  const sorted = () => [...rows].sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    get: (key) => rows.get(key),
    range: ({ from, to, limit }) => {
      const found = sorted().filter(([key]) => key >= from && key < to)
      return found.slice(0, limit)
    },
    commit: async (writes: readonly Write[]) => {
      await new Promise((resolve) => setImmediate(resolve))
      if (commitsUntilRefusal-- === 1) throw new Error('no room')
      for (const { key, value } of writes) value ? rows.set(key, value) : rows.delete(key)
    },
    dump: sorted,
    refuseNext: (after = 1) => {
      commitsUntilRefusal = after
    },
  }
}
