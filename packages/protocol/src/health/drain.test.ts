import { expect, test } from 'vitest'
import { nobleCrypto, nobleSigner } from '../primitives/crypto.ts'
import { digestOf } from '../primitives/domain.ts'
import { accepted, type Verdict } from '../primitives/verdict.ts'
import { drainAhead, type HeardDrain, hearDrain, isExcused, isPlanned } from './drain.ts'
import { Drain, type SignedDrain } from './messages.ts'
import { DOMAIN, WINDOW_MS } from './testing.ts'

const NODE = nobleSigner(`0x${'0b'.repeat(32)}`)
const DAY = 86_400_000n
const T = 20_000n * DAY // the start of an epoch
const health = { drainMs: 600_000, drainEpochMs: Number(DAY) }

function word(issued: bigint, from: bigint, until: bigint, signer = NODE): SignedDrain {
  const drain = { node: NODE.address, issued, from, until }
  return { drain, signature: signer.sign(digestOf(Drain, drain, DOMAIN, nobleCrypto.keccak)) }
}

function hear(known: readonly HeardDrain[], signed: SignedDrain, now = signed.drain.issued) {
  return hearDrain(known, signed, { domain: DOMAIN, crypto: nobleCrypto, health, now, epsilonMs: 200n })
}

function taken(verdict: Verdict<readonly HeardDrain[]>): readonly HeardDrain[] {
  if (!accepted(verdict)) throw new Error(verdict.code)
  return verdict.value
}

test('maintenance excuses the windows that it touches, and ends by itself', () => {
  const known = taken(hear([], word(T, T + 10_000n, T + 70_000n)))
  expect(drainAhead(known, T)).toMatchObject({ from: T + 10_000n })
  expect([T, T + 10_000n, T + 69_999n, T + 70_000n].map((now) => isPlanned(known, now))).toEqual([
    false,
    true,
    true,
    false,
  ])
  const excused = (start: bigint) => isExcused(known, start, Number(WINDOW_MS))
  expect([T + 5_000n, T + 10_000n, T + 65_000n, T + 70_000n].map(excused)).toEqual([false, true, true, false])
})

test('what was over before anybody heard of it is not excused', () => {
  const late = taken(hear([], word(T, T, T + 60_000n), T + 30_000n))
  expect(isExcused(late, T + 20_000n, Number(WINDOW_MS))).toBe(false)
  expect(isExcused(late, T + 30_000n, Number(WINDOW_MS))).toBe(true)
})

test('a later word takes back what is left, and only that', () => {
  const planned = taken(hear([], word(T, T, T + 60_000n)))
  const back = taken(hear(planned, word(T + 20_000n, T + 20_000n, T + 20_000n)))
  expect(isPlanned(back, T + 20_000n)).toBe(false)
  expect(isExcused(back, T + 10_000n, Number(WINDOW_MS))).toBe(true)
  expect(isExcused(back, T + 20_000n, Number(WINDOW_MS))).toBe(false)
  expect(hear(back, word(T + 10_000n, T + 10_000n, T + 50_000n), T + 30_000n)).toMatchObject({
    code: 'health.drain_old',
  })
})

test('an epoch has its bound: what was used counts, what was taken back does not', () => {
  const first = taken(hear([], word(T, T, T + 600_000n)))
  const back = taken(hear(first, word(T + 100_000n, T + 100_000n, T + 100_000n)))
  const at = T + 200_000n
  expect(hear(back, word(at, at, at + 500_001n))).toMatchObject({
    code: 'health.drain_budget',
    facts: { askedMs: 500_001, leftMs: 500_000 },
  })
  const second = taken(hear(back, word(at, at, at + 500_000n)))
  const next = T + DAY
  expect(hear(second, word(next, next, next + 600_000n))).toMatchObject({ verdict: 'accept' })
})

test.each([
  ['signed by another key', word(T, T, T + 1_000n, nobleSigner(`0x${'0c'.repeat(32)}`)), T],
  ['begun before it was announced', word(T, T - 1n, T + 1_000n), T],
  ['issued in the future', word(T + 201n, T + 201n, T + 1_000n), T],
  ['longer ahead than an epoch', word(T, T + DAY, T + DAY + 1n), T],
])('does not count: %s', (_, signed, now) => {
  expect(hear([], signed, now)).toMatchObject({ code: 'health.drain_time' })
})

test('a node may change its mind often, but not without end', () => {
  let known: readonly HeardDrain[] = []
  let refused: string | undefined
  for (let i = 0n; i < 100n && !refused; i++) {
    const verdict = hear(known, word(T + i * 10n, T + i * 10n, T + i * 10n + 1n))
    if (accepted(verdict)) known = verdict.value
    else refused = verdict.code
  }
  expect(refused).toBe('health.drain_budget')
  expect(known.length).toBeLessThanOrEqual(64)
})
