/** Starts one node from its configuration: the only file that knows adapters. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ENGINE_ID, ExecutorPool, sealingOpener } from '@smartlayer/enclave'
import {
  anchorsOf,
  domainOf,
  EAS_VERSION,
  easDomain,
  LOCAL_DIRECTORY,
  type Membership,
  memberOf,
  networkIdOf,
  quorumOf,
} from '@smartlayer/protocol'
import { SecretService } from './access/secret-service.ts'
import { EthereumChain } from './adapters/ethereum-chain.ts'
import { fastCrypto } from './adapters/fast-crypto.ts'
import { FaultyNetwork } from './adapters/faulty-network.ts'
import { httpClient } from './adapters/http-client.ts'
import { httpContent } from './adapters/http-content.ts'
import { httpEgress } from './adapters/http-egress.ts'
import { PinoTelemetry } from './adapters/pino-telemetry.ts'
import { SegmentLog } from './adapters/segment-log.ts'
import { SqliteStore } from './adapters/sqlite-store.ts'
import { systemClock, systemRandom } from './adapters/system-clock.ts'
import { TlsNetwork } from './adapters/tls-network.ts'
import { identityKey, promoteTransport, transportKeys } from './adapters/transport-identity.ts'
import { AnchoringNode } from './anchoring-node.ts'
import { anchorRoutes } from './api/anchor-routes.ts'
import { commonRoutes } from './api/common-routes.ts'
import { healthRoutes, maintenanceRoutes } from './api/health-routes.ts'
import { archiveRoutes, retireRoute } from './api/lifecycle-routes.ts'
import { createApi } from './api/server.ts'
import { serviceRoutes } from './api/service-routes.ts'
import { anchorStatus, type StatusBase, serviceStatus } from './api/status.ts'
import { streamRoutes } from './api/stream-routes.ts'
import { loadConfig, type NodeConfig, parseFaults } from './config/schema.ts'
import type { NodeContext } from './context.ts'
import { EpochView } from './directory/epoch-view.ts'
import { HealthView } from './health/health-view.ts'
import type { Egress } from './ports/egress.ts'
import type { Ports } from './ports/ports.ts'
import type { Sandbox } from './ports/sandbox.ts'
import { ScriptBook } from './script/script-book.ts'
import { keptContent, ScriptStore } from './script/script-store.ts'
import { ServiceNode } from './service-node.ts'

const PARENT_CHECK_MS = 1_000
/** An orphan that has not ended in order by then, perhaps because it never finished its start, just ends. */
const ORPHAN_LIMIT_MS = 5_000
const BYTES_PER_MIB = 1_048_576

/** Anchors order what scripts do and never run one. */
const NO_SANDBOX: Sandbox = {
  load: async () => {},
  call: async () => {
    throw new Error('an anchoring node runs no scripts')
  },
}

