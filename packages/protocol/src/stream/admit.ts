/** When a home anchor takes an entry into a stream: gap-free, in sequence, one UID per place (docs/spec/stream.md). */
import type { InputData } from '../attestation/schemas.ts'
import type { Bytes32 } from '../primitives/bytes.ts'
import { ZERO_32 } from '../primitives/bytes.ts'
import { accept, ignore, type Verdict } from '../primitives/verdict.ts'

/** Where a stream stands at one anchor. */
export type StreamState = {
  readonly stream: Bytes32
  readonly epoch: bigint
  readonly sequence: bigint
  readonly head: Bytes32
  /** Set when the issuer signed two entries for one place: nothing is taken after this sequence. */
  readonly frozenAfter: bigint | undefined
}

/** Where a subset inside a stream stands. */
export type SubsetState = { readonly sequence: bigint; readonly head: Bytes32 }

/** A verified entry: its place, its UID and its predecessor in the stream (`refUID`). */
export type StreamEntry = { readonly data: InputData; readonly uid: Bytes32; readonly previous: Bytes32 }

export function emptyStream(stream: Bytes32): StreamState {
  return { stream, epoch: 1n, sequence: 0n, head: ZERO_32, frozenAfter: undefined }
}

export const EMPTY_SUBSET: SubsetState = { sequence: 0n, head: ZERO_32 }

/**
 * Admits the next entry. `stored` is the UID this anchor already holds at the entry's place, if any: the same UID again is
 * `stream.already_known` (the receipt is simply signed again), another one proves a fork.
 */
export function admit(
  state: StreamState,
  subset: SubsetState,
  { entry, stored }: { entry: StreamEntry; stored: Bytes32 | undefined },
): Verdict<{ readonly state: StreamState; readonly subset: SubsetState }> {
  const { data, uid, previous } = entry
  if (data.epoch !== state.epoch) return ignore('stream.epoch', { current: state.epoch, got: data.epoch })
  if (stored === uid) return ignore('stream.already_known', { sequence: data.sequence })
  if (stored !== undefined) return ignore('stream.fork', { sequence: data.sequence })
  if (state.frozenAfter !== undefined) return ignore('stream.frozen', { sequence: state.frozenAfter })
  if (data.sequence !== state.sequence + 1n) {
    return ignore('stream.sequence_gap', { next: state.sequence + 1n, got: data.sequence })
  }
  if (previous !== state.head) return ignore('stream.predecessor', { expected: state.head, got: previous })
  if (data.subSequence !== subset.sequence + 1n || data.subPrevious !== subset.head) {
    return ignore('stream.subset', { next: subset.sequence + 1n, got: data.subSequence })
  }
  return accept({
    state: { ...state, sequence: data.sequence, head: uid },
    subset: { sequence: data.subSequence, head: uid },
  })
}

/** Freezes a stream whose issuer forked it: what was receipted stays, nothing follows. */
export function freeze(state: StreamState): StreamState {
  return { ...state, frozenAfter: state.sequence }
}
