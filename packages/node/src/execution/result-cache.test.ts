import { expect, it } from 'vitest'
import { KeptWithin } from './kept-within.ts'
import { ResultCache } from './result-cache.ts'

function counting() {
  const counts: Record<string, number> = {}
  const telemetry = {
    count: (_: string, labels?: Readonly<Record<string, string>>) => {
      counts[labels!.from!] = (counts[labels!.from!] ?? 0) + 1
    },
  }
  return { counts, telemetry }
}

it('computes a result once for all who ask at the same time, and for all who ask later', async () => {
  const { counts, telemetry } = counting()
  const cache = new ResultCache(10_000, telemetry)
  let computed = 0
  let finish = (_: string) => {}
  const compute = () => {
    computed++
    return new Promise<string>((done) => {
      finish = done
    })
  }
  const asked = Array.from({ length: 50 }, () => cache.get('key', compute))
  finish('42')
  expect(new Set(await Promise.all(asked))).toEqual(new Set(['42']))
  expect(await cache.get('key', compute)).toBe('42')
  expect(computed).toBe(1)
  expect(counts).toEqual({ sandbox: 1, shared: 49, cache: 1 })
})

it('computes anew for whoever bypasses it, and does not keep that', async () => {
  const { counts, telemetry } = counting()
  const cache = new ResultCache(10_000, telemetry)
  await cache.get('key', async () => 'kept')
  expect(await cache.bypass(async () => 'anew')).toBe('anew')
  expect(await cache.get('key', async () => 'never')).toBe('kept')
  expect(counts).toEqual({ sandbox: 1, bypass: 1, cache: 1 })
})

it('tells a failure to all who wait for it, and tries again for the next', async () => {
  const cache = new ResultCache(10_000, counting().telemetry)
  const fail = async () => Promise.reject(new Error('the sandbox is gone'))
  const asked = await Promise.allSettled([cache.get('key', fail), cache.get('key', fail)])
  expect(asked.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await cache.get('key', async () => 'there again')).toBe('there again')
})

it('refuses more different results under way than it can hold', async () => {
  const cache = new ResultCache(10_000, counting().telemetry)
  const never = () => new Promise<string>(() => {})
  for (let i = 0; i < 1_024; i++) void cache.get(`key ${i}`, never)
  expect(() => cache.get('one more', never)).toThrow(expect.objectContaining({ code: 'queue.full' }))
})

it('stays within its bytes: what was not used for longest goes first', () => {
  const kept = new KeptWithin<string>(2_000)
  const text = 'x'.repeat(100) // with its key and the cost of a row: 362 bytes
  for (const key of ['a', 'b', 'c', 'd', 'e']) kept.set(key, text, text.length)
  expect(kept.bytes).toBeLessThanOrEqual(2_000)
  kept.get('a')
  kept.set('f', text, text.length)
  expect(['a', 'b', 'c', 'd', 'e', 'f'].filter((key) => kept.get(key))).toEqual(['a', 'c', 'd', 'e', 'f'])
  kept.set('huge', text, 2_000)
  expect(kept.get('huge')).toBeUndefined()
  for (const key of ['a', 'c', 'd', 'e', 'f']) kept.delete(key)
  expect(kept.bytes).toBe(0)
})
