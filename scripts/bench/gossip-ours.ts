/** Our side of the gossip benchmark: home anchors that store, certify and spread, and nodes that follow the whole lane. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import {
  type Address,
  type Bytes32,
  domainOf,
  type Hex,
  homesOver,
  isSmartLayerError,
  KEEP_ALL,
  LOCAL_DIRECTORY,
  type Member,
  type Membership,
  toHex,
  ZERO_32,
} from '@smartlayer/protocol'
import { SegmentLog } from '../../packages/node/src/adapters/segment-log.ts'
import { SqliteStore } from '../../packages/node/src/adapters/sqlite-store.ts'
import { systemClock, systemRandom } from '../../packages/node/src/adapters/system-clock.ts'
import { TlsNetwork } from '../../packages/node/src/adapters/tls-network.ts'
import { type TransportIdentity, transportIdentity } from '../../packages/node/src/adapters/transport-identity.ts'
import { LOCAL_PARAMETERS, type NodeContext } from '../../packages/node/src/context.ts'
import { Standings } from '../../packages/node/src/directory/standings.ts'
import { InputBuffer } from '../../packages/node/src/execution/input-buffer.ts'
import type { Network } from '../../packages/node/src/ports/network.ts'
import type { Ports } from '../../packages/node/src/ports/ports.ts'
import { EntryDoor } from '../../packages/node/src/stream/entry-door.ts'
import { RevocationBook } from '../../packages/node/src/stream/revocation-book.ts'
import { StreamService } from '../../packages/node/src/stream/stream-service.ts'
import { PostOffice } from '../../packages/node/src/wire/post-office.ts'
import { factsPlace } from './gossip-facts.ts'
import type { GossipHost, HostOptions, StartHost } from './gossip-host.ts'

/** Below the ports that Linux gives to outgoing connections. */
const PORT_BASE = 29_300
const SETTLE_MS = 3_000
const ATTEMPTS = 4
const SILENT = { log: () => {}, count: () => {} }

type Place = { readonly node: Address; readonly transportKey: Bytes32; readonly overlay: string }
type Running = {
  readonly publish: StreamService['publish'] | undefined
  readonly stop: () => Promise<void>
}

export const startHost: StartHost = async (options) => {
  const { mine, crypto, folder } = options
  const loss = { share: 0 }
  const keys = new Map(mine.map((number) => [number, keyOf(number)]))
  const transports = new Map<number, TransportIdentity>()
  for (const number of mine) transports.set(number, await transportIdentity(join(folder, String(number))))
  const running = new Map<number, Running>()
  return {
    addresses: mine.map((number) => {
      const node = crypto.signer(keys.get(number)!).address
      const { transportKey } = transports.get(number)!
      return JSON.stringify({ node, transportKey, overlay: `127.0.0.1:${PORT_BASE + number}` } satisfies Place)
    }),
    async join(addresses) {
      const membership = membershipOf(
        addresses.map((text) => JSON.parse(text) as Place),
        options,
      )
      for (const number of mine) {
        const identity = { key: keys.get(number)!, transport: transports.get(number)! }
        running.set(number, await startNode(number, identity, { options, membership, loss }))
      }
      await setTimeout(SETTLE_MS)
    },
    async publish(number, items) {
      await untilReceipted(() => running.get(number)!.publish!(items))
    },
    lose(share) {
      loss.share = share
    },
    async stop() {
      await Promise.all([...running.values()].map(({ stop }) => stop()))
    },
  } satisfies GossipHost
}

type World = {
  readonly options: HostOptions
  readonly membership: Membership
  readonly loss: { readonly share: number }
}

async function startNode(
  number: number,
  { key, transport }: { key: Hex; transport: TransportIdentity },
  { options, membership, loss }: World,
): Promise<Running> {
  const { crypto, folder, layout } = options
  const signer = crypto.signer(key)
  const own = join(folder, String(number))
  const network = await TlsNetwork.start({
    self: signer.address,
    listen: `127.0.0.1:${PORT_BASE + number}`,
    transports: () => [transport],
    members: () => membership.members,
    telemetry: SILENT,
  })
  const store = new SqliteStore(join(own, 'store.db'))
  const log = await SegmentLog.open(join(own, 'streams'))
  const ports = {
    clock: systemClock,
    random: systemRandom,
    store,
    log,
    network: lossy(network, loss),
    identity: { signer, crypto: crypto.crypto },
    telemetry: SILENT,
  } as unknown as Ports
  const context = contextOf(options, membership)
  const end = async () => {
    await network.close()
    await log.close()
    store.close()
  }
  return number < layout.anchors
    ? anchor(number, { ports, context, options, end })
    : follower(number, { ports, context, options, end })
}

