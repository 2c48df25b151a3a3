/** A whole Smart Layer network on one machine: a chain, four anchors and six service nodes as real processes. */
import { existsSync, mkdirSync, readFileSync, rmSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { nodeRegistryAbi } from '@smartlayer/contracts'
import { identityKey, transportIdentity } from '@smartlayer/node'
import { type Address, keccakText, LOCAL_EPOCHS, nobleCrypto, SmartLayerError } from '@smartlayer/protocol'
import { type Abi, numberToHex } from 'viem'
import { Anvil } from './anvil.ts'
import { type Bundles, bundleNode, type Patch } from './bundle.ts'
import { type Addresses, ChainAccount, deployContracts, registerNode } from './deploy.ts'
import { keyFile, readJson, writeDurably } from './keys.ts'
import { type Layout, layoutOf, type NodePlace } from './layout.ts'
import { ManagedProcess } from './processes.ts'

/** EAS is where Base and Optimism have it; off-chain attestations only name it. */
const EAS: Address = '0x4200000000000000000000000000000000000021'
const HEAP_LIMIT_MB = 96
const SNAPSHOT_MS = 1_000
const BLOCK_S = 4
/** Blocks that draw the first beacon and make it final, without waiting for them. */
const FIRST_BLOCKS = 4
const PER_ETHER = 10n ** 18n

/** What a fresh network fixes for good; kept in `network.json`. */
export type NetworkFile = {
  readonly chainId: number
  readonly contracts: Addresses & { readonly eas: Address }
  readonly createdAt: number
}

export type LocalNetworkOptions = {
  readonly folder: string
  readonly portBase: number
  /** Told what is being done, for progress on screen. */
  readonly progress: (step: string, detail: string) => void
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
  readonly layout: Layout
  readonly file: NetworkFile
  readonly chain: Anvil
  readonly nodes: ReadonlyMap<string, ManagedProcess>

  private constructor(layout: Layout, file: NetworkFile, chain: Anvil, nodes: ReadonlyMap<string, ManagedProcess>) {
    this.layout = layout
    this.file = file
    this.chain = chain
    this.nodes = nodes
  }

  /** Starts everything and returns once every node is ready; resumes a network that ran in this folder before. */
  static async start({ folder, portBase, progress, patches = [], faults }: LocalNetworkOptions): Promise<LocalNetwork> {
    const layout = layoutOf(folder, portBase)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    lock(folder)
    const known = readJson<NetworkFile>(join(folder, 'network.json'))
    const chainId = known?.chainId ?? freshChainId()
    const chainStarted = Anvil.start({
      port: layout.chainPort,
      stateFile: layout.chainState,
      chainId,
      snapshotEveryMs: SNAPSHOT_MS,
      blockEveryS: BLOCK_S,
    })
    const [chain, bundles] = await Promise.all([chainStarted, bundleNode(join(folder, 'bundles'), patches)])
    lock(folder, chain.pid)
    progress('chain', `${chain.url} · chain id ${chainId}`)
    const file = known ?? (await createNetwork(layout, chain, chainId, progress))
    const nodes = new Map(
      layout.nodes.map((place) => [place.name, nodeProcess(place, { chain, file, bundles, faults })]),
    )
    const network = new LocalNetwork(layout, file, chain, nodes)
    try {
      for (const node of nodes.values()) node.start()
      await Promise.all([...nodes.values()].map((node) => node.ready()))
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
  chainId: number,
  progress: LocalNetworkOptions['progress'],
): Promise<NetworkFile> {
  const deployer = new ChainAccount({
    url: chain.url,
    chainId,
    privateKey: keyFile(join(layout.folder, 'keys', 'deployer.key')),
  })
  await fund(chain, deployer.address)
  const contracts = await deployContracts(deployer)
  progress('contracts', 'ServiceToken, StakeToken, NodeRegistry, TokenRegistry')
  for (const place of layout.nodes) {
    const identity = new ChainAccount({ url: chain.url, chainId, privateKey: identityKey(place.folder) })
    const { transportKey } = await transportIdentity(place.folder)
    const { role, overlay, api } = place
    const operator = keccakText(nobleCrypto.keccak, 'local operator')
    await registerNode(deployer, contracts, {
      identity,
      role,
      transportKey,
      overlay,
      api,
      operator,
      platform: operator,
    })
  }
  progress('registry', `${layout.nodes.length} nodes registered and staked`)
  await beginEpochs(deployer, contracts, chain)
  progress('epochs', `the first has begun; each lasts ${LOCAL_EPOCHS.lengthS} s`)
  await chain.snapshot()
  const file: NetworkFile = { chainId, contracts: { ...contracts, eas: EAS }, createdAt: Date.now() }
  writeDurably(join(layout.folder, 'network.json'), JSON.stringify(file, null, 2))
  return file
}

function nodeProcess(
  place: NodePlace,
  {
    chain,
    file,
    bundles,
    faults,
  }: { chain: Anvil; file: NetworkFile; bundles: Bundles; faults: InjectedFaults | undefined },
): ManagedProcess {
  const config = {
    role: place.role,
    name: place.name,
    folder: place.folder,
    chain: { url: chain.url, id: file.chainId },
    contracts: file.contracts,
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
