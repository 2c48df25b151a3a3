/** A log that cannot be written: the node goes on without its lines, and without keeping them all. */
import { expect, test } from 'vitest'
import { PinoTelemetry } from './pino-telemetry.ts'

test('a full disk under the log ends no node, and events are still kept for the live socket', async () => {
  const failures: unknown[] = []
  const note = (error: unknown) => failures.push(error)
  process.on('uncaughtException', note)
  const telemetry = new PinoTelemetry({ level: 'info', destination: '/dev/full', name: 'full' })
  for (let i = 0; i < 200; i++) {
    telemetry.log('info', 'line', { i, pad: 'x'.repeat(10_000) })
    if (i % 50 === 0) await new Promise((done) => setTimeout(done, 20))
  }
  await new Promise((done) => setTimeout(done, 50))
  process.off('uncaughtException', note)
  expect(failures).toEqual([])
  expect(telemetry.after(0)).toHaveLength(200)
})