type Parts = {
  readonly ports: Ports
  readonly context: NodeContext
  readonly options: HostOptions
  readonly end: () => Promise<void>
}

/** An anchor would act on an entry once it is certified. */
function anchor(number: number, { ports, context, options, end }: Parts): Running {
  const service = new StreamService(ports, context, {
    post: new PostOffice(ports),
    standings: new Standings(ports, context),
  })
  const { stream } = factsPlace(options.context)
  let told = 0n
  service.watch(stream, () => {
    for (const { certified } = service.state(stream); told < certified; ) options.delivered(number, Number(++told))
  })
  service.start()
  const stop = async () => {
    service.stop()
    await end()
  }
  return { publish: (items) => service.publish(items), stop }
}

/** A follower acts on entries in order. */
function follower(number: number, { ports, context, options, end }: Parts): Running {
  const revocations = new RevocationBook(ports.store, ports.identity.crypto.keccak)
  const door = new EntryDoor(ports, context, revocations)
  const { stream } = factsPlace(options.context)
  let at = 0n
  const inputs: InputBuffer = new InputBuffer(
    ports,
    context,
    { post: new PostOffice(ports), door, revocations },
    () => {
      while (inputs.next(stream, stream, at)) {
        options.delivered(number, Number(++at))
        inputs.follow(stream, stream, at)
      }
    },
  )
  inputs.follow(stream, stream, at)
  const stop = async () => {
    inputs.stop()
    await end()
  }
  return { publish: undefined, stop }
}

function lossy(network: Network, loss: { readonly share: number }): Network {
  return {
    self: network.self,
    send: (to, message, trafficClass) => network.send(to, message, trafficClass),
    receive: (handle) =>
      network.receive((from, message) => {
        if (from === network.self || Math.random() >= loss.share) handle(from, message)
      }),
  }
}

function membershipOf(places: readonly Place[], { layout }: HostOptions): Membership {
  const members = places.map(({ node, transportKey, overlay }, number): Member => {
    const role = number < layout.anchors ? 'anchor' : 'service'
    return { node, role, transportKey, overlay, api: '', operator: ZERO_32, platform: ZERO_32, stake: 1n }
  })
  const directory = { ...LOCAL_DIRECTORY, homeSize: 31 }
  return { epoch: 1n, beacon: `0x${'be'.repeat(32)}`, earlierBeacons: [], directory, members }
}

function contextOf({ context, crypto }: HostOptions, membership: Membership): NodeContext {
  const { networkId, easDomain, tokenType, rules } = context
  const contract = `0x${'c0'.repeat(20)}` as const
  const inputs = { fact: { ...rules[0]!, retention: KEEP_ALL } }
  const type = {
    contract,
    rules: { tokenType, scriptHash: ZERO_32, inputs, actions: {}, effects: {} },
    checkFact: () => undefined,
  }
  const homes = homesOver([membership], crypto.crypto.keccak)
  return {
    networkId,
    domain: domainOf(
      { name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: contract },
      crypto.crypto.keccak,
    ),
    easDomain,
    parameters: LOCAL_PARAMETERS,
    membership: () => membership,
    homes: () => homes,
    tokens: {
      byInstance: () => undefined,
      byContract: () => type,
      load: () => Promise.reject(new Error('no tokens here')),
      loadType: async () => type,
    },
  }
}

function keyOf(number: number): Hex {
  return toHex(Uint8Array.from({ length: 32 }, (_, i) => (i === 31 ? number + 1 : 0x31)))
}

/** What an issuer does: an entry without a receipt in time is sent again. */
async function untilReceipted(publish: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await publish()
      return
    } catch (error) {
      if (!isSmartLayerError(error) || error.code !== 'stream.no_quorum' || attempt === ATTEMPTS) throw error
    }
  }
}
