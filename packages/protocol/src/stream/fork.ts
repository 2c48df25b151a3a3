/** A proof that an issuer forked its stream: two entries of one place, both signed for it. Self-contained. */
import { type Bytes32, ZERO_32 } from '../primitives/bytes.ts'
import { accept, accepted, reject, type Verdict } from '../primitives/verdict.ts'
import { type EntryContext, type OpenEntry, openEntry, readData } from './entry.ts'
import type { StreamItem } from './item.ts'

export type Fork = { readonly first: OpenEntry; readonly second: OpenEntry }

/** Both entries hold by themselves, each judged at its own time, and stand at one (stream, epoch, sequence) with two UIDs. */
export function checkFork(
  { first, second }: { readonly first: StreamItem; readonly second: StreamItem },
  context: Omit<EntryContext, 'nowS'>,
): Verdict<Fork> {
  const one = openEntry(first, { ...context, nowS: ownTime(first) })
  if (!accepted(one)) return one
  const other = openEntry(second, { ...context, nowS: ownTime(second) })
  if (!accepted(other)) return other
  const [a, b] = [one.value.data, other.value.data]
  const samePlace = a.stream === b.stream && a.epoch === b.epoch && a.sequence === b.sequence
  if (!samePlace || one.value.uid === other.value.uid) return reject('stream.identity')
  return accept({ first: one.value, second: other.value })
}

/** A moment at which the entry counts by its own words, in seconds. */
export function ownTime(item: StreamItem): bigint {
  const validFrom = readData(item)?.validFrom ?? 0n
  const { time } = item.attestation.message
  return validFrom > time ? validFrom : time
}

/** The stream of an entry as it names it, unchecked. */
export function streamNamed(item: StreamItem): Bytes32 {
  return readData(item)?.stream ?? ZERO_32
}
