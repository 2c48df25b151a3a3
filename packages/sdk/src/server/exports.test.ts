import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { expect, it } from 'vitest'
import * as browser from '../index.ts'
import * as server from './index.ts'

/** Guards against growth. The design's goal is 15 kB; catalogue (5 kB), noble (9 kB), and choosing and hedging (2 kB) stand in its way. */
const LIMIT_BYTES = 37_000

const BROWSER = [
  'ReplicaBoard',
  'act',
  'assertProof',
  'attestGrant',
  'createIntegration',
  'createSite',
  'formatSavedProof',
  'loadNetwork',
  'networkOf',
  'parseSavedProof',
  'publish',
  'query',
  'queryPublic',
  'readPlace',
  'resolve',
  'saveProof',
  'savedProofShape',
  'signFact',
  'signGrant',
  'subscribe',
  'verifyAnswerProof',
  'verifySavedProof',
]

it('exports exactly what is documented', () => {
  expect(Object.keys(browser).sort()).toEqual(BROWSER.toSorted())
  const own = Object.keys(server).filter((name) => !BROWSER.includes(name))
  expect(own.sort()).toEqual(['Issuer', 'Outbox', 'SmartLayer', 'connect', 'readMembers'])
})

it(`weighs at most ${LIMIT_BYTES} bytes in a browser, crypto included, and needs nothing of Node`, async () => {
  const entry = fileURLToPath(new URL('../integration.ts', import.meta.url))
  const { outputFiles } = await build({
    stdin: { contents: `export { createIntegration } from ${JSON.stringify(entry)}`, resolveDir: '/' },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2024',
    conditions: ['source'],
  })
  expect(gzipSync(outputFiles[0]!.contents, { level: 9 }).length).toBeLessThan(LIMIT_BYTES)
})
