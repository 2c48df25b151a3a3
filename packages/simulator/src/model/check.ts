/** Checks one profile, and says in words what was looked at and what was found. */
import type { Profile } from './profile.ts'
import { PROFILES } from './profiles.ts'
import { type Searched, search } from './search.ts'
import { nameOfTerm } from './values.ts'
import { worldOf } from './world.ts'

/** States kept at most: beyond it a profile counts as not exhausted. */
export const STATE_LIMIT = 40_000_000

export type Checked = Searched & { readonly profile: string; readonly seconds: number }

export function check(profile: Profile, { promises = true, trusting = true, limit = STATE_LIMIT } = {}): Checked {
  const startedAt = performance.now()
  const searched = search(worldOf(profile, { promises, trusting }), { limit })
  return { ...searched, profile: profile.name, seconds: Math.round(performance.now() - startedAt) / 1000 }
}

export function profileNamed(name: string): Profile | undefined {
  return PROFILES.find((profile) => profile.name === name)
}

export function boundsOf(profile: Profile): string {
  const { homes, crashes, newcomersAhead, terms, entries, entryVariants, bodyVariants, storing, exact, leases } =
    profile
  const names = terms.map((_, slot) => nameOfTerm({ terms }, slot)).join(' ')
  const journal =
    entries === 0 ? [] : [`${entries} entries, ${entryVariants} per place`, ...(storing ? ['certificates stored'] : [])]
  const bound = leases && [
    `lease of ${leases.length} ticks, ε 1`,
    `begins ${leases.begins.join('/')}, lengths ${leases.lengths.join('/')}`,
    ...(leases.executors ? [leases.renewals ? 'renewals' : 'one request each'] : ['no executors']),
    ...(leases.releases ? ['releases'] : []),
    ...(leases.executorsCrash ? ['executors crash'] : []),
    ...(leases.clockAhead > 0 ? [`clock up to ${leases.clockAhead} ahead after it`] : []),
    ...(leases.stalledClock ? ['stalled clocks'] : []),
  ]
  const kept = exact ? ['no state merged'] : []
  const sets =
    homes.length === 1 ? [] : [`home sets ${homes.map((set) => set.map((i) => 'ABCDEF'[i]).join('')).join(' ')}`]
  const faults = [
    ...(crashes > 0 ? [`${crashes} crash`] : []),
    ...(newcomersAhead > 0 ? [`new anchors just started, clocks up to ${newcomersAhead} ahead`] : []),
  ]
  const first = [`terms ${names}`, ...sets, `${bodyVariants} placement per term`]
  return [...first, ...journal, ...faults, ...(bound ?? []), ...kept].join(', ')
}

export function lineOf({ profile, states, transitions, depth, exhausted, found, seconds }: Checked): string {
  const end = found ? `VIOLATION: ${found.violation}` : exhausted ? 'exhausted, no violation' : 'NOT EXHAUSTED'
  const count = (value: number) => value.toLocaleString('en')
  return `${profile}: ${end} · ${count(states)} states, ${count(transitions)} transitions, depth ${depth}, ${seconds.toFixed(1)} s`
}

export function stepsOf({ found }: Checked): readonly string[] {
  return (found?.steps ?? []).map((step, i) => `${String(i + 1).padStart(3)}. ${step}`)
}
