/** When a run of entries is believed as a whole: a checkpoint proves the last, and the hash chain leads back from it. */
import type { Bytes32 } from '../primitives/bytes.ts'
import { accept, accepted, reject, type Verdict } from '../primitives/verdict.ts'
import { type EntryContext, type OpenEntry, readEntry } from './entry.ts'
import type { StreamItem } from './item.ts'
import type { StreamCheckpoint } from './messages.ts'
import type { MountainProof } from './mountains.ts'
import { checkInclusion } from './receipt.ts'

export type ProvenRange = {
  readonly items: readonly StreamItem[]
  /** Checked before (`checkCheckpoint`). */
  readonly checkpoint: StreamCheckpoint
  readonly proof: MountainProof
}

/**
 * The entries of a whole stream (`subset` is the stream's id) or of one subset, in order: one quorum signature and hashes
 * instead of a signature each. Throws nothing; the refusal says what breaks the chain.
 */
export function checkRange(
  { stream, subset }: { readonly stream: Bytes32; readonly subset: Bytes32 },
  { items, checkpoint, proof }: ProvenRange,
  context: EntryContext,
): Verdict<readonly OpenEntry[]> {
  const broken = (detail: string) => reject('stream.checkpoint', { detail })
  if (checkpoint.stream !== stream) return broken('it is of another stream')
  const entries: OpenEntry[] = []
  for (const item of items) {
    const read = readEntry(item, context)
    if (!accepted(read)) return read
    const { data } = read.value
    const before = entries.at(-1)
    if (data.stream !== stream || (subset !== stream && data.subset !== subset))
      return broken('an entry is of elsewhere')
    if (before && !(subset === stream ? follows(read.value, before) : followsInSubset(read.value, before))) {
      return broken(`entry ${data.sequence} does not follow the one before`)
    }
    entries.push(read.value)
  }
  const last = entries.at(-1)
  if (!last) return broken('there is no entry')
  const included = checkInclusion(checkpoint, { sequence: last.data.sequence, uid: last.uid }, proof, context.crypto)
  return accepted(included) ? accept(entries) : included
}

function follows({ data, previous }: OpenEntry, before: OpenEntry): boolean {
  return previous === before.uid && data.sequence === before.data.sequence + 1n
}

function followsInSubset({ data }: OpenEntry, before: OpenEntry): boolean {
  return data.subPrevious === before.uid && data.subSequence === before.data.subSequence + 1n
}
