/** The statistics of the directory at sizes that take seconds; `npm run statistics` draws the larger ones. */
import { expect, it } from 'vitest'
import { captureProbability, directoryStatistics, SMALL } from '../scripts/statistics/directory.ts'

const lines = directoryStatistics(SMALL)

it.each(lines.filter(({ bound }) => bound !== undefined))('$name: $found, $bound', ({ ok }) => {
  expect(ok).toBe(true)
})

it('shows an attack that works where the salt is known, so that its failure says something', () => {
  expect(lines.find(({ name }) => name.includes('salt known'))?.found).toMatch(/majority (9\d|100)/)
})

it('computes capture as counting all subsets does', () => {
  let captured = 0
  for (let subset = 0; subset < 2 ** 7; subset++) {
    const taken = subset.toString(2).replaceAll('0', '').length
    if (taken > 2) captured += 0.3 ** taken * 0.7 ** (7 - taken)
  }
  expect(captureProbability(7, 0.3)).toBeCloseTo(captured, 12)
})
