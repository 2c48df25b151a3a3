/** What an anchor promised: it signs no two things for one place, nothing in a lower term, nothing after a release. */
import type { Anchor, Signed } from './anchor.ts'
import { nameOfTerm, type Values } from './values.ts'

type Signature = { readonly slot: number; readonly n: number; readonly about: 'vote' | 'accept' | 'hold' | 'renewal' }

/** Judged from two states in a row: the promise that the step breaks, or undefined. */
export function brokenPromise(values: Values, before: Anchor, after: Anchor): string | undefined {
  const { term: lowest } = before.record
  if (after.record.term < lowest) return 'its term goes down'
  const earlier = signaturesIn(values, before.signed)
  const fresh = signaturesIn(values, after.signed).filter((item) => !earlier.some((known) => known.key === item.key))
  for (const { slot, n, about } of fresh) {
    const name = nameOfTerm(values, slot)
    if (values.terms[slot]! < lowest) return `it signs a ${about} of ${name} after it signed in term ${lowest}`
    const isBound = about === 'renewal' || about === 'accept'
    if (isBound && before.released.includes(slot))
      return `it signs a ${about} of ${name} after that lease was given back`
    const onlyOne = about === 'vote' || about === 'accept'
    if (onlyOne && earlier.some((other) => other.about === about && other.slot === slot && other.n === n))
      return about === 'vote' ? `it votes twice in ${name}` : `it accepts two entries at ${name}/n${n}`
  }
  return undefined
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