async function start(config: NodeConfig): Promise<() => Promise<void>> {
  mkdirSync(config.folder, { recursive: true, mode: 0o700 })
  const telemetry = new PinoTelemetry({ level: config.logLevel, destination: undefined, name: config.name })
  const fast = await fastCrypto()
  const identity = { signer: fast.signer(identityKey(config.folder)), crypto: fast.crypto }
  const { keccak } = fast.crypto
  const store = new SqliteStore(join(config.folder, 'store.db'))
  const chain = new EthereumChain({ url: config.chain.url, ...config.contracts })
  const chainId = BigInt(config.chain.id)
  const registry = config.contracts.nodeRegistry
  const networkId = networkIdOf(chainId, registry, keccak)
  const clock = systemClock
  const members = await EpochView.open(
    { chain, registry: chain, clock, telemetry },
    { directory: { ...LOCAL_DIRECTORY, ...config.directory }, keccak },
  )
  const { address } = identity.signer
  promoteTransport(config.folder, members.members.find(({ node }) => node === address)?.transportKey)
  const overlay = await TlsNetwork.start({
    self: address,
    listen: config.overlay,
    transports: await transportKeys(config.folder),
    members: () => members.members,
    telemetry,
  })
  const faulty = config.development ? new FaultyNetwork(overlay, config.faults ?? {}, telemetry) : undefined
  const network = faulty ?? overlay
  const isAnchor = config.role === 'anchor'
  const sandbox = isAnchor
    ? undefined
    : await ExecutorPool.start({ childEntry: config.executor, wasmPath: config.engine })
  // Outside systems look our key up in the registry: each call is signed with the one that is registered by then.
  const egress: Egress = {
    request: (outbound) =>
      httpEgress({ transport: overlay.identity, allowPrivate: config.development }).request(outbound),
  }
  const log = await SegmentLog.open(join(config.folder, 'streams'))
  const ports: Ports = {
    clock,
    random: systemRandom,
    store,
    log,
    network,
    chain,
    sandbox: sandbox ?? NO_SANDBOX,
    egress,
    identity,
    telemetry,
  }
  const scripts = new ScriptStore(store)
  const others = httpContent(() => anchorsOf(members.membership).filter((anchor) => anchor.node !== address))
  const content = keptContent(scripts, others)
  const context: NodeContext = {
    networkId,
    domain: domainOf({ name: 'SmartLayer', version: '1', chainId, verifyingContract: registry }, keccak),
    easDomain: easDomain({ chainId, eas: config.contracts.eas }, keccak),
    parameters: config.parameters,
    membership: () => members.membership,
    homes: () => members.homes,
    tokens: new ScriptBook(ports, content, { chainId, engineId: ENGINE_ID }),
  }
  const startedAt = clock.now()
  const base = (): StatusBase => ({
    node: address,
    role: config.role,
    startedAt,
    now: clock.now(),
    epoch: members.membership.epoch,
    block: members.block,
    peers: overlay
      .peers()
      .map(({ node, connected, lastSeen }) => ({ node, connected, lastSeen: BigInt(Math.floor(lastSeen)) })),
  })
  const networkInfo = {
    networkId,
    chainId,
    registry,
    tokenRegistry: config.contracts.tokenRegistry,
    eas: config.contracts.eas,
    easVersion: EAS_VERSION,
    schedule: members.schedule,
    parameters: {
      leaseMs: BigInt(config.parameters.leaseMs),
      epsilonMs: BigInt(config.parameters.epsilonMs),
      staleReadsMs: BigInt(config.parameters.staleReadsMs),
      replicas: config.parameters.replicas,
    },
  }
  const common = {
    membership: () => withPresentKeys(members),
    network: networkInfo,
    events: telemetry,
    metrics: () => overlay.metrics(),
    faults: faulty && ((change: unknown) => faulty.inject(parseFaults(change))),
  }
  const api = createApi(telemetry)
  let stopRole: () => Promise<void>
  if (isAnchor) {
    const node = new AnchoringNode(ports, context, {
      endOfTurn: setImmediate,
      http: httpClient,
    })
    const part = () => ({
      quorum: quorumOf(anchorsOf(members.membership).length),
      isMember: memberOf(members.membership, address) !== undefined,
    })
    commonRoutes(api, { ...common, status: async () => anchorStatus(base(), node, part()) })
    anchorRoutes(api, node, scripts)
    archiveRoutes(api, node.lifecycle)
    streamRoutes(api, node.streams, ports)
    healthRoutes(api, new HealthView(ports, node.health))
    await node.start()
    stopRole = async () => node.stop()
  } else {
    const secrets = new SecretService(ports, context, await sealingOpener(join(config.folder, 'sealing.key')))
    await secrets.start()
    const resultCacheBytes = config.resultCacheMiB * BYTES_PER_MIB
    const { capacity } = config
    const node = new ServiceNode(ports, context, { secrets, endOfTurn: setImmediate, capacity, resultCacheBytes })
    commonRoutes(api, { ...common, status: async () => serviceStatus(base(), node) })
    serviceRoutes(api, node, secrets)
    retireRoute(api, node)
    if (config.development) maintenanceRoutes(api, node.maintenance)
    await node.start()
    stopRole = () => node.stop()
  }
  await api.listen({ host: config.apiHost, port: config.apiPort })
  telemetry.log('info', 'node.started', {
    role: config.role,
    node: address,
    api: config.apiPort,
    overlay: config.overlay,
  })
  return async () => {
    await stopRole()
    await api.close()
    members.stop()
    faulty?.close()
    await overlay.close()
    await sandbox?.[Symbol.asyncDispose]()
    await log.close()
    store.close()
  }
}

/** The members of the epoch with the keys and addresses that are registered for them now. */
function withPresentKeys({ membership, members }: EpochView): Membership {
  const present = new Map(members.map((member) => [member.node, member]))
  return { ...membership, members: membership.members.map((member) => present.get(member.node) ?? member) }
}

/** In development the process that started this node may vanish without a word: then nobody needs the node any more. */
function onOrphaned(end: () => void): void {
  const parent = process.ppid
  setInterval(() => process.ppid === parent || end(), PARENT_CHECK_MS).unref()
}

/** Ends in order on a signal. */
function endWith(stop: () => Promise<void>, development: boolean): void {
  let ending = false
  const end = () => {
    if (ending) return
    ending = true
    stop().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  if (development) onOrphaned(end)
}

const { values } = parseArgs({ options: { config: { type: 'string' } } })
const config = loadConfig(values.config ?? 'node.json')
if (config.development) onOrphaned(() => setTimeout(() => process.exit(1), ORPHAN_LIMIT_MS).unref())
try {
  endWith(await start(config), config.development)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
