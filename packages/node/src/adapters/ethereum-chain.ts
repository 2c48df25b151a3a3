/** The Chain and Registry ports over JSON-RPC: nodes, epochs, token registry and token owners, read at a block. */
import { nodeRegistryAbi, tokenRegistryAbi } from '@smartlayer/contracts'
import {
  type Address,
  type Bytes32,
  type Member,
  type PlacedEvent,
  type Schedule,
  SmartLayerError,
  type TokenRef,
} from '@smartlayer/protocol'
import { createPublicClient, erc721Abi, http, type PublicClient } from 'viem'
import type { BlockRef, Chain, TokenRegistration } from '../ports/chain.ts'
import type { RandomBlock, Registry } from '../ports/registry.ts'
import { registryEventOf } from './registry-events.ts'

const PAGE = 100n
const TIMEOUT_MS = 5_000
/** Blocks that are asked for events at a time; public endpoints refuse more. */
const LOG_RANGE = 10_000n
const ZERO = '0x0000000000000000000000000000000000000000'

export type EthereumChainOptions = {
  readonly url: string
  readonly nodeRegistry: Address
  readonly tokenRegistry: Address
}

export class EthereumChain implements Chain, Registry {
  readonly #client: PublicClient
  readonly #options: EthereumChainOptions

  constructor(options: EthereumChainOptions) {
    this.#options = options
    this.#client = createPublicClient({ transport: http(options.url, { timeout: TIMEOUT_MS, retryCount: 1 }) })
  }

  async latest(): Promise<BlockRef> {
    return refOf(await this.#reach(() => this.#client.getBlock({ blockTag: 'latest' })))
  }

  async finalized(): Promise<BlockRef> {
    return refOf(await this.#reach(() => this.#client.getBlock({ blockTag: 'finalized' })))
  }

  async schedule(): Promise<Schedule | undefined> {
    const registry = { address: this.#options.nodeRegistry, abi: nodeRegistryAbi } as const
    const read = (functionName: 'genesis' | 'epochLength' | 'closing') =>
      this.#reach(() => this.#client.readContract({ ...registry, functionName }))
    const [genesisS, lengthS, closingS] = await Promise.all([read('genesis'), read('epochLength'), read('closing')])
    return genesisS === 0n ? undefined : { genesisS, lengthS, closingS }
  }

  async events(from: bigint, to: bigint): Promise<readonly PlacedEvent[]> {
    const registry = { address: this.#options.nodeRegistry, abi: nodeRegistryAbi, strict: true } as const
    const placed: PlacedEvent[] = []
    for (let fromBlock = from; fromBlock <= to; fromBlock += LOG_RANGE) {
      const toBlock = fromBlock + LOG_RANGE - 1n < to ? fromBlock + LOG_RANGE - 1n : to
      const logs = await this.#reach(() => this.#client.getContractEvents({ ...registry, fromBlock, toBlock }))
      for (const log of logs) {
        const event = registryEventOf(log)
        if (event) placed.push({ block: log.blockNumber, logIndex: log.logIndex, event })
      }
    }
    return placed
  }

  async firstAfter(timeS: bigint, from: bigint): Promise<RandomBlock | undefined> {
    const { number: last, timestamp } = await this.finalized()
    if (timestamp <= timeS) return undefined
    let [low, high] = [from, last]
    while (low < high) {
      const middle = (low + high) / 2n
      const block = await this.#blockAt(middle)
      if (block.timestamp > timeS) high = middle
      else low = middle + 1n
    }
    const found = await this.#blockAt(low)
    return { ...refOf(found), randomness: found.mixHash as Bytes32 }
  }

  #blockAt(blockNumber: bigint) {
    return this.#reach(() => this.#client.getBlock({ blockNumber }))
  }

  async members(): Promise<readonly Member[]> {
    const registry = { address: this.#options.nodeRegistry, abi: nodeRegistryAbi } as const
    const count = await this.#reach(() => this.#client.readContract({ ...registry, functionName: 'nodeCount' }))
    const members: Member[] = []
    for (let from = 0n; from < count; from += PAGE) {
      const page = await this.#reach(() =>
        this.#client.readContract({ ...registry, functionName: 'nodesPage', args: [from, PAGE] }),
      )
      members.push(...page.map(memberOf))
    }
    return members.sort((a, b) => (a.node < b.node ? -1 : 1))
  }

  async registration(contract: Address): Promise<TokenRegistration | undefined> {
    const registry = { address: this.#options.tokenRegistry, abi: tokenRegistryAbi } as const
    const found = await this.#reach(() =>
      this.#client.readContract({ ...registry, functionName: 'registrationOf', args: [contract] }),
    )
    if (found.owner === ZERO) return undefined
    return {
      contract,
      owner: found.owner.toLowerCase() as Address,
      scriptHash: found.scriptHash,
      scriptUri: found.uri,
      registeredAt: BigInt(found.registeredAt),
    }
  }

  async ownerOf({ contract, tokenId }: TokenRef): Promise<{ owner: Address | undefined; block: BlockRef }> {
    const block = await this.latest()
    const call = {
      address: contract,
      abi: erc721Abi,
      functionName: 'ownerOf',
      args: [tokenId],
      blockNumber: block.number,
    } as const
    try {
      const owner = await this.#client.readContract(call)
      return { owner: owner.toLowerCase() as Address, block }
    } catch (error) {
      if (isRevert(error)) return { owner: undefined, block }
      throw SmartLayerError.because(error, 'chain.unreachable', { url: this.#options.url })
    }
  }

  async #reach<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      throw SmartLayerError.because(error, 'chain.unreachable', { url: this.#options.url })
    }
  }
}

type RegisteredNode = {
  readonly node: Address
  readonly role: number
  readonly transportKey: Address
  readonly overlay: string
  readonly api: string
  readonly operator: Address
  readonly platform: Address
  readonly stake: bigint
}

function memberOf(registered: RegisteredNode): Member {
  const { node, role, ...rest } = registered
  return {
    node: node.toLowerCase() as Address,
    role: role === 1 ? 'anchor' : 'service',
    transportKey: rest.transportKey,
    overlay: rest.overlay,
    api: rest.api,
    operator: rest.operator,
    platform: rest.platform,
    stake: rest.stake,
  }
}

function refOf({ number, hash, timestamp }: BlockRef): BlockRef {
  return { number, hash, timestamp }
}

function isRevert(error: unknown): boolean {
  return error instanceof Error && /revert|returned no data/i.test(error.message)
}
