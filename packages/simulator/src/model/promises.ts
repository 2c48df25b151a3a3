/** What an anchor promised: it signs no two things for one place, nothing in a lower term, nothing after a release. */
import { epochOfTerm, formatTerm, leasedUntil } from '@smartlayer/protocol'
import type { Anchor, Signed } from './anchor.ts'
import { EPSILON, NOW } from './parties.ts'
import type { LeaseBounds } from './profile.ts'
import { nameOfTerm, type Values } from './values.ts'

type Signature = { readonly slot: number; readonly n: number; readonly about: 'vote' | 'accept' | 'hold' | 'renewal' }

/** Judged from two states in a row: the promise that the step breaks, or undefined. */
export function brokenPromise(
  values: Values,
  before: Anchor,
  after: Anchor,
  leases: LeaseBounds | undefined,
): string | undefined {
  const { term: lowest } = before.record
  if (after.record.term < lowest) return 'its term goes down'
  if (after.standing.sealed < before.standing.sealed) return 'it takes a seal back'
  if (leases && isHeldUp(after, leases)) return 'it is bound for longer than any lease may last'
  const earlier = signaturesIn(values, before.signed)
  const fresh = signaturesIn(values, after.signed).filter((item) => !earlier.some((known) => known.key === item.key))
  for (const { slot, n, about } of fresh) {
    const name = nameOfTerm(values, slot)
    const term = values.terms[slot]!
    if (term < lowest) return `it signs a ${about} of ${name} after it signed in term ${formatTerm(lowest)}`
    if (epochOfTerm(term) < before.standing.sealed) return `it signs a ${about} of ${name} after it sealed that epoch`
    if (epochOfTerm(term) > before.standing.opened) return `it signs a ${about} of ${name} before it took over`
    const isBound = about === 'renewal' || about === 'accept'
    if (isBound && before.released.includes(slot))
      return `it signs a ${about} of ${name} after that lease was given back`
    const onlyOne = about === 'vote' || about === 'accept'
    if (onlyOne && earlier.some((other) => other.about === about && other.slot === slot && other.n === n))
      return about === 'vote' ? `it votes twice in ${name}` : `it accepts two entries at ${name}/n${n}`
  }
  return undefined
}

/** Longer than an honest clock that is ahead, and a vote for a lease that begins later, could make it. */
function isHeldUp({ record, unsettled }: Anchor, { length }: LeaseBounds): boolean {
  return unsettled === 0 && leasedUntil(record) > NOW + BigInt(length + 5 * EPSILON)
}

function signaturesIn(values: Values, signed: Signed): readonly (Signature & { readonly key: string })[] {
  const entry = (about: 'accept' | 'hold') => (id: number) => {
    const { slot, n } = values.entries[id]!
    return { about, slot, n, key: `${about} ${id}` }
  }
  return [
    ...signed.votes.map((id) => ({ about: 'vote' as const, slot: values.bodies[id]!.slot, n: 0, key: `vote ${id}` })),
    ...signed.accepts.map(entry('accept')),
    ...signed.holds.map(entry('hold')),
    ...signed.renewals.map(({ body, expires }) => {
      return { about: 'renewal' as const, slot: values.bodies[body]!.slot, n: 0, key: `renewal ${body} ${expires}` }
    }),
  ]
}
