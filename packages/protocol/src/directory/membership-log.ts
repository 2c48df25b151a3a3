/** The membership log: registry events by block, rolled back with the chain until they are final, folded into the members of an epoch. */
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import type { Member } from './membership.ts'

/** Blocks that may wait for the chain to finalize them. */
const TAIL_LIMIT = 4_096
/** Events that may wait to be folded. */
const EVENT_LIMIT = 1 << 20

/** What the registry says happened. `since` and `until` are epochs: the first in which it counts, the first in which it no longer does. */
export type RegistryEvent =
  | { readonly kind: 'registered'; readonly member: Member; readonly since: bigint }
  | {
      readonly kind: 'updated'
      readonly node: Address
      readonly transportKey: Bytes32
      readonly overlay: string
      readonly api: string
    }
  | { readonly kind: 'leaving'; readonly node: Address; readonly until: bigint }
  | { readonly kind: 'jailed'; readonly node: Address; readonly since: bigint; readonly until: bigint }
  | { readonly kind: 'released'; readonly node: Address; readonly until: bigint }

export type PlacedEvent = { readonly block: bigint; readonly logIndex: number; readonly event: RegistryEvent }

export type LogBlock = {
  readonly number: bigint
  readonly hash: Bytes32
  readonly parentHash: Bytes32
  /** Events of this block, by log index. */
  readonly events: readonly PlacedEvent[]
}

/** A registered node and the epochs in which it takes part. */
export type Registration = {
  readonly member: Member
  readonly since: bigint
  readonly until: bigint | undefined
  readonly jailed: { readonly since: bigint; readonly until: bigint } | undefined
}

export type Registrations = ReadonlyMap<Address, Registration>

export type MembershipLog = {
  /** What all events up to and including `foldedTo` come to. */
  readonly registrations: Registrations
  readonly foldedTo: bigint
  /** Final events behind it, in order. */
  readonly settled: readonly PlacedEvent[]
  readonly finalized: { readonly number: bigint; readonly hash: Bytes32 }
  /** Blocks that the chain may still take back, in order. */
  readonly tail: readonly LogBlock[]
}

/** A log that starts after a finalized block, from all events up to it in order. */
export function openMembershipLog(
  finalized: { readonly number: bigint; readonly hash: Bytes32 },
  history: readonly PlacedEvent[],
): MembershipLog {
  return { registrations: fold(new Map(), history), foldedTo: finalized.number, settled: [], finalized, tail: [] }
}

/** Appends a block to the block it names as parent; blocks behind that one were reorganised away and go. Final ones never do. */
export function appendBlock(log: MembershipLog, block: LogBlock): Verdict<MembershipLog> {
  const { finalized, tail } = log
  if (block.number <= finalized.number) {
    return ignore('directory.block_foreign', { block: block.number, finalized: finalized.number })
  }
  const height = Number(block.number - finalized.number) - 1
  if (tail[height]?.hash === block.hash) return accept(log)
  if (height > tail.length) {
    return ignore('directory.block_gap', { next: finalized.number + BigInt(tail.length) + 1n, got: block.number })
  }
  const kept = tail.slice(0, height)
  const parent = kept.at(-1) ?? finalized
  if (block.parentHash !== parent.hash) {
    // The parent was replaced too, so what replaced it comes first; what is final is never replaced.
    return parent === finalized
      ? reject('directory.block_foreign', { block: block.number, finalized: finalized.number })
      : ignore('directory.block_gap', { next: parent.number, got: block.number })
  }
  if (!isInOrder(block)) return reject('directory.event_order', { block: block.number })
  if (kept.length >= TAIL_LIMIT) return ignore('directory.log_full', { limit: TAIL_LIMIT })
  return accept({ ...log, tail: [...kept, block] })
}

