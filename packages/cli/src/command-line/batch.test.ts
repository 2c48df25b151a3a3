import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isSmartLayerError } from '@smartlayer/protocol'
import type { Issuer } from '@smartlayer/sdk/server'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { schemaMisfit } from '../../../sdk/src/server/testing/fake-streams.ts'
import { Issuing } from '../../../sdk/src/server/testing/issuing.ts'
import { type BadLine, type BatchReport, openProgress, publishFile, validate } from './batch.ts'
import { factFile } from './fact-file.ts'
import { lineOf, progressBar } from './progress-bar.ts'

let world: Issuing
beforeEach(async () => {
  world = await Issuing.start()
})
afterEach(() => world.stop())

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)
const lines = (numbers: readonly number[]) =>
  numbers.map((n) => `${JSON.stringify({ subset: `s${n % 5}`, body: { n } })}\n`).join('')

type Run = { stopAt?: number; skipBad?: boolean; world?: Issuing }

/** One run of the command over a file; `stopAt` is Ctrl-C after so many facts. */
async function run(issuer: Issuer, { stopAt, skipBad = false, world: at = world }: Run = {}): Promise<BatchReport> {
  const file = factFile(join(at.folder, 'facts.jsonl'), {})
  const stop = new AbortController()
  const bad: BadLine[] = []
  await validate(file, issuer, { skipBad, onBad: (line) => bad.push(line) })
  const progressPath = `${file.path}.progress.json`
  return publishFile(issuer, openProgress(progressPath, `0x${'11'.repeat(32)}`), {
    file,
    progressPath,
    skipBad,
    signal: stop.signal,
    onProgress: ({ published }) => published === stopAt && stop.abort(),
  })
}

const write = (content: string, at = world) => writeFileSync(join(at.folder, 'facts.jsonl'), content)

async function errorOf(doing: Promise<unknown>): Promise<{ code?: string; message: string; facts?: object }> {
  return doing.then(
    () => ({ message: 'nothing was thrown' }),
    (error) => error,
  )
}

it('publishes a file once, goes on after Ctrl-C, and takes up lines that were added', async () => {
  write(lines(range(1, 500)))
  const issuer = await world.issuer()
  const first = await run(issuer, { stopAt: 10 })
  expect(first.published).toBeLessThan(500)
  const second = await run(issuer)
  expect([first.published + second.published, second.before]).toEqual([500, first.published])
  expect(await run(issuer)).toMatchObject({ published: 0, before: 500 })
  appendFileSync(join(world.folder, 'facts.jsonl'), lines([501]))
  expect(await run(issuer)).toMatchObject({ published: 1, first: 501n, last: 501n })
  expect(world.numbers).toEqual(range(1, 501))
  world.expectNoFork()
})

it('goes on by the outbox when the crash came before the progress was written', async () => {
  write(lines(range(1, 100)))
  const issuer = await world.issuer()
  const file = `${join(world.folder, 'facts.jsonl')}.progress.json`
  openProgress(file, `0x${'11'.repeat(32)}`)
  const begun = readFileSync(file)
  await run(issuer, { stopAt: 40 })
  writeFileSync(file, begun)
  await run(issuer)
  expect(world.numbers).toEqual(range(1, 100))
})

it('refuses a file whose published lines were changed', async () => {
  write(lines(range(1, 100)))
  const issuer = await world.issuer()
  const { published } = await run(issuer, { stopAt: 10 })
  for (const changed of [lines([7, ...range(2, 100)]), lines(range(1, published - 1)), `\n${lines(range(1, 100))}`]) {
    write(changed)
    expect((await errorOf(run(issuer))).code).toBe('file.changed')
  }
  expect(world.numbers).toEqual(range(1, published))
})

it('belongs to one stream', async () => {
  const path = join(world.folder, 'p.json')
  openProgress(path, `0x${'11'.repeat(32)}`)
  expect(() => openProgress(path, `0x${'22'.repeat(32)}`)).toThrow(/not 0x1111/)
})

it('signs nothing of a file with a bad line, unless those are to be left out', async () => {
  write(`${lines([1, 2])}nonsense\n{"subset":"","body":1}\n${lines([3])}`)
  const issuer = await world.issuer()
  expect(await errorOf(run(issuer))).toMatchObject({ code: 'file.bad_line', facts: { line: 3, more: 1 } })
  expect(world.numbers).toEqual([])
  expect(await run(issuer, { skipBad: true })).toMatchObject({ published: 3, refused: [] })
  expect(world.numbers).toEqual([1, 2, 3])
})

