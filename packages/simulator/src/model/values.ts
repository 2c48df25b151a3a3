/** Placements and entries of the model, each distinct one kept once under a small number. */
import {
  type CertifiedEntry,
  type CertifiedPlacement,
  type Entry,
  entryHash,
  firstTermOf,
  GENESIS,
  type Head,
  type Placement,
  proposerOf,
} from '@smartlayer/protocol'
import { DOOR, EPSILON, epochOfSet, homeOfTerm, INSTANCE, NOW, nameHash, nodeAddress, setOf } from './parties.ts'

export const GENESIS_ID = 0

/** A placement body. `slot` is the place of its term among the terms of the profile; times are distances from now. */
export type Body = {
  readonly id: number
  readonly slot: number
  readonly variant: number
  readonly head: number
  readonly notBefore: number
  readonly expires: number
  readonly certified: CertifiedPlacement & { readonly hash: Placement['headHash'] }
}

/** An entry that an executor signed, under a placement, after `previous`; variants are what an equivocating executor signs. */
export type ModelEntry = {
  readonly id: number
  readonly slot: number
  readonly n: number
  readonly previous: number
  readonly variant: number
  readonly entry: Entry
  readonly certified: CertifiedEntry
}

export type Values = {
  readonly terms: readonly bigint[]
  readonly bodies: Body[]
  readonly entries: (ModelEntry | undefined)[]
  readonly known: Map<string, number>
}

export function emptyValues(terms: readonly bigint[]): Values {
  return { terms, bodies: [], entries: [undefined], known: new Map() }
}

export function headOf(values: Values, id: number): Head {
  return values.entries[id]?.certified.head ?? GENESIS
}

/** The head with this hash; genesis when no entry has it. */
export function entryOfHead(values: Values, head: Head): number {
  return values.known.get(head.hash) ?? GENESIS_ID
}

export function bodyOf(
  values: Values,
  { slot, variant, head, notBefore, expires }: Omit<Body, 'id' | 'certified'>,
): number {
  const key = `b${slot},${variant},${head},${notBefore},${expires}`
  const known = values.known.get(key)
  if (known !== undefined) return known
  const term = values.terms[slot]!
  const at = headOf(values, head)
  const placement: Placement = {
    instance: INSTANCE,
    term,
    incarnation: 0n,
    proposer: proposerOf(homeOfTerm(term), term),
    executor: nodeAddress(slot),
    replicas: [nodeAddress(slot)],
    headTerm: at.term,
    headN: at.n,
    headHash: at.hash,
    notBefore: NOW + BigInt(notBefore),
    expires: NOW + BigInt(expires),
  }
  const id = values.bodies.length
  const hash = nameHash(`placement ${slot} ${variant} ${head}`)
  values.bodies.push({
    id,
    slot,
    variant,
    head,
    notBefore,
    expires,
    certified: { placement, votes: [], hash },
  })
  values.known.set(key, id)
  return id
}

/** The same body a moment later. What lies further back than `floor` makes no difference any more. */
export function agedBody(values: Values, id: number, floor: number): number {
  const body = values.bodies[id]!
  return bodyOf(values, {
    ...body,
    notBefore: Math.max(floor, body.notBefore - 1),
    expires: Math.max(floor, body.expires - 1),
  })
}

/** A placement that has its votes, as far as it still matters: whether it began, and when it ends. */
export function placedForm(values: Values, id: number): number {
  const body = values.bodies[id]!
  return bodyOf(values, {
    ...body,
    notBefore: Math.max(-2 * EPSILON, body.notBefore),
    expires: Math.max(-2 * EPSILON, body.expires),
  })
}

export function agedPlacement(values: Values, id: number): number {
  const body = values.bodies[id]!
  return placedForm(values, bodyOf(values, { ...body, notBefore: body.notBefore - 1, expires: body.expires - 1 }))
}

/** Whether a vote for this body could still bind anybody. */
export function mayBind(values: Values, id: number): boolean {
  return values.bodies[id]!.expires >= -EPSILON
}

export function entryAfter(values: Values, body: Body, previous: number, variant: number): number {
  const key = `e${body.certified.hash},${previous},${variant}`
  const known = values.known.get(key)
  if (known !== undefined) return known
  const before = headOf(values, previous)
  const entry: Entry = {
    instance: INSTANCE,
    incarnation: 0n,
    placement: body.certified.hash,
    term: values.terms[body.slot]!,
    n: before.n + 1n,
    previous: before.hash,
    kind: 1n,
    input: nameHash(`input ${variant}`),
    content: nameHash('content'),
    time: 0n,
  }
  const head: Head = { term: entry.term, n: entry.n, hash: entryHash(entry, DOOR.domain, DOOR.crypto.keccak) }
  const id = values.entries.length
  values.entries.push({
    id,
    slot: body.slot,
    n: Number(entry.n),
    previous,
    variant,
    entry,
    certified: { certificate: { entry, accepts: [] }, head },
  })
  values.known.set(key, id)
  values.known.set(head.hash, id)
  return id
}

/** Whether `id` is `ancestor` or comes after it. */
export function extendsEntry(values: Values, id: number, ancestor: number): boolean {
  for (let at = id; ; at = values.entries[at]!.previous) {
    if (at === ancestor) return true
    if (at === GENESIS_ID) return false
  }
}

export function nameOfEntry(values: Values, id: number): string {
  const entry = values.entries[id]
  if (!entry) return 'genesis'
  const letter = 'abcdef'[entry.variant]
  return `${nameOfTerm(values, entry.slot)}/n${entry.n}${letter} after ${entry.previous === GENESIS_ID ? 'genesis' : `(${nameOfEntry(values, entry.previous)})`}`
}

export function nameOfTerm(values: Pick<Values, 'terms'>, slot: number): string {
  const term = values.terms[slot]!
  const set = setOf(term)
  const counter = `t${term - firstTermOf(epochOfSet(set))}`
  return set === 0 ? counter : `e${epochOfSet(set)}${counter}`
}

export function nameOfBody(values: Values, id: number): string {
  const { slot, variant, head, notBefore, expires } = values.bodies[id]!
  const mark = variant === 0 ? '' : ` (body ${variant + 1})`
  return `placement of ${nameOfTerm(values, slot)}${mark} at head ${nameOfEntry(values, head)}, from ${signed(notBefore)} to ${signed(expires)}`
}

/** A time as its distance from now. */
export function signed(time: number): string {
  return time < 0 ? `now − ${-time}` : `now + ${time}`
}
