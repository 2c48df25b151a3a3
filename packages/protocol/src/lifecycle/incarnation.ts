/** How a new incarnation of an instance begins: with a checkpoint that 2f + 1 home anchors signed on the word of its owner. */
import type { AnchorRecord } from '../election/record.ts'
import type { InstanceState } from '../execution/instance.ts'
import {
  type CertifiedJournalCheckpoint,
  compareHeads,
  type Entry,
  GENESIS,
  type Head,
  type JournalCheckpoint,
} from '../journal/messages.ts'
import { ignore, type Verdict } from '../primitives/verdict.ts'

/** The place that a checkpoint vouches for. */
export function headOfCheckpoint({ term, n, entry }: JournalCheckpoint): Head {
  return { term, n, hash: entry }
}

/** What an anchor reports when a term is prepared: its highest certificate, or the checkpoint with which the incarnation began. */
export function reportedHead({ certified, restored }: Pick<AnchorRecord, 'certified' | 'restored'>): Head {
  const known = certified?.head ?? GENESIS
  const base = restored ? headOfCheckpoint(restored.checkpoint) : GENESIS
  return compareHeads(base, known) > 0 ? base : known
}

/** Nothing is signed in an incarnation below the one that an anchor agreed to. */
export function olderIncarnation(incarnation: bigint, record: AnchorRecord): Verdict<never> | undefined {
  if (incarnation >= record.incarnation) return undefined
  return ignore('restore.incarnation', { offered: incarnation, known: record.incarnation })
}

/**
 * The record of an anchor that begins a new incarnation. What it knew of the one before counts no more, except the leases that it
 * voted for: whoever holds one may still act.
 */
export function beginIncarnation(record: AnchorRecord, certified: CertifiedJournalCheckpoint): AnchorRecord {
  const { incarnation } = certified.checkpoint
  const head = headOfCheckpoint(certified.checkpoint)
  const isOfIt = (known: bigint | undefined) => known !== undefined && known >= incarnation
  const keepsJournal = isOfIt(record.certified?.certificate.entry.incarnation)
  const base = {
    ...record,
    incarnation,
    restored: certified,
    placement: isOfIt(record.placement?.placement.incarnation) ? record.placement : undefined,
    certified: keepsJournal ? record.certified : undefined,
    held: keepsJournal ? record.held : undefined,
    committed: head,
  }
  return record.term >= head.term ? base : { ...base, term: head.term, report: undefined, voted: undefined }
}

/** What is of a later incarnation than a journal that is known here goes on from a checkpoint which is not known here. */
export function isOfLaterIncarnation(incarnation: bigint, { restored }: Pick<AnchorRecord, 'restored'>): boolean {
  return incarnation > (restored?.checkpoint.incarnation ?? 0n)
}

/** A checkpoint of another network has no term here: it is below all terms, though not at the beginning of the journal. */
export function isFromElsewhere({ term, n }: Pick<Head, 'term' | 'n'>): boolean {
  return term === 0n && n > 0n
}

/**
 * The state to which the first entry of an incarnation applies. Until then it is, root and all, the one that was restored. Streams
 * of another network begin anew here, so their cursors are forgotten.
 */
export function enterIncarnation(state: InstanceState, entry: Pick<Entry, 'incarnation'>, head: Head): InstanceState {
  if (BigInt(state.incarnation) >= entry.incarnation) return state
  const cursors = isFromElsewhere(head) ? {} : state.cursors
  return { ...state, incarnation: String(entry.incarnation), cursors }
}