it('names the line that anchors refuse, and leaves it out when asked to', async () => {
  world.net.streams.refuses = (body) => (JSON.parse(body).n === 50 ? schemaMisfit() : undefined)
  write(lines(range(1, 90)))
  const issuer = await world.issuer()
  const error = await errorOf(run(issuer))
  expect(error).toMatchObject({ code: 'file.bad_line', facts: { line: 50 } })
  expect(world.numbers).toEqual(range(1, 49))
  const report = await run(issuer, { skipBad: true })
  expect(report.refused.map(({ line }) => line)).toEqual([50])
  expect(world.numbers).toEqual([...range(1, 49), ...range(51, 90)])
  world.expectNoFork()
})

it('makes no gap and no double, however often it is cut off, and wherever', async () => {
  const cut = fc.record({
    /** Ctrl-C after so many facts, or a crash after so many milliseconds. */
    stopAt: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
    crashMs: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined }),
    losesProgress: fc.boolean(),
    manners: fc.constantFrom({}, { loseRequests: 2 }, { loseReceipts: 2 }, { dead: true }),
    which: fc.subarray([0, 1, 2, 3]),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(cut, { maxLength: 5 }), async (cuts) => {
      const at = await Issuing.start()
      const progress = join(at.folder, 'facts.jsonl.progress.json')
      let mortal: Awaited<ReturnType<Issuing['mortal']>> | undefined
      try {
        write(lines(range(1, 150)), at)
        await at.site()
        openProgress(progress, `0x${'11'.repeat(32)}`)
        for (const { stopAt, crashMs, losesProgress, manners, which } of cuts) {
          const before = readFileSync(progress)
          at.anchors({ dead: false, loseReceipts: 0, loseRequests: 0 })
          at.anchors(manners, which)
          mortal = await at.mortal(60)
          const running = run(mortal.issuer, { world: at, ...(stopAt ? { stopAt } : {}) }).catch((error) => {
            if (!isSmartLayerError(error)) throw error
          })
          if (crashMs !== undefined) {
            await new Promise((resolve) => setTimeout(resolve, crashMs))
            await mortal.crash()
          }
          await running
          await mortal.crash()
          if (losesProgress) writeFileSync(progress, before)
        }
        at.anchors({ dead: false, loseReceipts: 0, loseRequests: 0 })
        mortal = await at.mortal(2_000)
        await run(mortal.issuer, { world: at })
        expect(at.numbers).toEqual(range(1, 150))
        at.expectNoFork()
      } finally {
        await mortal?.crash()
        await at.stop()
      }
    }),
    { numRuns: 30, interruptAfterTimeLimit: 15_000 },
  )
}, 60_000)

it('draws a bar on a terminal, and a line now and then elsewhere', () => {
  expect(lineOf({ before: 0, done: 50, total: 100, elapsedMs: 5_000, detail: 'entry 50' })).toBe(
    '[============>           ]  50/100  50%  10/s  0:05 left  entry 50',
  )
  let text = ''
  let now = 0
  const bar = progressBar({ total: 3, isTerminal: false, write: (part) => (text += part), now: () => now })
  bar.update({ before: 0, done: 1, detail: 'a' })
  now = 6_000
  bar.update({ before: 0, done: 2, detail: 'b' })
  bar.update({ before: 0, done: 3, detail: 'c' })
  bar.end()
  expect(text.split('\n').map((line) => line.slice(-1))).toEqual(['b', 'c', ''])
})

it('keeps little in memory for a large file', async () => {
  const path = join(world.folder, 'facts.jsonl')
  rmSync(path, { force: true })
  const line = `${JSON.stringify({ subset: 's', body: { text: 'x'.repeat(1_000) } })}\n`
  for (let i = 0; i < 60; i++) appendFileSync(path, line.repeat(1_000))
  const issuer = await world.issuer()
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  const { facts } = await validate(factFile(path, {}), issuer, { skipBad: false, onBad: () => {} })
  expect(facts).toBe(60_000)
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024)
})
