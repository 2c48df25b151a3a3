import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NEWCOMER } from './judge.ts'
import { readWeightOf, sharesOf, WEIGHT_TOTAL } from './weights.ts'

test('shares are whole parts that sum to the total, larger for a larger weight, none for none', () => {
  const weights = fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0.001, max: 1, noNaN: true })), {
    minLength: 1,
    maxLength: 256,
  })
  fc.assert(
    fc.property(weights, (given) => {
      const shares = sharesOf(given)
      expect(shares.reduce((sum, share) => sum + share, 0)).toBe(WEIGHT_TOTAL)
      const some = given.some((weight) => weight > 0)
      given.forEach((a, i) => {
        expect(Number.isInteger(shares[i])).toBe(true)
        if (some && a === 0) expect(shares[i]).toBe(0)
        given.forEach((b, j) => {
          if (a > b) expect(shares[i]!).toBeGreaterThanOrEqual(shares[j]!)
        })
      })
    }),
  )
  expect(sharesOf([])).toEqual([])
})

test('a degraded node gets half of what its score is worth, a drained or silent one nothing', () => {
  const standing = { ...NEWCOMER, score: 0.8 }
  expect(readWeightOf(standing, true)).toBe(0.8)
  expect(readWeightOf({ ...standing, state: 'degraded' }, true)).toBe(0.4)
  expect(readWeightOf({ ...standing, state: 'draining' }, true)).toBe(0)
  expect(readWeightOf({ ...standing, state: 'penalised' }, true)).toBe(0)
  expect(readWeightOf(standing, false)).toBe(0)
})