/** Makes the blocks of the tail up to `number` final. */
export function finalizeTo(log: MembershipLog, number: bigint): Verdict<MembershipLog> {
  const count = Number(number - log.finalized.number)
  if (count <= 0) return accept(log)
  const head = log.tail[count - 1]
  if (!head) {
    const next = log.finalized.number + BigInt(log.tail.length) + 1n
    return ignore('directory.block_gap', { next, got: number })
  }
  const settled = [...log.settled, ...log.tail.slice(0, count).flatMap(({ events }) => events)]
  if (settled.length > EVENT_LIMIT) return ignore('directory.log_full', { limit: EVENT_LIMIT })
  const finalized = { number: head.number, hash: head.hash }
  return accept({ ...log, settled, finalized, tail: log.tail.slice(count) })
}

/** The members of an epoch as of its snapshot block, which is final: no reorganisation changes them any more. Sorted by address. */
export function membersAt(
  log: MembershipLog,
  { block, epoch }: { block: bigint; epoch: bigint },
): Verdict<readonly Member[]> {
  const to = log.finalized.number
  if (block < log.foldedTo || block > to) {
    return ignore('directory.snapshot_unknown', { block, from: log.foldedTo, to })
  }
  const registrations = fold(log.registrations, upTo(log.settled, block))
  const members = [...registrations.values()]
    .filter((registration) => isMemberIn(registration, epoch))
    .map(({ member }) => member)
  return accept(members.sort((a, b) => (a.node < b.node ? -1 : 1)))
}

/** Folds final events up to a snapshot block that nobody will ask before any more, and forgets who is gone since `epoch`. */
export function compact(log: MembershipLog, { block, epoch }: { block: bigint; epoch: bigint }): MembershipLog {
  const foldedTo = block < log.finalized.number ? block : log.finalized.number
  if (foldedTo <= log.foldedTo) return log
  const folded = upTo(log.settled, foldedTo)
  const registrations = [...fold(log.registrations, folded)].filter(
    ([, { until }]) => until === undefined || until > epoch,
  )
  return { ...log, registrations: new Map(registrations), foldedTo, settled: log.settled.slice(folded.length) }
}

/** The rule that the registry applies on chain: registered before the epoch's registration closed, not gone, not jailed. */
export function isMemberIn({ since, until, jailed }: Registration, epoch: bigint): boolean {
  const isThere = since <= epoch && (until === undefined || epoch < until)
  return isThere && !(jailed && jailed.since <= epoch && epoch < jailed.until)
}

function fold(before: Registrations, events: readonly PlacedEvent[]): Registrations {
  if (events.length === 0) return before
  const registrations = new Map(before)
  for (const { event } of events) {
    if (event.kind === 'registered') registrations.set(event.member.node, fresh(event))
    else {
      const known = registrations.get(event.node)
      if (known) registrations.set(event.node, changed(known, event))
    }
  }
  return registrations
}

function fresh({ member, since }: RegistryEvent & { kind: 'registered' }): Registration {
  return { member, since, until: undefined, jailed: undefined }
}

function changed(known: Registration, event: Exclude<RegistryEvent, { kind: 'registered' }>): Registration {
  switch (event.kind) {
    case 'updated': {
      const { transportKey, overlay, api } = event
      return { ...known, member: { ...known.member, transportKey, overlay, api } }
    }
    case 'leaving':
      return { ...known, until: event.until }
    case 'jailed':
      return { ...known, jailed: { since: event.since, until: event.until } }
    case 'released':
      return known.jailed ? { ...known, jailed: { ...known.jailed, until: event.until } } : known
  }
}

function upTo(events: readonly PlacedEvent[], block: bigint): readonly PlacedEvent[] {
  const end = events.findIndex((event) => event.block > block)
  return end < 0 ? events : events.slice(0, end)
}

function isInOrder({ number, events }: LogBlock): boolean {
  return events.every(({ block, logIndex }, i) => block === number && (i === 0 || logIndex > events[i - 1]!.logIndex))
}
