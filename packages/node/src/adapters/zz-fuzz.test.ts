import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dumpOf, Model, step } from '../ports/stream-log.contract.ts'
import { SegmentLog } from './segment-log.ts'
test('fuzz', async () => {
  let max = 0
  await fc.assert(fc.asyncProperty(fc.array(step, {minLength: 10, maxLength: 60}), fc.boolean(), async (steps, loses) => {
    const folder = mkdtempSync('/dev/shm/slfuzz-')
    const o = { segmentBytes: 1000 + steps.length * 20, fsync: false }
    let log = await SegmentLog.open(folder, o)
    try {
      const model = new Model()
      let i = 0
      for (const each of steps) {
        if (each.do === 'reopen' || i++ % 7 === 6) { await log.close(); if (loses) for (const s of ['', '-wal', '-shm']) rmSync(join(folder, `index.db${s}`), { force: true }); log = await SegmentLog.open(folder, o) }
        if (each.do !== 'reopen') await model.run(log, each)
        expect(dumpOf(log)).toEqual(model.dump())
        max = Math.max(max, log.stats().segments)
      }
    } finally { await log.close(); rmSync(folder, { recursive: true, force: true }) }
  }), { numRuns: Number(process.env.RUNS ?? 300) })
  console.log('max segments', max)
}, 600_000)
