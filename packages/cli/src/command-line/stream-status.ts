/** What all nodes together say of the streams of a network: where each stands, who lags, who follows. */
import {
  type Address,
  type Bytes32,
  type FollowedStatus,
  faultsTolerated,
  type NodeStatus,
  type StreamStatus,
  statusShape,
} from '@smartlayer/protocol'
import { type NodePlace, readNode } from './connection.ts'

export type SeenNode = NodePlace & { readonly status: NodeStatus | undefined }

/** A stream at one anchor; `behind` counts receipted entries that it lacks. */
export type AnchorView = { readonly node: string; readonly status: StreamStatus | undefined; readonly behind: bigint }
/** A subset at one service node; `behind` counts entries that it knows of and has not applied. */
export type FollowerView = { readonly node: string; readonly behind: bigint } & FollowedStatus

export type StreamView = {
  readonly stream: Bytes32
  readonly issuer: Address | undefined
  readonly epoch: bigint
  /** The furthest places that f + 1 anchors name, so that none can claim one alone. */
  readonly sequence: bigint
  readonly certified: bigint
  readonly checkpoint: bigint
  readonly floor: bigint
  /** Followers at the anchor that has most of them. */
  readonly followers: number
  readonly state: string
  readonly reason: string
  readonly anchors: readonly AnchorView[]
  readonly followed: readonly FollowerView[]
}

/** The state that says most, when anchors differ. */
const STATES = ['frozen', 'behind', 'certifying', 'live']

export async function lookAt(place: NodePlace): Promise<SeenNode> {
  try {
    return { ...place, status: statusShape.parse(await readNode(`${place.api}/v1/status`), 'status') }
  } catch {
    return { ...place, status: undefined } // shown as down
  }
}

/** One view per stream, by id. Anchors that are down are left out of every count but named as such. */
export function viewsOf(nodes: readonly SeenNode[]): readonly StreamView[] {
  const ids = new Set(nodes.flatMap(({ status }) => (status?.streams ?? []).map(({ stream }) => stream)))
  return [...ids].sort().map((stream) => viewOf(stream, nodes))
}

function viewOf(stream: Bytes32, nodes: readonly SeenNode[]): StreamView {
  const anchors = nodes.filter((node) => node.status === undefined || node.status.role === 'anchor')
  const at = anchors.map(({ name, status }) => ({
    node: name,
    status: status?.streams.find((each) => each.stream === stream),
  }))
  const said = at.flatMap(({ status }) => (status ? [status] : []))
  const agreed = (of: (status: StreamStatus) => bigint) => furthest(said.map(of))
  const certified = agreed((status) => status.certified)
  const frozen = said.filter(({ state }) => state === 'frozen')
  const isFrozen = frozen.length > faultsTolerated(said.length)
  const candidates = said.filter(({ state }) => isFrozen || state !== 'frozen')
  const telling = candidates.toSorted((a, b) => rank(a.state) - rank(b.state))[0] ?? said[0]
  return {
    stream,
    issuer: mostSaid(said.map(({ issuer }) => issuer)),
    epoch: agreed((status) => status.epoch),
    sequence: agreed((status) => status.sequence),
    certified,
    checkpoint: agreed((status) => status.checkpoint),
    floor: agreed((status) => status.floor),
    followers: Math.max(0, ...said.map(({ followers }) => followers)),
    state: telling?.state ?? 'unknown',
    reason: telling?.reason ?? '',
    anchors: at.map(({ node, status }) => ({ node, status, behind: positive(certified - (status?.certified ?? 0n)) })),
    followed: nodes.flatMap(({ name, status }) =>
      (status?.followed ?? [])
        .filter((each) => each.stream === stream)
        .map((each) => ({ node: name, behind: positive(each.known - each.after), ...each })),
    ),
  }
}

/** The place that f + 1 of those who speak have reached. */
function furthest(places: readonly bigint[]): bigint {
  return places.toSorted((a, b) => (a > b ? -1 : a < b ? 1 : 0))[faultsTolerated(places.length)] ?? 0n
}

function mostSaid(issuers: readonly (Address | undefined)[]): Address | undefined {
  const said = issuers.filter((issuer) => issuer !== undefined)
  const count = (issuer: Address) => said.filter((other) => other === issuer).length
  return said.toSorted((a, b) => count(b) - count(a))[0]
}

function rank(state: string): number {
  const at = STATES.indexOf(state)
  return at < 0 ? STATES.length : at
}

function positive(value: bigint): bigint {
  return value > 0n ? value : 0n
}
