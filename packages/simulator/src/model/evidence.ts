/** What the signatures that left prove to everybody: certificates, placements, commits, and what is wrong between them. */
import {
  accepted,
  checkCertificate,
  checkCommit,
  checkPlacement,
  countAccept,
  countHeld,
  progressOf,
  propose,
} from '@smartlayer/protocol'
import type { Signed, Stage } from './anchor.ts'
import { DOOR, HOMES, setOf, signaturesOf } from './parties.ts'
import { extendsEntry, type ModelEntry, nameOfBody, nameOfEntry, type Values } from './values.ts'

export type Evidence = {
  /** Entries with the accepts of a quorum. */
  readonly certified: readonly number[]
  readonly placed: readonly number[]
  readonly committed: readonly number[]
  readonly violation: string | undefined
}

/** The verdicts of production over who signed what, remembered: only the number of honest signers matters. */
export type Verdicts = Map<string, boolean>

/** What is settled for good: which placement a term has, and which entries are certified. Who signed it matters no more. */
export type Settled = { readonly placed: readonly number[]; readonly certified: readonly number[] }

export function evidenceOf(
  { values, profile }: Stage,
  { all, settled }: { all: readonly Signed[]; settled: Settled },
  verdicts: Verdicts,
): Evidence {
  const accepts = countOf(all.map(({ accepts: ids }) => ids))
  const holds = countOf(all.map(({ holds: ids }) => ids))
  const votes = countOf(all.map(({ votes: ids }) => ids))
  const remember = (key: string, judge: () => boolean): boolean => {
    const known = verdicts.get(key)
    if (known !== undefined) return known
    const verdict = judge()
    verdicts.set(key, verdict)
    return verdict
  }
  const placed = [...votes].filter(([id, count]) => remember(`p${id},${count}`, () => isPlaced(values, id, count)))
  const proven = [...accepts].filter(([id, count]) => remember(`c${id},${count}`, () => isCertified(values, id, count)))
  const certified = [...new Set([...settled.certified, ...proven.map(([id]) => id)])].sort((a, b) => a - b)
  const candidates = new Set([...holds.keys(), ...certified, ...certified.map((id) => values.entries[id]!.previous)])
  candidates.delete(0)
  const committed = [...candidates].filter((id) => {
    const held = holds.get(id) ?? 0
    if (remember(`h${id},${held}`, () => isHeld(values, id, held))) return true
    return certified.some((next) => remember(`n${id},${next}`, () => isProvenByNext(values, id, next)))
  })
  const left = certified.filter((id) => {
    const counts = { accepted: accepts.get(id) ?? HOMES[0]!.quorum - 1, held: holds.get(id) ?? 0 }
    return remember(`l${id},${counts.accepted},${counts.held}`, () => leavesTooEarly(values, id, counts))
  })
  const found = {
    certified,
    placed: [...new Set([...settled.placed, ...placed.map(([id]) => id)])].sort((a, b) => a - b),
    committed,
  }
  const early =
    left[0] === undefined ? undefined : `consequences of ${nameOfEntry(values, left[0])} leave before it is committed`
  return { ...found, violation: profile.entries > 0 ? (early ?? conflictIn(values, found)) : undefined }
}

/** Nothing committed is lost: neither by another commit, nor by where a later placement starts. */
function conflictIn(values: Values, { certified, placed, committed }: Omit<Evidence, 'violation'>): string | undefined {
  for (const one of certified) {
    for (const other of certified) {
      if (one < other && samePlace(values.entries[one]!, values.entries[other]!))
        return `two certificates for one place of one term: ${nameOfEntry(values, one)} and ${nameOfEntry(values, other)}`
    }
  }
  for (const one of committed) {
    for (const other of committed) {
      if (one >= other || extendsEntry(values, one, other) || extendsEntry(values, other, one)) continue
      return `two commits in conflict: ${nameOfEntry(values, one)} and ${nameOfEntry(values, other)}`
    }
  }
  for (const id of committed) {
    const lost = placed.find((body) => {
      const { slot, head } = values.bodies[body]!
      return slot > values.entries[id]!.slot && !extendsEntry(values, head, id)
    })
    if (lost !== undefined) return `${nameOfEntry(values, id)} is committed, but lost by ${nameOfBody(values, lost)}`
  }
  return undefined
}

export function samePlace(one: ModelEntry, other: ModelEntry): boolean {
  return one.slot === other.slot && one.n === other.n
}

function countOf(lists: readonly (readonly number[])[]): ReadonlyMap<number, number> {
  const counts = new Map<number, number>()
  for (const list of lists) for (const id of list) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

function isPlaced(values: Values, id: number, count: number): boolean {
  const { placement } = values.bodies[id]!.certified
  const set = setOf(placement.term)
  return accepted(checkPlacement({ placement, votes: signaturesOf(set, count) }, HOMES[set]!, DOOR))
}

function isCertified(values: Values, id: number, count: number): boolean {
  const { entry } = values.entries[id]!
  const set = setOf(entry.term)
  return accepted(checkCertificate({ entry, accepts: signaturesOf(set, count) }, HOMES[set]!, DOOR))
}

function isHeld(values: Values, id: number, count: number): boolean {
  const { entry } = values.entries[id]!
  const set = setOf(entry.term)
  return accepted(checkCommit({ by: 'held', entry, held: signaturesOf(set, count) }, HOMES[set]!, DOOR))
}

function isProvenByNext(values: Values, id: number, next: number): boolean {
  const { entry } = values.entries[id]!
  const after = values.entries[next]!
  const set = setOf(after.entry.term)
  const certificate = { entry: after.entry, accepts: HOMES[set]!.anchors }
  return accepted(checkCommit({ by: 'next', entry, next: certificate }, HOMES[set]!, DOOR))
}

/** What an honest executor makes of the signatures that it got, against what everybody else makes of its proof. */
function leavesTooEarly(
  values: Values,
  id: number,
  { accepted: accepts, held }: { accepted: number; held: number },
): boolean {
  const { entry, certified } = values.entries[id]!
  const set = setOf(entry.term)
  const signers = (honest: number) => signaturesOf(set, honest)
  let proposal = propose(entry, certified.head)
  for (const anchor of signers(accepts)) proposal = countAccept(proposal, anchor, anchor)
  for (const anchor of signers(held)) proposal = countHeld(proposal, anchor, anchor)
  const progress = progressOf(proposal, HOMES[set]!.quorum)
  return progress.stage === 'committed' && !accepted(checkCommit(progress.proof, HOMES[set]!, DOOR))
}
