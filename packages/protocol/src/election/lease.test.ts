import { expect, test } from 'vitest'
import { clockIsSane, type Lease, mayAct, mayServe, renewalDue } from './lease.ts'

const limits = { leaseMs: 3_000n, epsilonMs: 200n }
const lease = { placement: { notBefore: 10_000n }, hash: '0x', expires: 13_000n, asked: 500 } as unknown as Lease

test.each([
  ['before it begins', 9_999n, 600, 100, false],
  ['at its beginning', 10_000n, 600, 100, true],
  ['when the call would just end in time', 12_700n, 600, 100, true],
  ['when the call might end a clock error too late', 12_701n, 600, 100, false],
  ['when a lease has passed by the monotonic clock since it was asked for', 11_000n, 3_401, 100, false],
])('an executor acts %s: %s', (_, now, monotonic, longestMs, may) => {
  expect(mayAct(lease, { now, monotonic }, limits, longestMs)).toBe(may)
})

test('renewals are due at a third of the lease', () => {
  expect(renewalDue(lease, { now: 0n, monotonic: 1_499 }, limits)).toBe(false)
  expect(renewalDue(lease, { now: 0n, monotonic: 1_500 }, limits)).toBe(true)
})

test('a reader relies on a placement for a clock error longer, and a clock that was set back takes no part', () => {
  expect(mayServe({ expires: 13_000n }, 13_200n, 200n)).toBe(true)
  expect(mayServe({ expires: 13_000n }, 13_201n, 200n)).toBe(false)
  expect(clockIsSane(5n, 5n)).toBe(true)
  expect(clockIsSane(4n, 5n)).toBe(false)
})
