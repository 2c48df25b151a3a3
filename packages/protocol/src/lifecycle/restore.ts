/** When a home anchor takes an instance from an archive, and in which incarnation it goes on. */
import type { AnchorRecord } from '../election/record.ts'
import type { Head, JournalCheckpoint } from '../journal/messages.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import type { ProvenArchive } from './archive.ts'
import { reportedHead } from './incarnation.ts'
import type { Restore } from './messages.ts'

/** The word of the owner, with the signer as the door recovered it. */
export type RestoreOrder = { readonly statement: Restore; readonly signer: Address | undefined }

/** What follows: the anchor learns what others proved, or vouches for a checkpoint of the next incarnation. */
export type RestoreStep =
  | { readonly step: 'learn' }
  | { readonly step: 'endorse'; readonly checkpoint: JournalCheckpoint }

/** How far an anchor knows the journal, committed or not. */
export function knownPlace(record: AnchorRecord): Head {
  const reported = reportedHead(record)
  return reported.n > record.committed.n ? reported : record.committed
}

/**
 * Without the owner's word an anchor takes only what is certified on its own network, and in the same incarnation. Where it stands
 * itself must be a place of the archive, or the archive must end the instance: an anchor that lost everything cannot tell whether
 * more was committed, and to go on at a place that was taken before would use its effects' ids twice. Terms prove no memory: an
 * anchor that lost everything may have taken part in elections since.
 */
export function judgeRestore(
  record: AnchorRecord,
  proven: ProvenArchive,
  { order, owner, networkId, homeEpoch }: RestoreTerms,
): Verdict<RestoreStep> {
  const isNative = proven.networkId === networkId
  if (order) return judgeOrder(record, proven, { order, owner, isNative, homeEpoch })
  if (!isNative) return ignore('restore.elsewhere', { network: proven.networkId })
  if (proven.incarnation < record.incarnation)
    return ignore('restore.incarnation', { offered: proven.incarnation, known: record.incarnation })
  const known = knownPlace(record)
  if (known.n > proven.head.n) return ignore('restore.behind', { known: known.n, offered: proven.head.n })
  if (known.n > 0n && isElsewhere(known, proven)) return ignore('restore.forked', { n: known.n })
  if (known.n > 0n || proven.isFinal) return accept({ step: 'learn' })
  return ignore('restore.incomplete', { n: proven.head.n, incarnation: proven.incarnation + 1n })
}

/** The anchor stands at another entry than the archive has at this place, or so far back that the archive cannot tell. */
function isElsewhere(known: Head, { places }: ProvenArchive): boolean {
  return !places.some(({ n, hash }) => n === known.n && hash === known.hash)
}

export type RestoreTerms = {
  readonly order: RestoreOrder | undefined
  /** Who owns the contract, and signed its script. */
  readonly owner: Address | undefined
  readonly networkId: Bytes32
  readonly homeEpoch: bigint
}

/** From then on the anchor signs nothing in a lower incarnation, so no entry can still be committed that nobody asked for. */
export function agreeToIncarnation(record: AnchorRecord, { incarnation }: JournalCheckpoint): AnchorRecord {
  return record.incarnation >= incarnation ? record : { ...record, incarnation, placement: undefined }
}

function judgeOrder(
  record: AnchorRecord,
  proven: ProvenArchive,
  {
    order,
    owner,
    isNative,
    homeEpoch,
  }: Omit<RestoreTerms, 'order' | 'networkId'> & {
    readonly order: RestoreOrder
    readonly isNative: boolean
  },
): Verdict<RestoreStep> {
  const { statement, signer } = order
  if (!signer || signer !== owner)
    return reject('attestation.signer', { signer: signer ?? 'nobody', role: 'owner of the contract' })
  if (!proven.base || proven.base.checkpoint.n === 0n) return reject('restore.no_checkpoint')
  const { checkpoint } = proven.base
  const member = differing(statement, proven, checkpoint)
  if (member) return reject('restore.statement', { member })
  const known = knownPlace(record)
  const lived = livedIn(record, proven)
  if (statement.incarnation <= lived || statement.incarnation < record.incarnation)
    return ignore('restore.incarnation', { offered: statement.incarnation, known: lived })
  if (!isNative && known.n > 0n) return ignore('restore.occupied', { n: known.n })
  if (known.n > checkpoint.n) return ignore('restore.behind', { known: known.n, offered: checkpoint.n })
  // Terms of another network mean nothing here: the place is below all terms of this one.
  const term = isNative ? checkpoint.term : 0n
  return accept({ step: 'endorse', checkpoint: { ...checkpoint, incarnation: statement.incarnation, term, homeEpoch } })
}

/** The highest incarnation that is known to have begun; agreeing to one does not begin it. */
function livedIn({ restored, placement }: AnchorRecord, { incarnation }: ProvenArchive): bigint {
  const known = [restored?.checkpoint.incarnation, placement?.placement.incarnation]
  return known.reduce<bigint>((highest, each) => (each !== undefined && each > highest ? each : highest), incarnation)
}

function differing(statement: Restore, proven: ProvenArchive, { n, root }: JournalCheckpoint): string | undefined {
  if (statement.instance !== proven.instance) return 'instance'
  if (statement.network !== proven.networkId) return 'network'
  if (statement.n !== n) return 'place'
  return statement.root === root ? undefined : 'state'
}
