/** What an issuer knows of its own stream: a fold over the records of its outbox, without a file or a network. */
import {
  type Address,
  address,
  type Bytes32,
  bool,
  bytes32,
  type Delegation,
  EMPTY_SUBSET,
  type Hasher,
  INPUT_KINDS,
  type InputData,
  integer,
  listOf,
  oneOf,
  optional,
  parseEpoch,
  readData,
  record,
  type Shape,
  type ShapeOf,
  SmartLayerError,
  type StreamItem,
  type SubsetState,
  streamItemShape,
  text,
  uidOf,
  uint,
  ZERO_32,
} from '@smartlayer/protocol'

/** Heads of subsets that are kept; others are read from the network when they are needed. */
export const SUBSET_LIMIT = 50_000
/** Batches whose progress is kept; the one that moved last stays longest. */
const RUN_LIMIT = 64
/** Entries of one record; a new epoch signs again all that had no receipt. */
const ENTRY_LIMIT = 1_024
const EPOCH_KIND = BigInt(INPUT_KINDS.indexOf('epoch'))

/** How far a batch has come: the last line that was signed, and the digest of the file up to it. */
const markShape = record({ run: text(64), line: integer(1, Number.MAX_SAFE_INTEGER), digest: text(64) })
export type Mark = ShapeOf<typeof markShape>

const delegationShape: Shape<Delegation> = {
  parse: (input, at) => {
    const { attestation, body } = streamItemShape.parse(input, at)
    return { attestation, body }
  },
  toJson: (value) => streamItemShape.toJson(value),
}
const basisShape = record({
  epoch: uint(64),
  sequence: uint(64),
  head: bytes32,
  key: optional(address),
  delegation: optional(delegationShape),
})
/** A place in the stream. `key` signs in its epoch, the issuer's own when left out; `delegation` is what entitles it. */
export type Basis = ShapeOf<typeof basisShape>

const placeShape = record({
  basis: basisShape,
  /** No subset but those that are known was ever used. */
  complete: bool,
  /** Left out: the known heads stay. */
  subsets: optional(listOf(record({ subset: bytes32, sequence: uint(64), head: bytes32 }), SUBSET_LIMIT)),
  runs: optional(listOf(markShape, RUN_LIMIT)),
})
export type OutboxPlace = ShapeOf<typeof placeShape>

const entriesShape = listOf(record({ item: streamItemShape, mark: optional(markShape) }), ENTRY_LIMIT)
export type SignedEntry = { readonly item: StreamItem; readonly mark: Mark | undefined }

export const outboxRecordShape = oneOf('type', {
  /** Everything before it is known to be in the stream; nothing is pending. */
  place: record({ place: placeShape }),
  /** Entries that were signed, one after another. They may have been sent from now on. */
  signed: record({ entries: entriesShape }),
  /** The stream goes on after this place with these entries; what was pending before is given up for good. */
  resumed: record({ place: placeShape, entries: entriesShape }),
  /** All up to this place has its receipt. */
  receipt: record({ sequence: uint(64) }),
})
export type OutboxRecord = ShapeOf<typeof outboxRecordShape>

/** A signed entry that has no receipt yet. */
export type Pending = SignedEntry & { readonly uid: Bytes32; readonly data: InputData }

/** Changed in place by `applyRecord`: a batch of a million facts must not copy its subsets for each of them. */
export type OutboxState = {
  readonly stream: Bytes32
  readonly issuer: Address
  /** Where the stream stands with receipts, and where it stands once all that was signed has one. */
  base: Basis
  now: Basis
  complete: boolean
  /** Heads after all that was signed; the one that moved last comes last. */
  readonly subsets: Map<Bytes32, SubsetState>
  /** Progress of batches with receipts. */
  readonly runs: Map<string, Mark>
  pending: readonly Pending[]
}

export function newState({ stream, issuer }: Pick<OutboxState, 'stream' | 'issuer'>): OutboxState {
  const base = { epoch: 1n, sequence: 0n, head: ZERO_32, key: undefined, delegation: undefined }
  return { stream, issuer, base, now: base, complete: true, subsets: new Map(), runs: new Map(), pending: [] }
}

/** Takes one record. Throws `message.malformed` when it does not follow from what came before. */
export function applyRecord(state: OutboxState, written: OutboxRecord, keccak: Hasher): void {
  switch (written.type) {
    case 'place':
      return setPlace(state, written.place)
    case 'signed':
      return addEntries(state, written.entries, keccak)
    case 'resumed':
      setPlace(state, written.place)
      return addEntries(state, written.entries, keccak)
    case 'receipt':
      return receipted(state, written.sequence)
  }
}

/** The head that the next entry of a subset follows; undefined when the network must be asked. */
export function subsetHeadOf({ subsets, complete }: OutboxState, subset: Bytes32): SubsetState | undefined {
  return subsets.get(subset) ?? (complete ? EMPTY_SUBSET : undefined)
}

