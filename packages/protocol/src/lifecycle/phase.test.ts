/** Every event in every phase: the table of docs/spec/lifecycle.md, written a second time and compared. */
import { describe, expect, test } from 'vitest'
import { accepted } from '../primitives/verdict.ts'
import { allowedIn, LIFE_EVENTS, type LifeEvent, nextPhase, PHASES, type Phase } from './phase.ts'

/** What happens, by phase; every event that is not named is refused. */
const TABLE: Readonly<Record<Phase, Partial<Record<LifeEvent, Phase>>>> = {
  registered: { activate: 'activating', suspend: 'suspended', end: 'retired', restore: 'activating' },
  activating: { activate: 'activating', placed: 'active', suspend: 'suspended', restore: 'activating' },
  active: {
    activate: 'active',
    placed: 'active',
    sleep: 'dormant',
    wake: 'active',
    upgrade: 'upgrading',
    suspend: 'suspended',
    end: 'retired',
    restore: 'activating',
  },
  dormant: {
    activate: 'activating',
    sleep: 'dormant',
    wake: 'activating',
    suspend: 'suspended',
    restore: 'activating',
  },
  retired: { restore: 'retired' },
  suspended: { suspend: 'suspended', resume: 'activating', end: 'retired' },
  upgrading: {
    activate: 'upgrading',
    placed: 'upgrading',
    wake: 'upgrading',
    upgraded: 'active',
    failed: 'active',
    suspend: 'suspended',
    restore: 'activating',
  },
}

describe.each(PHASES)('an instance that is %s', (phase) => {
  test.each(LIFE_EVENTS)('on %s', (event) => {
    const verdict = nextPhase(phase, event)
    const expected = TABLE[phase][event]
    if (expected) expect(accepted(verdict) && verdict.value).toBe(expected)
    else expect(verdict).toMatchObject({ code: 'lifecycle.transition', facts: { phase, event } })
  })
})

test('what ended stays ended, whatever happens', () => {
  for (const event of LIFE_EVENTS) {
    const verdict = nextPhase('retired', event)
    if (accepted(verdict)) expect(verdict.value).toBe('retired')
  }
})

test('every phase can be reached from the first one, and from every living one the end can be reached', () => {
  const reach = (from: Phase) => {
    const seen = new Set<Phase>([from])
    for (const phase of seen)
      for (const event of LIFE_EVENTS) {
        const verdict = nextPhase(phase, event)
        if (accepted(verdict)) seen.add(verdict.value)
      }
    return seen
  }
  expect([...reach('registered')].sort()).toEqual([...PHASES].sort())
  for (const phase of PHASES) expect(reach(phase).has('retired'), phase).toBe(true)
})

test('inputs count only where the present state is answered', () => {
  for (const phase of PHASES) {
    const { inputs, reads } = allowedIn(phase)
    expect(inputs, phase).toBe(reads === 'present')
  }
})
