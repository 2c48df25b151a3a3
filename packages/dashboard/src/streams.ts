/** Streams as the Control Room shows them: what anchors and followers say of one stream, side by side, and where they differ. */
import type { FollowedView, SnapshotView, StreamView } from './model.ts'

/** Streams shown, those that moved last first. */
const SHOWN = 12
/** Followers shown of one stream, those that are furthest behind first. */
const FOLLOWERS_SHOWN = 12
const NO_ANSWER = { state: 'unknown', reason: 'the anchor does not answer' }
const NOT_NAMED = { state: 'unknown', reason: 'the anchor does not name it among the streams that moved last' }
/** States from the best to the worst: the worst that anybody reports is the stream's. */
const STATES = ['live', 'certifying', 'behind', 'differs', 'frozen']

/** `behind`: entries that another anchor holds and this one does not. `state` and `reason` are its own words, or why there are none. */
export type AnchorPlace = {
  readonly name: string
  readonly at: StreamView | undefined
  readonly behind: number
  readonly state: string
  readonly reason: string
}
export type FollowerPlace = FollowedView & { readonly name: string; readonly behind: number }

export type StreamSummary = {
  readonly stream: string
  readonly issuer: string | undefined
  readonly epoch: string
  /** The furthest place that any anchor holds. */
  readonly sequence: number
  readonly certified: number
  readonly checkpoint: number
  readonly floor: number
  readonly state: string
  readonly reason: string
  readonly subscribers: number
  readonly anchors: readonly AnchorPlace[]
  readonly followers: readonly FollowerPlace[]
  readonly moreFollowers: number
}

export type StreamsView = {
  readonly shown: readonly StreamSummary[]
  /** How many are not shown, and how many of these in each state, worst first. */
  readonly rest: {
    readonly count: number
    readonly states: readonly { readonly state: string; readonly count: number }[]
  }
}

export function streamsOf(view: SnapshotView): StreamsView {
  const all = byActivity(view).map((stream) => summaryOf(view, stream))
  const hidden = all.slice(SHOWN)
  const states = [...STATES.toReversed(), 'unknown']
    .map((state) => ({ state, count: hidden.filter((each) => each.state === state).length }))
    .filter(({ count }) => count > 0)
  const leftOut = Math.max(0, ...view.nodes.map(({ status }) => status?.leftOut?.streams ?? 0))
  return { shown: all.slice(0, SHOWN), rest: { count: hidden.length + leftOut, states } }
}

/** Anchors name first what moved last: a stream's rank is the best that any of them gives it. */
function byActivity({ nodes }: SnapshotView): readonly string[] {
  const ranks = new Map<string, number>()
  for (const { status } of nodes) {
    status?.streams.forEach(({ stream }, rank) => {
      ranks.set(stream, Math.min(rank, ranks.get(stream) ?? rank))
    })
  }
  for (const { status } of nodes) {
    for (const { stream } of status?.followed ?? []) if (!ranks.has(stream)) ranks.set(stream, Number.MAX_SAFE_INTEGER)
  }
  return [...ranks].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1)).map(([stream]) => stream)
}

function summaryOf({ nodes }: SnapshotView, stream: string): StreamSummary {
  const held = nodes
    .filter(({ name, status }) => (status ? status.role === 'anchor' : name.startsWith('anchor')))
    .map(({ name, status }) => ({
      name,
      answers: status !== null,
      at: status?.streams.find((each) => each.stream === stream),
    }))
  const places = held.flatMap(({ at }) => at ?? [])
  const most = (of: (place: StreamView) => string) => Math.max(0, ...places.map((place) => Number(of(place))))
  const sequence = most((place) => place.sequence)
  const anchors = held.map(({ name, at, answers }) => {
    const { state, reason } = at ?? (answers ? NOT_NAMED : NO_ANSWER)
    return { name, at, behind: at ? sequence - Number(at.sequence) : 0, state, reason }
  })
  const followers = nodes
    .flatMap(({ name, status }) =>
      (status?.followed ?? []).filter((each) => each.stream === stream).map((each) => ({ ...each, name })),
    )
    .map((each) => ({ ...each, behind: Math.max(0, Number(each.known) - Number(each.after)) }))
    .sort((a, b) => b.behind - a.behind || (a.name < b.name ? -1 : 1))
  return {
    stream,
    issuer: places.find(({ issuer }) => issuer)?.issuer,
    epoch: String(most((place) => place.epoch)),
    sequence,
    certified: most((place) => place.certified),
    checkpoint: most((place) => place.checkpoint),
    floor: most((place) => place.floor),
    ...stateOf(anchors),
    subscribers: most((place) => String(place.followers)),
    anchors,
    followers: followers.slice(0, FOLLOWERS_SHOWN),
    moreFollowers: Math.max(0, followers.length - FOLLOWERS_SHOWN),
  }
}

/** The worst state that an anchor reports, with its reason, and who says so when not all do. */
function stateOf(anchors: readonly AnchorPlace[]): { readonly state: string; readonly reason: string } {
  const told = anchors.filter(({ at }) => at !== undefined)
  const rank = ({ state }: AnchorPlace) => STATES.indexOf(state)
  const worst = told.reduce<AnchorPlace | undefined>(
    (worse, each) => (worse && rank(worse) >= rank(each) ? worse : each),
    undefined,
  )
  if (!worst) return { state: 'unknown', reason: 'no anchor that answers names it among the streams that moved last' }
  const rival = worst.state === 'frozen' ? undefined : rivalsOf(told)
  if (rival) return { state: 'differs', reason: rival }
  const isShared = told.every(({ state, reason }) => state === worst.state && reason === worst.reason)
  return { state: worst.state, reason: isShared ? worst.reason : `${worst.name}: ${worst.reason}` }
}

/** Two anchors that stand at one place with two heads: one of them holds what the others never certified. */
function rivalsOf(told: readonly AnchorPlace[]): string | undefined {
  for (const { name, at } of told) {
    const other = told.find((each) => each.at?.sequence === at?.sequence && each.at?.head !== at?.head)
    if (other) return `${name} and ${other.name} name different entries at ${at?.sequence}`
  }
  return undefined
}
