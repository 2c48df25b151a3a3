/** Who is a member: final events of the registry, folded into the members of an epoch. */
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import type { Member } from './membership.ts'

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

/** A registered node and the epochs in which it takes part. */
type Registration = {
  readonly member: Member
  readonly since: bigint
  readonly until: bigint | undefined
  readonly jailed: { readonly since: bigint; readonly until: bigint } | undefined
}

/**
 * The members of an epoch as of its snapshot block, sorted by address. `events` are final, in the order of block and log index: what
 * is final is not reorganised, so a membership never changes any more.
 */
export function membersAt(
  events: readonly PlacedEvent[],
  { block, epoch }: { block: bigint; epoch: bigint },
): readonly Member[] {
  const registrations = fold(events.filter((event) => event.block <= block))
  const members = [...registrations.values()]
    .filter((registration) => isMemberIn(registration, epoch))
    .map(({ member }) => member)
  return members.sort((a, b) => (a.node < b.node ? -1 : 1))
}

/** The rule that the registry applies on chain: registered before the epoch's registration closed, not gone, not jailed. */
function isMemberIn({ since, until, jailed }: Registration, epoch: bigint): boolean {
  const isThere = since <= epoch && (until === undefined || epoch < until)
  return isThere && !(jailed && jailed.since <= epoch && epoch < jailed.until)
}

function fold(events: readonly PlacedEvent[]): ReadonlyMap<Address, Registration> {
  const registrations = new Map<Address, Registration>()
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
