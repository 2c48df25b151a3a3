/** Epochs of a simulated world: who is a member in each, when each begins, and which of them a node has seen. */
import {
  type Address,
  type Hasher,
  type Homes,
  homesOver,
  LOCAL_DIRECTORY,
  type Member,
  type Membership,
  toHex,
  ZERO_32,
} from '@smartlayer/protocol'
import type { Draws } from './random.ts'

/** Small numbers, so that each epoch moves many homes. */
const HOMES = { ...LOCAL_DIRECTORY, shardCount: 4, homeSize: 4, rotation: 2 }
const FIRST_CHANGE_MS = 5_000
/** No epoch begins when faults are over, so that what it broke has time to show. */
const LAST_CHANGE_MS = 14_000
/** Nodes read the chain at different times. */
const LATEST_VIEW_MS = 800

export type EpochPlan = {
  /** When each epoch but the first begins, in virtual ms. */
  readonly startsAt: readonly number[]
  /** The homes as a node sees them that knows all epochs up to this place. */
  readonly views: readonly Homes[]
}

/** One epoch, of four anchors, that does not end. */
export function oneEpoch(
  { anchors, services }: { anchors: readonly Address[]; services: readonly Address[] },
  draws: Draws,
  keccak: Hasher,
): EpochPlan {
  const members = { anchors: anchors.slice(0, HOMES.homeSize), services }
  return { startsAt: [], views: [homesOver([membershipOf(1n, members, draws, [])], keccak)] }
}

/** The first four anchors begin; later epochs each let one anchor join or leave, and draw half of the homes anew. */
export function planEpochs(
  { anchors, services }: { anchors: readonly Address[]; services: readonly Address[] },
  draws: Draws,
  keccak: Hasher,
): EpochPlan {
  const memberships: Membership[] = [
    membershipOf(1n, { anchors: anchors.slice(0, HOMES.homeSize), services }, draws, []),
  ]
  const startsAt: number[] = []
  for (let at = FIRST_CHANGE_MS; at < LAST_CHANGE_MS; at += draws.between(2_500, 6_000)) {
    startsAt.push(at)
    const before = memberships.at(-1)!
    const present = before.members.filter(({ role }) => role === 'anchor').map(({ node }) => node)
    const absent = anchors.filter((anchor) => !present.includes(anchor))
    const joins = absent.length > 0 && (present.length <= HOMES.homeSize || draws.chance(0.6))
    const gone = joins ? undefined : draws.pick(present)
    const next = joins ? [...present, draws.pick(absent)] : present.filter((anchor) => anchor !== gone)
    const earlier = [before.beacon, ...before.earlierBeacons].slice(0, HOMES.rotation)
    memberships.push(membershipOf(before.epoch + 1n, { anchors: next, services }, draws, earlier))
  }
  return { startsAt, views: memberships.map((_, i) => homesOver(memberships.slice(0, i + 1), keccak)) }
}

/** How long after the beginning of an epoch a node sees it. */
export function viewDelayMs(draws: Draws): number {
  return draws.next() * LATEST_VIEW_MS
}

function membershipOf(
  epoch: bigint,
  { anchors, services }: { anchors: readonly Address[]; services: readonly Address[] },
  draws: Draws,
  earlierBeacons: Membership['earlierBeacons'],
): Membership {
  const members = [
    ...anchors.map((node) => memberOf(node, 'anchor')),
    ...services.map((node) => memberOf(node, 'service')),
  ]
  members.sort((a, b) => (a.node < b.node ? -1 : 1))
  return { epoch, members, beacon: toHex(draws.bytes(32)), earlierBeacons, directory: HOMES }
}

function memberOf(node: Address, role: Member['role']): Member {
  const nothing = { transportKey: ZERO_32, overlay: '', api: '', operator: ZERO_32, platform: ZERO_32 }
  return { node, role, ...nothing, stake: 1n }
}
