/** Scripts by content: kept once, bounded, and kept also when another node had them. */
import { cidOf } from '@smartlayer/tokenscript'
import { expect, test } from 'vitest'
import type { Content } from '../ports/content.ts'
import { memoryStore, VirtualTime } from '../testing/memory-world.ts'
import { keptContent, SCRIPT_LIMIT, ScriptStore } from './script-store.ts'

/** A store whose commits end at once. */
function newStore(): ScriptStore {
  const time = new VirtualTime()
  time.at = (_, run) => {
    run()
    return () => {}
  }
  return new ScriptStore(memoryStore(time))
}

const bytes = new TextEncoder().encode('<script/>')

test('what another node had is kept, so that it is there when that one is gone', async () => {
  const own = newStore()
  let asked = 0
  const others: Content = {
    get: async (cid) => {
      asked++
      return cid === cidOf(bytes) ? bytes : undefined
    },
  }
  const content = keptContent(own, others)
  expect(await content.get(cidOf(bytes))).toEqual(bytes)
  expect(await own.get(cidOf(bytes))).toEqual(bytes)
  expect(await content.get(cidOf(bytes))).toEqual(bytes)
  expect(asked).toBe(1)
  expect(await content.get('bafkreinothere')).toBeUndefined()
})

test('a file beyond the limit is refused with its size', async () => {
  await expect(newStore().put(new Uint8Array(SCRIPT_LIMIT + 1))).rejects.toMatchObject({
    code: 'script.too_large',
    facts: { bytes: SCRIPT_LIMIT + 1, limit: SCRIPT_LIMIT },
  })
})
