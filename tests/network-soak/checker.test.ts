/** The checker finds what is wrong: a history that was recorded on real processes holds, and each damage to it is named. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseHistory } from '../soak-kit/recorder.ts'
import { check } from './checker.ts'
import { figures } from './figures.ts'
import type { Line, What } from './history.ts'
import { replay } from './model.ts'

const BOUNDS = {
  anchors: ['anchor-1', 'anchor-2', 'anchor-3', 'anchor-4'],
  tokens: ['1', '2', '3', '4', '5', '6', '7', '8'],
}
const RECORDED = parseHistory<What>(readFileSync(new URL('recorded.jsonl', import.meta.url), 'utf8'))
const PROPERTY_RUNS = 40

type Of<F extends Line['f']> = Extract<Line, { f: F }>
type Answer = Extract<Line, { f: 'query'; kind: 'ok' }>
type Requested = Of<'request'>

function broken(lines: readonly Line[]): readonly string[] {
  return check(lines, BOUNDS)
    .filter(({ faults }) => faults.length > 0)
    .map(({ name }) => name)
}

/** Changes the first line that fits, or leaves it out. */
function changed<L extends Line>(
  is: (line: Line) => line is L,
  change: (line: L) => Line | undefined,
): readonly Line[] {
  const at = RECORDED.findIndex(is)
  expect(at, 'there is a line to damage').toBeGreaterThanOrEqual(0)
  const line = change(RECORDED[at] as L)
  return RECORDED.flatMap((each, i) => (i !== at ? [each] : line ? [line] : []))
}

const isAnswer = (line: Line): line is Answer => line.f === 'query' && line.kind === 'ok'
const isEntry =
  (kind: Of<'entry'>['input']['kind']) =>
  (line: Line): line is Of<'entry'> =>
    line.f === 'entry' && line.input.kind === kind
const is =
  <F extends Line['f']>(f: F) =>
  (line: Line): line is Of<F> =>
    line.f === f
const isStep =
  (api: 'bank' | 'phone', step: Requested['step']) =>
  (line: Line): line is Requested =>
    line.f === 'request' && line.api === api && line.step === step

/** What a system outside wrote down of the first request that ended so, once more, as a later request. */
function again(api: 'bank' | 'phone', first: Requested['step'], key?: string): readonly Line[] {
  const line = RECORDED.find(isStep(api, first))!
  const request = 1 + Math.max(...RECORDED.flatMap((each) => (each.f === 'request' ? [each.request] : [])))
  const steps = ['arrived', 'executed', 'answered'] as const
  return [...RECORDED, ...steps.map((step) => ({ ...line, step, request, key: key ?? line.key }))]
}

/** The call that nobody answered, and whose outcome was lost. */
function lostCall(): Of<'entry'> {
  const isKnown = (key: string) =>
    RECORDED.some((line) => line.f === 'request' && line.key === key && ['answered', 'refused'].includes(line.step))
  const isAsked = (key: string) => RECORDED.some((line) => line.f === 'request' && line.key === key)
  return RECORDED.find(
    (line): line is Of<'entry'> =>
      line.f === 'entry' &&
      line.input.kind === 'outcome' &&
      line.input.name === 'call' &&
      line.input.end === 'lost' &&
      isAsked(line.input.effect) &&
      !isKnown(line.input.effect),
  )!
}

