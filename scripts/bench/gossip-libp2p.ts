/**
 * The peer of gossip: js-libp2p gossipsub over TCP, Noise and Yamux, tuned for speed on one graph of degree 6. Its own
 * signatures are off, so that each node checks each fact once, by our rules and with our cryptography, as our nodes do.
 */
import { hash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { gossipsub, StrictNoSign, TopicValidatorResult } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import type { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { decodeItem, encodeItem, openEntry, rootCache } from '@smartlayer/protocol'
import { createLibp2p } from 'libp2p'
import type { GossipHost, HostOptions, StartHost } from './gossip-host.ts'

const TOPIC = 'facts'
const ROOTS = 1_024
/** Neighbours of every node: three rings through all nodes, each with its own stride. */
const DEGREE = 6
const NEIGHBOURS_MS = 15_000
const SETTLE_MS = 2_000

type Security = ReturnType<typeof noise> | ReturnType<typeof tls>
type Libp2pNode = Awaited<ReturnType<typeof startNode>>

export const startHost: StartHost = (options) => startLibp2p(options, noise())

/** The same over another way of securing connections. */
export async function startLibp2p(options: HostOptions, security: Security): Promise<GossipHost> {
  const { mine } = options
  const nodes = new Map<number, Libp2pNode>()
  for (const number of mine) nodes.set(number, await startNode(number, options, security))
  return {
    addresses: mine.map((number) => String(nodes.get(number)!.libp2p.getMultiaddrs()[0])),
    async join(addresses) {
      for (const [number, { libp2p }] of nodes) {
        for (const other of dialledBy(number, addresses.length)) await libp2p.dial(multiaddr(addresses[other]!))
      }
      for (const [number, node] of nodes) await hearNeighbours(node, number)
      await setTimeout(SETTLE_MS)
    },
    async publish(number, items) {
      const { libp2p, check } = nodes.get(number)!
      for (const bytes of items.map(encodeItem)) {
        if (!check(bytes)) throw new Error('the publishing node refuses the fact')
        await libp2p.services.pubsub.publish(TOPIC, bytes)
      }
    },
    lose(share) {
      for (const node of nodes.values()) node.loss.share = share
    },
    async stop() {
      await Promise.all([...nodes.values()].map(({ libp2p }) => libp2p.stop()))
    },
  }
}

async function startNode(number: number, { context, delivered }: HostOptions, security: Security) {
  const roots = rootCache(ROOTS)
  const loss = { share: 0 }
  const check = (bytes: Uint8Array): boolean => {
    const nowS = BigInt(Math.floor(Date.now() / 1000))
    const opened = openEntry(decodeItem(bytes), { ...context, nowS, roots })
    if (opened.verdict !== 'accept') return false
    delivered(number, Number(opened.value.data.sequence))
    return true
  }
  const libp2p = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [security],
    streamMuxers: [yamux()],
    // its default admits five connections a second from one address: here all nodes share one
    connectionManager: { inboundConnectionThreshold: Number.POSITIVE_INFINITY },
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      pubsub: gossipsub({
        globalSignaturePolicy: StrictNoSign,
        D: DEGREE,
        floodPublish: false,
        batchPublish: true,
        fallbackToFloodsub: false,
        // on by default; at this size it saves less than it costs
        idontwantMinDataSize: Number.POSITIVE_INFINITY,
        msgIdFn: ({ data }) => hash('sha256', data, 'buffer'),
        // off by default: every duplicate would be checked again
        fastMsgIdFn: ({ data }) => hash('sha256', data ?? '', 'binary'),
        // on by default: with more than ten peers at one address messages are lost silently
        scoreParams: { IPColocationFactorWeight: 0 },
      }),
    },
  })
  const { pubsub } = libp2p.services
  loseAtArrival(pubsub, loss)
  pubsub.topicValidators.set(TOPIC, (_, { data }) =>
    check(data) ? TopicValidatorResult.Accept : TopicValidatorResult.Reject,
  )
  pubsub.subscribe(TOPIC)
  return { libp2p, check, loss }
}

/** Whole messages vanish, control messages too, as they do between our nodes. The method is public, its type is not. */
function loseAtArrival(pubsub: unknown, loss: { readonly share: number }): void {
  const router = pubsub as { handleReceivedRpc(from: unknown, rpc: unknown): Promise<void> }
  const receive = router.handleReceivedRpc.bind(router)
  router.handleReceivedRpc = async (from, rpc) => {
    if (Math.random() >= loss.share) await receive(from, rpc)
  }
}

/** For 16 and for 50 nodes no three strides reach everybody in fewer hops: 1.5 and 2.3 on average. */
function dialledBy(number: number, nodes: number): readonly number[] {
  const root = Math.sqrt(nodes)
  return [1, Math.round(1.1 * root), Math.round(1.7 * root)].map((stride) => (number + stride) % nodes)
}

/** Every neighbour is known to want the topic; the mesh among them follows within a heartbeat or two. */
async function hearNeighbours({ libp2p }: Libp2pNode, number: number): Promise<void> {
  const { pubsub } = libp2p.services
  for (const started = performance.now(); pubsub.getSubscribers(TOPIC).length < DEGREE; await setTimeout(50)) {
    if (performance.now() - started > NEIGHBOURS_MS)
      throw new Error(`libp2p node ${number} did not find its neighbours`)
  }
}
