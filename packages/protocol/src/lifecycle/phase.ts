/** The life of an instance as a state machine: which phase follows which event, and what each phase allows. */
import { accept, ignore, type Verdict } from '../primitives/verdict.ts'

export const PHASES = ['registered', 'activating', 'active', 'dormant', 'retired', 'suspended', 'upgrading'] as const
export type Phase = (typeof PHASES)[number]

/**
 * `activate`: somebody wants it; `placed`: a quorum placed it; `sleep` and `wake`: nothing needs it, something does again; `upgrade`
 * with its end `upgraded` or `failed`; `suspend` and `resume`: rent, or a dispute; `end`: it expired, or its owner retired it;
 * `restore`: it is brought back from an archive.
 */
export const LIFE_EVENTS = [
  'activate',
  'placed',
  'sleep',
  'wake',
  'upgrade',
  'upgraded',
  'failed',
  'suspend',
  'resume',
  'end',
  'restore',
] as const
export type LifeEvent = (typeof LIFE_EVENTS)[number]

/** Nothing else may happen to an instance in this phase; an event that is not named is refused. */
const REFUSED = undefined

/** Every event in every phase: a missing one does not compile. */
const NEXT: Readonly<Record<Phase, Readonly<Record<LifeEvent, Phase | typeof REFUSED>>>> = {
  registered: {
    activate: 'activating',
    placed: REFUSED,
    sleep: REFUSED,
    wake: REFUSED,
    upgrade: REFUSED,
    upgraded: REFUSED,
    failed: REFUSED,
    suspend: 'suspended',
    resume: REFUSED,
    end: 'retired',
    restore: 'activating',
  },
  activating: {
    activate: 'activating',
    placed: 'active',
    sleep: REFUSED,
    wake: REFUSED,
    upgrade: REFUSED,
    upgraded: REFUSED,
    failed: REFUSED,
    suspend: 'suspended',
    resume: REFUSED,
    end: REFUSED,
    restore: 'activating',
  },
  active: {
    activate: 'active',
    placed: 'active',
    sleep: 'dormant',
    wake: 'active',
    upgrade: 'upgrading',
    upgraded: REFUSED,
    failed: REFUSED,
    suspend: 'suspended',
    resume: REFUSED,
    end: 'retired',
    restore: 'activating',
  },
  dormant: {
    activate: 'activating',
    placed: REFUSED,
    sleep: 'dormant',
    wake: 'activating',
    upgrade: REFUSED,
    upgraded: REFUSED,
    failed: REFUSED,
    suspend: 'suspended',
    resume: REFUSED,
    end: REFUSED,
    restore: 'activating',
  },
  retired: {
    activate: REFUSED,
    placed: REFUSED,
    sleep: REFUSED,
    wake: REFUSED,
    upgrade: REFUSED,
    upgraded: REFUSED,
    failed: REFUSED,
    suspend: REFUSED,
    resume: REFUSED,
    end: REFUSED,
    restore: 'retired',
  },
  suspended: {
    activate: REFUSED,
    placed: REFUSED,
    sleep: REFUSED,
    wake: REFUSED,
    upgrade: REFUSED,
    upgraded: REFUSED,
    failed: REFUSED,
    suspend: 'suspended',
    resume: 'activating',
    end: 'retired',
    restore: REFUSED,
  },
  upgrading: {
    activate: 'upgrading',
    placed: 'upgrading',
    sleep: REFUSED,
    wake: 'upgrading',
    upgrade: REFUSED,
    upgraded: 'active',
    failed: 'active',
    suspend: 'suspended',
    resume: REFUSED,
    end: REFUSED,
    restore: 'activating',
  },
}

/** What an instance does in a phase: whether inputs and actions count, and whether its state is answered. */
const ALLOWS: Readonly<Record<Phase, { readonly inputs: boolean; readonly reads: 'present' | 'last' | 'none' }>> = {
  registered: { inputs: false, reads: 'none' },
  activating: { inputs: false, reads: 'none' },
  active: { inputs: true, reads: 'present' },
  dormant: { inputs: false, reads: 'none' },
  retired: { inputs: false, reads: 'last' },
  suspended: { inputs: false, reads: 'none' },
  upgrading: { inputs: true, reads: 'present' },
}

export function nextPhase(phase: Phase, event: LifeEvent): Verdict<Phase> {
  const next = NEXT[phase][event]
  return next === REFUSED ? ignore('lifecycle.transition', { phase, event }) : accept(next)
}

export function allowedIn(phase: Phase): { readonly inputs: boolean; readonly reads: 'present' | 'last' | 'none' } {
  return ALLOWS[phase]
}
