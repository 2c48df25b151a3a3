/** Loaded scripts are kept by use, within a bound of bytes. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { prepareEngine } from '../sandbox/engine.ts'
import { EXECUTOR_LIMITS, GAS } from '../sandbox/limits.ts'
import { engineFile } from './sandbox.ts'
import { ScriptCache } from './script-cache.ts'

/** A script whose image holds about `megabytes`. */
const heavy = (megabytes: number) =>
  `const kept = new Uint8Array(${megabytes * 2 ** 20}).fill(7)
   globalThis.smartToken = { call: () => String(kept.length) }`

test('the script that was used longest ago is dropped first, and can be loaded again', async () => {
  const scripts = new ScriptCache(await prepareEngine(new Uint8Array(await readFile(engineFile()))))
  const fitting = Math.floor(EXECUTOR_LIMITS.imageBytes / 4.3 / 2 ** 20)
  for (let i = 0; i < fitting; i++) expect(scripts.load(`0x0${i}`, heavy(4)).status).toBe('ok')
  const call = (hash: string) => scripts.call(hash, 'm', '', GAS.query)
  expect(call('0x00')).toMatchObject({ output: String(4 * 2 ** 20) })
  scripts.load('0xff', heavy(4))
  expect(call('0x01')).toBeUndefined()
  expect(call('0x00')).toMatchObject({ status: 'ok' })
  expect(call('0xff')).toMatchObject({ status: 'ok' })
  scripts.load('0x01', heavy(4))
  expect(call('0x01')).toMatchObject({ status: 'ok' })
})