/** The same before anything that is pending was signed. */
export function headsBefore(state: OutboxState): (subset: Bytes32) => SubsetState | undefined {
  const subsets = new Map(state.subsets)
  undo(subsets, state.pending)
  return (subset) => subsetHeadOf({ ...state, subsets }, subset)
}

/** The last line of a batch that was signed. */
export function markOf({ pending, runs }: OutboxState, run: string): Mark | undefined {
  return pending.findLast(({ mark }) => mark?.run === run)?.mark ?? runs.get(run)
}

/** The records that make the same state: what a compacted file holds. */
export function recordsOf(state: OutboxState): readonly OutboxRecord[] {
  const { base, complete, runs, pending } = state
  const heads = new Map(state.subsets)
  undo(heads, pending)
  const subsets = [...heads].map(([subset, head]) => ({ subset, ...head }))
  const place = { basis: base, complete, subsets, runs: [...runs.values()] }
  const entries = pending.map(({ item, mark }) => ({ item, mark }))
  return entries.length === 0 ? [{ type: 'place', place }] : [{ type: 'resumed', place, entries }]
}

/** The records for an entry that an earlier version kept alone in its file. */
export function recordsOfItem(item: StreamItem): readonly OutboxRecord[] {
  const data = dataOf(item)
  const { refUID } = item.attestation.message
  const basis = {
    epoch: data.epoch,
    sequence: data.sequence - 1n,
    head: refUID,
    key: undefined,
    delegation: undefined,
  }
  const subsets = [{ subset: data.subset, sequence: data.subSequence - 1n, head: data.subPrevious }]
  const place = { basis, complete: false, subsets, runs: [] }
  return [{ type: 'resumed', place, entries: [{ item, mark: undefined }] }]
}

function setPlace(state: OutboxState, { basis, complete, subsets, runs }: OutboxPlace): void {
  undo(state.subsets, state.pending)
  state.pending = []
  state.base = basis
  state.now = basis
  state.complete = complete
  if (subsets) {
    state.subsets.clear()
    for (const { subset, sequence, head } of subsets) state.subsets.set(subset, { sequence, head })
  }
  if (runs) {
    state.runs.clear()
    for (const mark of runs) state.runs.set(mark.run, mark)
  }
}

function addEntries(state: OutboxState, entries: readonly SignedEntry[], keccak: Hasher): void {
  const added = entries.map(({ item, mark }): Pending => {
    const pending = { item, mark, data: dataOf(item), uid: uidOf(item.attestation.message, keccak) }
    state.now = basisAfter(state, pending)
    move(state, pending)
    return pending
  })
  state.pending = [...state.pending, ...added]
}

function basisAfter({ now, stream, issuer }: OutboxState, { item, data, uid }: Pending): Basis {
  const { attestation, body } = item
  const opens = data.kind === EPOCH_KIND
  const follows = data.sequence === now.sequence + 1n && attestation.message.refUID === now.head
  if (data.stream !== stream || !follows || (opens ? data.epoch <= now.epoch : data.epoch !== now.epoch)) {
    malformed(`an entry that follows ${now.sequence}`)
  }
  const moved = { ...now, epoch: data.epoch, sequence: data.sequence, head: uid }
  if (!opens) return moved
  const key = parseEpoch(body)?.key ?? malformed('an epoch that names its key')
  return { ...moved, key, delegation: key === issuer ? undefined : { attestation, body } }
}

function move(state: OutboxState, { data, uid }: Pending): void {
  const { subsets } = state
  subsets.delete(data.subset)
  subsets.set(data.subset, { sequence: data.subSequence, head: uid })
  if (subsets.size <= SUBSET_LIMIT) return
  const [oldest] = subsets.keys()
  subsets.delete(oldest!)
  state.complete = false
}

/** Takes back what pending entries did to the heads of their subsets. */
function undo(subsets: Map<Bytes32, SubsetState>, pending: readonly Pending[]): void {
  for (const { data } of pending.toReversed()) {
    if (data.subSequence === 1n) subsets.delete(data.subset)
    else subsets.set(data.subset, { sequence: data.subSequence - 1n, head: data.subPrevious })
  }
}

function receipted(state: OutboxState, sequence: bigint): void {
  const done = state.pending.filter(({ data }) => data.sequence <= sequence)
  if (done.length === 0) return
  state.pending = state.pending.slice(done.length)
  state.base = done.reduce((base, pending) => basisAfter({ ...state, now: base }, pending), state.base)
  for (const { mark } of done) {
    if (!mark) continue
    state.runs.delete(mark.run)
    state.runs.set(mark.run, mark)
  }
  if (state.runs.size <= RUN_LIMIT) return
  const [oldest] = state.runs.keys()
  state.runs.delete(oldest!)
}

function dataOf(item: StreamItem): InputData {
  return readData(item) ?? malformed('an entry of a stream')
}

function malformed(expected: string): never {
  throw SmartLayerError.of('message.malformed', { at: 'outbox', expected })
}
