/** Hand-over between home sets, as the model needs it until production has rules for it: this file is the place for them. */
import {
  type AnchorContext,
  type AnchorRecord,
  type CertifiedEntry,
  compareHeads,
  enterTerm,
  GENESIS,
  type Head,
  leasedUntil,
} from '@smartlayer/protocol'
import { EPOCH_BITS, HOMES, nameHash } from './parties.ts'
import { GENESIS_ID, headOf, type Values } from './values.ts'

/** What an old anchor answers once it durably sealed the epoch: its highest certificate, and how long leases may run. */
export type Sealed = { readonly head: Head; readonly leasedUntil: bigint }

/** What a new anchor starts from: the highest certificate and the latest lease end of a quorum of sealed answers. */
export type Opening = { readonly head: number; readonly leasedUntil: number }

/** Sealed: from now on this anchor signs nothing for terms below the epoch. */
export function sealEpoch(
  record: AnchorRecord,
  epoch: number,
  context: AnchorContext,
): { record: AnchorRecord; answer: Sealed } {
  const sealed = enterTerm(record, BigInt(epoch) << EPOCH_BITS, context)
  return { record: sealed, answer: { head: sealed.certified?.head ?? GENESIS, leasedUntil: leasedUntil(sealed) } }
}

/** A new anchor takes over: it is bound by the old leases as if it had voted for them. */
export function openEpoch(
  record: AnchorRecord,
  epoch: number,
  { certified, leasedUntil: until }: { certified: CertifiedEntry | undefined; leasedUntil: bigint },
): AnchorRecord {
  const term = BigInt(epoch) << EPOCH_BITS
  const lease = { placement: nameHash('old leases'), term, expires: until, released: false }
  return { ...record, term, certified, leases: [lease] }
}

export function isOpen(record: AnchorRecord, epoch: number): boolean {
  return record.term >= BigInt(epoch) << EPOCH_BITS
}

/** What a quorum of answers may amount to: those of honest anchors, and the liar's, which names any certificate or none. */
export function openingsOf(
  answers: readonly Opening[],
  certified: readonly number[],
  values: Values,
): readonly Opening[] {
  const higher = (a: number, b: number) => (compareHeads(headOf(values, a), headOf(values, b)) >= 0 ? a : b)
  const needed = HOMES[0].quorum - 1
  const found = new Map<string, Opening>()
  for (const group of groupsOf(answers, needed)) {
    for (const lie of [GENESIS_ID, ...certified]) {
      const head = group.map((answer) => answer.head).reduce(higher, lie)
      const leasedUntil = Math.max(...group.map((answer) => answer.leasedUntil))
      found.set(`${head},${leasedUntil}`, { head, leasedUntil })
    }
  }
  return [...found.values()]
}

function groupsOf<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  if (size === 0) return [[]]
  return items.flatMap((item, i) => groupsOf(items.slice(i + 1), size - 1).map((rest) => [item, ...rest]))
}