/** Each damage with a word of every law that must name it. */
const DAMAGES: Readonly<Record<string, readonly [readonly string[], () => readonly Line[]]>> = {
  'a fact is left out on one token': [
    ['applied on every token', 'every verified answer'],
    () =>
      changed(isEntry('input'), (line) => ({
        ...line,
        input: { ...(line.input as Extract<typeof line.input, { kind: 'input' }>), index: 2 },
      })),
  ],
  'a fact with a receipt is on no token': [
    ['applied on every token'],
    () => {
      const published = RECORDED.find((line) => line.f === 'publish' && line.kind === 'invoke') as Line
      const told = RECORDED.find((line) => line.f === 'publish' && line.kind === 'ok') as Line
      const op = 1_000_000
      return [...RECORDED, { ...published, op, index: 100_000 } as Line, { ...told, op } as Line]
    },
  ],
  'an anchor shows another entry at a place': [
    ['no committed entry'],
    () => changed(is('shows'), (line) => ({ ...line, hashes: ['other', ...line.hashes.slice(1)] })),
  ],
  'what was shown once is shown by nobody any more': [
    ['no committed entry'],
    () => {
      const first = RECORDED.find(is('shows'))!
      return RECORDED.map((line) =>
        line.f === 'shows' && line.token === first.token && line.from === first.from
          ? { ...line, from: line.from + 1, hashes: line.hashes.slice(1) }
          : line,
      )
    },
  ],
  'an anchor ends before the others': [
    ['all anchors end'],
    () => changed(is('end'), (line) => ({ ...line, n: line.n - 1 })),
  ],
  'a replica has another root': [
    ['equal roots'],
    () => {
      const last = RECORDED.findLast(is('root'))!
      return [...RECORDED, { ...last, node: 'service-9', root: `0x${'00'.repeat(32)}` }]
    },
  ],
  'a charge is made twice': [['every charge was made once'], () => again('bank', 'executed')],
  'a charge comes under another key': [
    ['every charge was made once'],
    () => again('bank', 'executed', `0x${'11'.repeat(32)}`),
  ],
  'a call is made twice': [['no call was made twice', 'no call is repeated'], () => again('phone', 'executed')],
  'a call is made again under another key': [
    ['no call was made twice', 'no call is repeated'],
    () => again('phone', 'executed', `0x${'11'.repeat(32)}`),
  ],
  'a call that may have been made is said to have succeeded': [
    ['a call of which nobody can know', 'every verified answer'],
    () => {
      const lost = lostCall()
      return RECORDED.map((line) =>
        line === lost ? { ...lost, input: { ...lost.input, end: 'answered' } as typeof lost.input } : line,
      )
    },
  ],
  'an effect has no end': [
    ['every effect came to an end', 'every verified answer'],
    () =>
      changed(isEntry('outcome'), (line) => ({
        ...line,
        input: { ...(line.input as Extract<typeof line.input, { kind: 'outcome' }>), attempt: 99 },
      })),
  ],
  'an acknowledged action is not in the journal': [
    ['every acknowledged action'],
    () =>
      changed(
        (line): line is Extract<Line, { f: 'act'; kind: 'ok' }> => line.f === 'act' && line.kind === 'ok',
        (line) => ({ ...line, digest: `0x${'22'.repeat(32)}` }),
      ),
  ],
  'an action was taken by nobody': [
    ['every acknowledged action'],
    () => RECORDED.filter((line) => line.f !== 'act' || line.kind !== 'invoke' || line.op !== 1),
  ],
  'an answer shows another sum': [
    ['every verified answer'],
    () =>
      changed(isAnswer, (line) => ({
        ...line,
        shown: { ...line.shown, own: { ...line.shown.own, sum: line.shown.own.sum + 1 } },
      })),
  ],
  'a reader is answered from before': [
    ['readers never go back'],
    () => {
      const asked = RECORDED.findLast((line) => line.f === 'query' && line.kind === 'invoke' && line.minN > 1) as Line
      return RECORDED.map((line) =>
        isAnswer(line) && line.process === asked.process && line.op === asked.op ? { ...line, n: 1 } : line,
      )
    },
  ],
  'the last answers are missing': [
    ['every token ends'],
    () => RECORDED.filter((line) => line.process !== 'conductor' || line.f !== 'query'),
  ],
  'the network did not heal': [
    ['whole again'],
    () =>
      changed(
        (line): line is Extract<Line, { f: 'fault'; kind: 'ok' | 'fail' }> => line.f === 'fault' && line.kind === 'ok',
        (line) => ({ ...line, kind: 'fail' }),
      ),
  ],
  'a node grows': [['within their memory'], () => changed(is('memory'), (line) => ({ ...line, rssMb: 1_000 }))],
  'a sandbox outlives its node': [
    ['no process behind'],
    () => changed(is('looked'), (line) => ({ ...line, f: 'orphan', pid: 7, command: 'executor.mjs' }) as Line),
  ],
  'a node logs an error': [
    ['logged a failure'],
    () => changed(is('memory'), (line) => ({ ...line, f: 'log', node: 'anchor-1', line: 'node.failed' }) as Line),
  ],
  'somebody is refused without a reason': [
    ['without a reason'],
    () => changed(is('memory'), (line) => ({ ...line, f: 'wrong', detail: 'attestation.signature' }) as Line),
  ],
}

