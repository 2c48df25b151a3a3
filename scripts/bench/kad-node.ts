/** One node of the peer of `resolve`: js-libp2p kad-dht over TCP, Noise and Yamux, on one machine. */
import { setTimeout } from 'node:timers/promises'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

export const KAD_KEY = new TextEncoder().encode('/placement/flight')
const TABLE_MS = 15_000

/** A client asks and holds nothing; the others are servers. */
export async function kadNode({ clientMode }: { clientMode: boolean }) {
  const libp2p = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // its default admits five connections a second from one address: here all nodes share one
    connectionManager: { inboundConnectionThreshold: Number.POSITIVE_INFINITY },
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        clientMode,
        // by default private addresses, which these are, are left out
        peerInfoMapper: passthroughMapper,
        validators: { placement: async () => {} },
        selectors: { placement: () => 0 },
      }),
    },
  })
  return {
    libp2p,
    /** Knows all of them, as after its bootstrap. */
    async join(addresses: readonly string[]) {
      const others = addresses.filter((address) => !address.endsWith(libp2p.peerId.toString()))
      for (const address of others) await libp2p.dial(multiaddr(address))
      const started = performance.now()
      while ((await tableSize(libp2p)) < others.length) {
        if (performance.now() - started > TABLE_MS) throw new Error('a node of kad-dht does not know the others')
        await setTimeout(50)
      }
    },
  }
}

export type KadNode = Awaited<ReturnType<typeof kadNode>>['libp2p']

/** What `get` gives: the best of what all nodes on its way answered. Throws when there is none. */
export async function getRecord({ services }: KadNode, key: Uint8Array): Promise<Uint8Array> {
  for await (const event of services.dht.get(key)) if (event.name === 'VALUE') return event.value
  throw new Error('kad-dht found nothing')
}

/** The first record that any node answered with, though `get` itself would wait for the others. */
export async function firstRecord({ services }: KadNode, key: Uint8Array): Promise<Uint8Array> {
  for await (const event of services.dht.get(key))
    if (event.name === 'PEER_RESPONSE' && event.record) return event.record.value
  throw new Error('kad-dht found nothing')
}

async function tableSize({ services }: KadNode): Promise<number> {
  const { routingTable } = services.dht as unknown as { readonly routingTable: { readonly size: number } }
  return routingTable.size
}
