/** A whole Smart Layer network on one machine: a chain, four anchors and six service nodes as real processes. */
import { existsSync, mkdirSync, readFileSync, rmSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { nodeRegistryAbi } from '@smartlayer/contracts'
import { identityKey, transportIdentity } from '@smartlayer/node'
import {
  type Address,
  keccakText,
  LOCAL_DIRECTORY,
  LOCAL_EPOCHS,
  nobleCrypto,
  type Schedule,
  SmartLayerError,
} from '@smartlayer/protocol'
import { type Abi, numberToHex } from 'viem'
import { Anvil } from './anvil.ts'
import { type Bundles, bundleNode, type Patch } from './bundle.ts'
import { type Addresses, ChainAccount, deployContracts, registerNode } from './deploy.ts'
import { keyFile, readJson, writeDurably } from './keys.ts'
import { type Layout, layoutOf, type NodePlace, placeOf } from './layout.ts'
import { ManagedProcess } from './processes.ts'

/** EAS is where Base and Optimism have it; off-chain attestations only name it. */
const EAS: Address = '0x4200000000000000000000000000000000000021'
const HEAP_LIMIT_MB = 96
const SNAPSHOT_MS = 1_000
const BLOCK_S = 4
/** Blocks that draw the first beacon and make it final, without waiting for them. */
const FIRST_BLOCKS = 4
const LOCAL_HOMES = { shardCount: LOCAL_DIRECTORY.shardCount, rotation: LOCAL_DIRECTORY.rotation }
const PER_ETHER = 10n ** 18n

/** What a fresh network fixes for good; kept in `network.json`. */
export type NetworkFile = {
  readonly chainId: number
  readonly contracts: Addresses & { readonly eas: Address }
  readonly homes: Homes
  /** Nodes that joined after the network was made. */
  readonly joined: readonly Pick<NodePlace, 'role' | 'name'>[]
  readonly createdAt: number
}

/** How homes are drawn; four anchors each, and few shards, unless a story wants to see more of them. */
export type Homes = { readonly shardCount: number; readonly rotation: number }

export type LocalNetworkOptions = {
  readonly folder: string
  readonly portBase: number
  /** Told what is being done, for progress on screen. */
  readonly progress: (step: string, detail: string) => void
  /** How long epochs last; five minutes without it. */
  readonly epochs?: Pick<Schedule, 'lengthS' | 'closingS'> | undefined
  readonly homes?: Homes | undefined
  /** Bugs planted in every node, for stories that check their own checker. */
  readonly patches?: readonly Patch[]
  /** Faults injected between nodes on purpose, from their start on. */
  readonly faults?: InjectedFaults | undefined
}

/** `loss` and `duplicate` are shares of the messages between nodes; `cut` separates a node from some others, or from all. */
export type InjectedFaults = {
  readonly loss?: number
  readonly jitterMs?: number
  readonly duplicate?: number
  readonly cut?: readonly Address[] | 'all'
}

export class LocalNetwork {
  readonly chain: Anvil
  readonly nodes: ReadonlyMap<string, ManagedProcess>
  readonly #nodes: Map<string, ManagedProcess>
  readonly #portBase: number
  readonly #start: Pick<NodeSetup, 'bundles' | 'faults'>
  #layout: Layout
  #file: NetworkFile

  private constructor(
    { layout, file, portBase }: { layout: Layout; file: NetworkFile; portBase: number },
    chain: Anvil,
    start: Pick<NodeSetup, 'bundles' | 'faults'>,
  ) {
    this.#layout = layout
    this.#file = file
    this.#portBase = portBase
    this.#start = start
    this.chain = chain
    this.#nodes = new Map(layout.nodes.map((place) => [place.name, nodeProcess(place, { chain, file, ...start })]))
    this.nodes = this.#nodes
  }

  get layout(): Layout {
    return this.#layout
  }

  get file(): NetworkFile {
    return this.#file
  }

  /** Starts everything and returns once every node is ready; resumes a network that ran in this folder before. */
  static async start(options: LocalNetworkOptions): Promise<LocalNetwork> {
    const { folder, portBase, progress, patches = [], faults } = options
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    lock(folder)
    const known = readJson<NetworkFile>(join(folder, 'network.json'))
    const plan = layoutOf(folder, portBase)
    const chainId = known?.chainId ?? freshChainId()
    const chainStarted = Anvil.start({
      port: plan.chainPort,
      stateFile: plan.chainState,
      chainId,
      snapshotEveryMs: SNAPSHOT_MS,
      blockEveryS: BLOCK_S,
    })
    const [chain, bundles] = await Promise.all([chainStarted, bundleNode(join(folder, 'bundles'), patches)])
    lock(folder, chain.pid)
    progress('chain', `${chain.url} · chain id ${chainId}`)
    const file = known ?? (await createNetwork(plan, chain, { chainId, ...options }))
    const joined = file.joined.map(({ role, name }) => placeOf(folder, portBase, role, numberOf(name)))
    const layout = { ...plan, nodes: [...plan.nodes, ...joined] }
    const network = new LocalNetwork({ layout, file, portBase }, chain, { bundles, faults })
    try {
      for (const node of network.nodes.values()) node.start()
      await Promise.all([...network.nodes.values()].map((node) => node.ready()))
    } catch (error) {
      await network.stop()
      throw error
    }
    progress('nodes', `${layout.nodes.length} ready`)
    return network
  }

  /** An account on the chain for this key, with ether to pay for transactions. */
  async account(keyName: string): Promise<ChainAccount> {
    const privateKey = keyFile(join(this.layout.folder, 'keys', `${keyName}.key`))
    const account = new ChainAccount({ url: this.chain.url, chainId: this.file.chainId, privateKey })
    await fund(this.chain, account.address)
    return account
  }

  /** Registers and starts one more node; it is a member from the next epoch on whose registration is still open. Returns its name. */
  async join(role: NodePlace['role']): Promise<string> {
    const number = this.#layout.nodes.filter((node) => node.role === role).length + 1
    const place = placeOf(this.#layout.folder, this.#portBase, role, number)
    const { contracts } = this.#file
    await registerPlaces(await this.account('deployer'), { chain: this.chain, contracts, places: [place] })
    this.#file = { ...this.#file, joined: [...this.#file.joined, { role, name: place.name }] }
    this.#layout = { ...this.#layout, nodes: [...this.#layout.nodes, place] }
    writeDurably(join(this.#layout.folder, 'network.json'), JSON.stringify(this.#file, null, 2))
    const node = nodeProcess(place, { chain: this.chain, file: this.#file, ...this.#start })
    this.#nodes.set(place.name, node)
    node.start()
    await node.ready()
    return place.name
  }

  /** Starts a node again after it ended, with another executor program when one is given. */
  async restart(name: string, executor?: string): Promise<void> {
    const node = this.nodes.get(name)
    const place = this.layout.nodes.find((candidate) => candidate.name === name)
    if (!node || !place) throw SmartLayerError.of('config.invalid', { at: name, expected: 'the name of a node' })
    await node.stop()
    const configFile = join(place.folder, 'node.json')
    const config = readJson<{ executor: string }>(configFile)
    if (config && executor) writeDurably(configFile, JSON.stringify({ ...config, executor }, null, 2))
    node.start()
    await node.ready()
  }

  /** Changes the faults that one node injects. Throws `network.unreachable`. */
  async injectFaults(name: string, faults: InjectedFaults): Promise<void> {
    const { api } = this.layout.nodes.find((place) => place.name === name)!
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${api}/v1/development/faults`, {
      method: 'POST',
      headers,
      body: JSON.stringify(faults),
    })
    if (!response.ok) throw SmartLayerError.of('network.unreachable', { peer: api })
  }

  /** Ends every process of the network, nodes first, so that the chain's last snapshot holds all they wrote. */
  async stop(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.stop()))
    await this.chain.stop()
    unlock(this.layout.folder)
  }
}

/** Deletes all data of a network that does not run. */
export function resetNetwork(folder: string): void {
  if (!existsSync(folder)) return
  lock(folder)
  rmSync(folder, { recursive: true, force: true })
}

async function createNetwork(
  layout: Layout,
  chain: Anvil,
  { chainId, progress, epochs = LOCAL_EPOCHS, homes = LOCAL_HOMES }: LocalNetworkOptions & { readonly chainId: number },
): Promise<NetworkFile> {
  const deployer = new ChainAccount({
    url: chain.url,
    chainId,
    privateKey: keyFile(join(layout.folder, 'keys', 'deployer.key')),
  })
  await fund(chain, deployer.address)
  const contracts = await deployContracts(deployer, epochs)
  progress('contracts', 'ServiceToken, StakeToken, NodeRegistry, TokenRegistry')
  await registerPlaces(deployer, { chain, contracts, places: layout.nodes })
  progress('registry', `${layout.nodes.length} nodes registered and staked`)
  await beginEpochs(deployer, contracts, chain)
  progress('epochs', `the first has begun; each lasts ${epochs.lengthS} s`)
  await chain.snapshot()
  const file: NetworkFile = {
    chainId,
    contracts: { ...contracts, eas: EAS },
    homes,
    joined: [],
    createdAt: Date.now(),
  }
  writeDurably(join(layout.folder, 'network.json'), JSON.stringify(file, null, 2))
  return file
}

async function registerPlaces(
  deployer: ChainAccount,
  { chain, contracts, places }: { chain: Anvil; contracts: Addresses; places: readonly NodePlace[] },
): Promise<void> {
  const operator = keccakText(nobleCrypto.keccak, 'local operator')
  for (const { folder, role, overlay, api } of places) {
    const identity = new ChainAccount({ url: chain.url, chainId: chain.chainId, privateKey: identityKey(folder) })
    const { transportKey } = await transportIdentity(folder)
    const node = { identity, role, transportKey, overlay, api, operator, platform: operator }
    await registerNode(deployer, contracts, node)
  }
}

function numberOf(name: string): number {
  return Number(name.slice(name.lastIndexOf('-') + 1))
}

type NodeSetup = {
  readonly chain: Anvil
  readonly file: NetworkFile
  readonly bundles: Bundles
  readonly faults: InjectedFaults | undefined
}

function nodeProcess(place: NodePlace, { chain, file, bundles, faults }: NodeSetup): ManagedProcess {
  const config = {
    role: place.role,
    name: place.name,
    folder: place.folder,
    chain: { url: chain.url, id: file.chainId },
    contracts: file.contracts,
    directory: file.homes,
    overlay: place.overlay,
    apiPort: place.apiPort,
    executor: bundles.executor,
    engine: bundles.engine,
    logLevel: process.env.SMARTLAYER_LOG_LEVEL ?? 'info',
    development: true,
    ...(faults ? { faults } : {}),
  }
  const configFile = join(place.folder, 'node.json')
  writeDurably(configFile, JSON.stringify(config, null, 2))
  const flags = [
    `--max-old-space-size=${HEAP_LIMIT_MB}`,
    '--max-semi-space-size=2',
    '--disable-warning=ExperimentalWarning',
  ]
  return new ManagedProcess({
    name: place.name,
    args: [...flags, bundles.node, '--config', configFile],
    readyUrl: `${place.api}/ready`,
    logFile: join(place.folder, 'node.log'),
  })
}

/** Everybody who registered so far is a member of the first epoch; the blocks after it draw its beacon. */
async function beginEpochs(deployer: ChainAccount, { nodeRegistry }: Addresses, chain: Anvil): Promise<void> {
  const { timestamp } = await deployer.publicClient.getBlock()
  await deployer.call(nodeRegistry, nodeRegistryAbi as Abi, 'begin', [timestamp + 2n])
  await chain.rpc('anvil_mine', [numberToHex(FIRST_BLOCKS), '0x1'])
}

async function fund(chain: Anvil, address: Address): Promise<void> {
  await chain.rpc('anvil_setBalance', [address, `0x${(1_000n * PER_ETHER).toString(16)}`])
}

/** A new chain id for every fresh network, so that wallets do not confuse it with an older one. */
function freshChainId(): number {
  return 7_000_000 + (Date.now() % 1_000_000)
}

type LockFile = { readonly pid: number; readonly chainPid?: number | undefined }

/** One running network per folder. A chain that outlived its killed supervisor is ended first. */
function lock(folder: string, chainPid?: number): void {
  const path = join(folder, 'lock.json')
  const holder = readJson<LockFile>(path)
  if (holder && holder.pid !== process.pid) {
    if (isAlive(holder.pid)) {
      const detail = `process ${holder.pid} runs one in ${folder} already`
      throw SmartLayerError.of('process.failed', { what: 'the network', detail })
    }
    if (holder.chainPid !== undefined && isAnvil(holder.chainPid)) process.kill(holder.chainPid, 'SIGKILL')
  }
  writeDurably(path, JSON.stringify({ pid: process.pid, chainPid } satisfies LockFile))
}

function isAnvil(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('anvil')
  } catch {
    return false // ended meanwhile
  }
}

function unlock(folder: string): void {
  const path = join(folder, 'lock.json')
  if (existsSync(path)) unlinkSync(path)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false // no such process
  }
}