describe('the checker of the network soak', () => {
  it('holds a recorded history right', () => {
    expect(broken(RECORDED)).toEqual([])
  })

  it('knows how much happened', () => {
    const { facts, actions, queries, effects, struck } = figures(RECORDED)
    expect(facts.acknowledged).toBeGreaterThan(20)
    expect(actions.acknowledged).toBeGreaterThan(2)
    expect(queries.answered).toBeGreaterThan(20)
    expect(effects.charges).toBeGreaterThan(2)
    expect(effects.calls).toBeGreaterThan(2)
    expect(struck).toBeGreaterThan(0)
  })

  it.each(Object.entries(DAMAGES))('finds that %s', (_, [laws, damaged]) => {
    const found = broken(damaged())
    for (const law of laws) {
      expect(
        found.some((name) => name.includes(law)),
        `${law} in ${found.join('; ')}`,
      ).toBe(true)
    }
  })

  it('holds that a history without anything in it proves nothing', () => {
    expect(broken([])).toHaveLength(check([], BOUNDS).length)
  })

  it('finds any answer that shows a value of another place', () => {
    const answers = RECORDED.filter(isAnswer)
    fc.assert(
      fc.property(fc.nat(answers.length - 1), fc.nat(answers.length - 1), (a, b) => {
        const [one, other] = [answers[a]!, answers[b]!]
        const lines = RECORDED.map((line) => (line === one ? { ...one, shown: other.shown } : line))
        const isSame = JSON.stringify(sorted(one.shown)) === JSON.stringify(sorted(other.shown))
        return broken(lines).some((name) => name.includes('every verified answer')) === !isSame
      }),
      { numRuns: PROPERTY_RUNS },
    )
  })
})

describe('the model of the token', () => {
  const place = { token: '1', hash: '', previous: '', term: 1 }
  const entry = (n: number, input: Of<'entry'>['input']) => ({ ...place, n, input })
  const attempt = (number: number, name: 'charge' | 'call') =>
    ({ kind: 'attempt', effect: '0x1', name, attempt: number }) as const
  const outcome = (number: number, name: 'charge' | 'call', end: 'answered' | 'failed' | 'lost') =>
    ({ ...attempt(number, name), kind: 'outcome', end }) as const

  it('takes an action once, however often it is journaled', () => {
    const action = { kind: 'action', digest: '0xa', id: '1.1', by: 7 } as const
    const { states } = replay([entry(1, action), entry(2, action)])
    expect(states.map(({ acted, actionSum }) => [acted, actionSum])).toEqual([
      [0, 0],
      [1, 7],
      [1, 7],
    ])
  })

  it('counts a gap where a fact does not come right behind the one before', () => {
    const fact = (index: number) => ({ kind: 'input', name: 'own', index, add: 1, effect: 'none' }) as const
    expect(replay([entry(1, fact(1)), entry(2, fact(3))]).states.at(-1)!.own).toEqual({ last: 3, sum: 32, gaps: 1 })
  })

  it('has a lost call uncertain and a lost charge to be made again', () => {
    const statusOf = (name: 'charge' | 'call') =>
      replay([entry(1, attempt(1, name)), entry(2, outcome(1, name, 'lost'))]).effects.get('0x1')!.status
    expect([statusOf('call'), statusOf('charge')]).toEqual(['uncertain', 'pending'])
  })

  it('lets nothing change an effect that has ended', () => {
    const { effects } = replay([
      entry(1, attempt(1, 'call')),
      entry(2, outcome(1, 'call', 'lost')),
      entry(3, attempt(2, 'call')),
      entry(4, outcome(2, 'call', 'answered')),
    ])
    expect(effects.get('0x1')!.status).toBe('uncertain')
  })
})

function sorted(value: object): unknown {
  const { own, all, asked, skipped, charged, called, uncertain, acted, actionSum } = value as Answer['shown']
  const tallies = [own, all].map(({ last, sum, gaps }) => [last, sum, gaps])
  return [tallies, asked, skipped, charged, called, uncertain, acted, actionSum]
}
