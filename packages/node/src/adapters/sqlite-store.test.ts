import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SqliteStore } from './sqlite-store.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined) => value && new TextDecoder().decode(value)
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'smart-layer-store-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('what was committed is there after opening again, in key order and within the bounds asked for', async () => {
  const store = new SqliteStore(join(folder, 'a.db'))
  await store.commit([
    { key: 'b/2', value: bytes('two') },
    { key: 'b/1', value: bytes('one') },
    { key: 'c', value: bytes('other') },
  ])
  await store.commit([{ key: 'c', value: undefined }])
  store.close()
  const again = new SqliteStore(join(folder, 'a.db'))
  expect(text(again.get('b/1'))).toBe('one')
  expect(again.get('c')).toBeUndefined()
  expect(again.range({ from: 'b/', to: 'b/~', limit: 10 }).map(([key]) => key)).toEqual(['b/1', 'b/2'])
  expect(again.range({ from: 'b/', to: 'b/~', limit: 1 })).toHaveLength(1)
  again.close()
})

test('a commit is all or nothing: a value over the limit keeps its neighbours out', async () => {
  const store = new SqliteStore(join(folder, 'a.db'))
  const writes = [
    { key: 'small', value: bytes('x') },
    { key: 'large', value: new Uint8Array(1_048_577) },
  ]
  await expect(store.commit(writes)).rejects.toMatchObject({ code: 'message.too_large' })
  expect(store.get('small')).toBeUndefined()
  store.close()
})

test('a second process cannot open the same file', () => {
  const store = new SqliteStore(join(folder, 'a.db'))
  expect(() => new SqliteStore(join(folder, 'a.db'))).toThrowError(/could not open/)
  store.close()
})

test('a commit that fails leaves nothing behind, and the store refuses everything from then on', async () => {
  const store = new SqliteStore(join(folder, 'a.db'))
  await store.commit([{ key: 'a', value: bytes('kept') }])
  const broken = [
    { key: 'b', value: bytes('lost') },
    { key: 'c', value: {} as Uint8Array },
  ]
  await expect(store.commit(broken)).rejects.toBeDefined()
  await expect(store.commit([{ key: 'c', value: bytes('x') }])).rejects.toMatchObject({ code: 'store.failed' })
  expect(() => store.get('a')).toThrowError(/could not/)
  const again = await reopened(store)
  expect(text(again.get('a'))).toBe('kept')
  expect(again.get('b')).toBeUndefined()
  again.close()
})

test('a full disk takes nothing of a commit, and the store goes on when there is room again', async () => {
  const store = new SqliteStore(join(folder, 'a.db'), { pages: 16 })
  await store.commit([{ key: 'a', value: bytes('kept') }])
  const large = [
    { key: 'b', value: bytes('lost') },
    { key: 'large', value: new Uint8Array(200_000) },
  ]
  await expect(store.commit(large)).rejects.toMatchObject({ code: 'store.full' })
  expect(store.get('b')).toBeUndefined()
  expect(text(store.get('a'))).toBe('kept')
  await store.commit([{ key: 'c', value: bytes('fits') }])
  const again = await reopened(store)
  expect(text(again.get('a'))).toBe('kept')
  expect(text(again.get('c'))).toBe('fits')
  expect(again.get('b')).toBeUndefined()
  again.close()
})

test('after close nothing is acknowledged any more', async () => {
  const store = new SqliteStore(join(folder, 'a.db'))
  store.close()
  await expect(store.commit([{ key: 'a', value: bytes('x') }])).rejects.toMatchObject({ code: 'store.failed' })
})

test('kill -9 loses nothing that was acknowledged', async () => {
  const path = join(folder, 'killed.db')
  const program = `
    import { SqliteStore } from ${JSON.stringify(join(import.meta.dirname, 'sqlite-store.ts'))}
    const store = new SqliteStore(${JSON.stringify(path)})
    for (let n = 0; ; n++) {
      await store.commit([{ key: 'n/' + String(n).padStart(9, '0'), value: Uint8Array.of(1) }])
      process.stdout.write(n + '\\n')
    }`
  const child = spawn(process.execPath, ['--conditions=source', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let acknowledged = -1
  for await (const chunk of child.stdout) {
    acknowledged = Number(String(chunk).trim().split('\n').at(-1))
    if (acknowledged >= 50) break
  }
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  const store = new SqliteStore(path)
  const kept = store.range({ from: 'n/', to: 'n/~', limit: 1_000_000 })
  expect(kept.length).toBeGreaterThan(acknowledged)
  store.close()
})

async function reopened(store: SqliteStore): Promise<SqliteStore> {
  store.close()
  return new SqliteStore(join(folder, 'a.db'))
}
