import fc from 'fast-check'
import { expect, it } from 'vitest'
import { beaconAfter, closesAt, epochAt, openEpochAt, type Schedule, startOf } from './schedule.ts'

const schedules = fc
  .record({
    genesisS: fc.bigInt({ min: 1n, max: 10n ** 10n }),
    lengthS: fc.bigInt({ min: 1n, max: 10n ** 6n }),
    part: fc.nat(99),
  })
  .map(({ part, ...rest }): Schedule => ({ ...rest, closingS: (rest.lengthS * BigInt(part)) / 100n }))
const epochs = fc.bigInt({ min: 1n, max: 10_000n })

it('starts epoch 1 at genesis and the next ones a length later each; before there is none', () => {
  const schedule = { genesisS: 1_000n, lengthS: 300n, closingS: 60n }
  expect([999n, 1_000n, 1_299n, 1_300n, 1_600n].map((time) => epochAt(schedule, time))).toEqual([0n, 1n, 1n, 2n, 3n])
})

it('closes an epoch before it starts, the first at genesis; only then its beacon is drawn', () => {
  const schedule = { genesisS: 1_000n, lengthS: 300n, closingS: 60n }
  expect([1n, 2n, 3n].map((epoch) => closesAt(schedule, epoch))).toEqual([1_000n, 1_240n, 1_540n])
  expect([1n, 2n, 3n].map((epoch) => beaconAfter(schedule, epoch))).toEqual([1_000n, 1_240n, 1_540n])
  expect([1_000n, 1_001n, 1_240n, 1_241n].map((time) => openEpochAt(schedule, time))).toEqual([1n, 2n, 2n, 3n])
})

it('knows every epoch from its first second to its last', () => {
  fc.assert(
    fc.property(schedules, epochs, (schedule, epoch) => {
      expect(epochAt(schedule, startOf(schedule, epoch))).toBe(epoch)
      expect(epochAt(schedule, startOf(schedule, epoch + 1n) - 1n)).toBe(epoch)
    }),
  )
})

it('takes a change into exactly the epochs that were not closed when it was made', () => {
  fc.assert(
    fc.property(schedules, epochs, fc.bigInt({ min: -3n, max: 3n }), (schedule, epoch, around) => {
      const time = closesAt(schedule, epoch) + around
      const open = openEpochAt(schedule, time)
      expect(closesAt(schedule, open)).toBeGreaterThanOrEqual(time)
      if (open > 1n) expect(closesAt(schedule, open - 1n)).toBeLessThan(time)
    }),
  )
})
