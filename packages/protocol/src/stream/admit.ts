/** When a home anchor takes an entry into a stream: gap-free, in sequence, one UID per place (docs/spec/stream.md). */
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { ZERO_32 } from '../primitives/bytes.ts'
import { accept, ignore, type Verdict } from '../primitives/verdict.ts'
import type { OpenEntry } from './entry.ts'

/** Where a stream stands at one anchor. */
export type StreamState = {
  readonly stream: Bytes32
  readonly epoch: bigint
  readonly sequence: bigint
  readonly head: Bytes32
  /** The key that signs in this epoch; undefined in the first, where the issuer's own key signs. */
  readonly key: Address | undefined
  /** The last place that is known to have a receipt of 2f + 1 home anchors; what follows may still be given up. */
  readonly certified: bigint
  /** Set when the issuer signed two entries for one place: nothing of this epoch is taken after this sequence. */
  readonly frozenAfter: bigint | undefined
}

/** Where a subset inside a stream stands. */
export type SubsetState = { readonly sequence: bigint; readonly head: Bytes32 }

/** What an anchor holds at a place already. */
export type StoredPlace = { readonly uid: Bytes32; readonly epoch: bigint }

/** The parts of a checked entry that its admission rests on; a `proven` one was admitted by 2f + 1 home anchors before. */
export type Candidate = Pick<OpenEntry, 'data' | 'uid' | 'previous' | 'kind' | 'issuer' | 'attester' | 'epoch'> & {
  readonly proven?: boolean
}

export function emptyStream(stream: Bytes32): StreamState {
  return { stream, epoch: 1n, sequence: 0n, head: ZERO_32, key: undefined, certified: 0n, frozenAfter: undefined }
}

/** Epochs that an opening may skip. */
const EPOCH_JUMP_LIMIT = 64n

export const EMPTY_SUBSET: SubsetState = { sequence: 0n, head: ZERO_32 }

/**
 * Admits the next entry. `stored` is what this anchor already holds at the entry's place, if anything: the same UID again is
 * `stream.already_known` (the receipt is simply signed again), another one of the same epoch proves a fork. An `epoch` entry
 * opens a later epoch, also of a frozen stream, and never over the head of an entry that this anchor signed for.
 */
export function admit(
  state: StreamState,
  subset: SubsetState,
  { entry, stored }: { entry: Candidate; stored: StoredPlace | undefined },
): Verdict<{ readonly state: StreamState; readonly subset: SubsetState }> {
  const { data, uid, previous, kind } = entry
  if (stored?.uid === uid) return ignore('stream.already_known', { sequence: data.sequence })
  if (stored && stored.epoch === data.epoch) return ignore('stream.fork', { sequence: data.sequence })
  const opens = kind === 'epoch'
  if (opens ? !mayOpen(data.epoch, state.epoch) : data.epoch !== state.epoch) {
    return ignore('stream.epoch', { current: state.epoch, got: data.epoch })
  }
  if (!opens && !entry.proven && state.frozenAfter !== undefined)
    return ignore('stream.frozen', { sequence: state.frozenAfter })
  if (!opens && !entry.proven && entry.attester !== (state.key ?? entry.issuer)) {
    return ignore('stream.key', { expected: state.key ?? entry.issuer, got: entry.attester })
  }
  if (data.sequence !== state.sequence + 1n) {
    return ignore('stream.sequence_gap', { next: state.sequence + 1n, got: data.sequence })
  }
  if (previous !== state.head) return ignore('stream.predecessor', { expected: state.head, got: previous })
  if (data.subSequence !== subset.sequence + 1n || data.subPrevious !== subset.head) {
    return ignore('stream.subset', { next: subset.sequence + 1n, got: data.subSequence })
  }
  const moved = { ...state, sequence: data.sequence, head: uid }
  return accept({
    state: opens ? { ...moved, epoch: data.epoch, key: entry.epoch?.key, frozenAfter: undefined } : moved,
    subset: { sequence: data.subSequence, head: uid },
  })
}

/**
 * Mostly the next one. An issuer whose opening could not be taken, because it followed a head that was given up, opens a later
 * epoch at the same place: so it never signs two entries for one.
 */
function mayOpen(epoch: bigint, current: bigint): boolean {
  return epoch > current && epoch <= current + EPOCH_JUMP_LIMIT
}

/** Freezes the epoch of a stream whose issuer forked it: what has a receipt stays, nothing follows. */
export function freeze(state: StreamState): StreamState {
  return state.frozenAfter === undefined ? { ...state, frozenAfter: state.certified } : state
}

/** The stream after 2f + 1 receipts for `sequence` became known; a frozen one keeps what has a receipt. */
export function certify(state: StreamState, sequence: bigint): StreamState {
  if (sequence <= state.certified) return state
  const { frozenAfter } = state
  return { ...state, certified: sequence, frozenAfter: frozenAfter === undefined ? undefined : sequence }
}
