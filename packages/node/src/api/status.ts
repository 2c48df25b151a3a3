/** What a node says of itself, from the records it really holds. */
import { formatTokenRef, type InstanceStatus, NO_EVIDENCE, type NodeStatus, ZERO_32 } from '@smartlayer/protocol'
import type { AnchoringNode } from '../anchoring-node.ts'
import type { ServiceNode } from '../service-node.ts'

export const VERSION = '0.1.0'
/** Streams or subsets that one status names, those that moved last first. */
const STREAMS_SHOWN = 256

/** What status pages need beside the node's own services. */
export type StatusBase = Pick<NodeStatus, 'node' | 'role' | 'startedAt' | 'now' | 'epoch' | 'block' | 'peers'>

/** An anchor that registered lately takes part from the next epoch on, and is ready for it. */
export function anchorStatus(
  base: StatusBase,
  node: AnchoringNode,
  { quorum, isMember }: { readonly quorum: number; readonly isMember: boolean },
): NodeStatus {
  const anchors = base.peers.filter((peer) => peer.connected).length + 1
  const ready = anchors >= quorum || !isMember
  const instances = node.active.map((token): InstanceStatus => {
    const { instance, ref } = token
    const placed = node.journals.placement(instance)
    const record = node.book.get(instance)
    const placement = placed?.certified.placement
    return {
      instance,
      token: formatTokenRef(ref),
      term: placement?.term ?? 0n,
      executor: placement?.executor,
      replicas: placement?.replicas ?? [],
      proposer: placement?.proposer,
      expires: placed?.lease?.renew.expires ?? placement?.expires ?? 0n,
      committed: record.committed.n,
      executed: undefined,
      confirmed: undefined,
      stateRoot: undefined,
      roots: node.roots.of(instance),
      disputed: undefined,
      effects: [],
    }
  })
  const reason = isMember ? waiting(anchors, quorum) : 'registered; it takes part from the next epoch on'
  const streams = node.streams.status(STREAMS_SHOWN)
  return { ...base, version: VERSION, evidence: NO_EVIDENCE, ready, reason, instances, streams, followed: [] }
}

function waiting(anchors: number, quorum: number): string {
  return anchors >= quorum ? '' : `${anchors} anchors connected, ${quorum} needed`
}

export function serviceStatus(base: StatusBase, node: ServiceNode): NodeStatus {
  const connected = base.peers.filter((peer) => peer.connected).length
  const instances = node.instances.map((hosted): InstanceStatus => {
    const { replica, placement, token } = hosted
    const body = placement?.placement
    return {
      instance: token.instance,
      token: formatTokenRef(token.ref),
      term: body?.term ?? 0n,
      executor: body?.executor,
      replicas: body?.replicas ?? [],
      proposer: body?.proposer,
      expires: hosted.expires,
      committed: replica.head.n,
      executed: replica.head.n,
      confirmed: replica.confirmed ? BigInt(replica.confirmed.state.n) : undefined,
      stateRoot: replica.confirmed?.root ?? ZERO_32,
      roots:
        replica.confirmed?.roots.map(({ executed }) => ({ node: base.node, n: executed.n, root: executed.root })) ?? [],
      disputed: replica.disputed || undefined,
      effects: (replica.state?.effects ?? []).map(({ id, name, status, attempts, failures }) => ({
        id,
        name,
        status,
        attempts,
        failures,
      })),
    }
  })
  const ready = connected > 0
  const reason = ready ? '' : 'no anchor connected'
  return {
    ...base,
    version: VERSION,
    evidence: NO_EVIDENCE,
    ready,
    reason,
    instances,
    streams: [],
    followed: node.followed(STREAMS_SHOWN),
  }
}
