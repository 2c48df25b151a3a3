/** The contract of the Network port over real TLS, plain and behind the network that injects faults, here none. */
import type { Address } from '@smartlayer/protocol'
import { type NetworkWorld, networkContract } from '../ports/network.contract.ts'
import type { Network } from '../ports/network.ts'
import { FaultyNetwork } from './faulty-network.ts'
import { TlsWorld, until } from './testing/tls-world.ts'
import { WilfulPeer } from './testing/wilful-peer.ts'
import { CLASS_LIMITS } from './tls-limits.ts'
import type { TlsNetwork } from './tls-network.ts'

const UNKNOWN: Address = `0x${'ff'.repeat(20)}`
const HELD_LIMIT = Object.values(CLASS_LIMITS).reduce((sum, { queuedBytes }) => sum + queuedBytes, 0)
const silent = { log: () => {}, count: () => {} }

networkContract('TlsNetwork', () => start((network) => network))
networkContract('FaultyNetwork without faults', () =>
  start((network) => new FaultyNetwork(network, { loss: 0, duplicate: 0, jitterMs: 0 }, silent)),
)
networkContract('FaultyNetwork with jitter', () =>
  start((network) => new FaultyNetwork(network, { jitterMs: 20 }, silent)),
)

async function start(wrap: (network: TlsNetwork) => Network): Promise<NetworkWorld> {
  const world = await TlsWorld.of(5)
  const [a, b, c, away, silentPeer] = world.nodes
  const deaf = new WilfulPeer(silentPeer!)
  const running = [await world.start(a!), await world.start(b!), await world.start(c!)] as const
  running[0].send(silentPeer!.node, { n: 0 }, 'control')
  await until(() => deaf.received.length > 0)
  deaf.stopReading()
  return {
    networks: [wrap(running[0]), wrap(running[1]), wrap(running[2])],
    away: away!.node,
    deaf: silentPeer!.node,
    unknown: UNKNOWN,
    held: () => running[0].peers().reduce((sum, { queuedBytes }) => sum + queuedBytes, 0),
    heldLimit: HELD_LIMIT,
    stop: async () => {
      await deaf.close()
      await world[Symbol.asyncDispose]()
    },
  }
}
