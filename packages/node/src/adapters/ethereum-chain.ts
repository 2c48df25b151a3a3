/** The Chain port over JSON-RPC: registry, token registry and token owners, read at a block. */
import { nodeRegistryAbi, tokenRegistryAbi } from '@smartlayer/contracts'
import { type Address, type Member, SmartLayerError, type TokenRef } from '@smartlayer/protocol'
import { createPublicClient, erc721Abi, http, type PublicClient } from 'viem'
import type { BlockRef, Chain, TokenRegistration } from '../ports/chain.ts'

const PAGE = 100n
const TIMEOUT_MS = 5_000
const ZERO = '0x0000000000000000000000000000000000000000'

export type EthereumChainOptions = {
  readonly url: string
  readonly nodeRegistry: Address
  readonly tokenRegistry: Address
}

export class EthereumChain implements Chain {
  readonly #client: PublicClient
  readonly #options: EthereumChainOptions

  constructor(options: EthereumChainOptions) {
    this.#options = options
    this.#client = createPublicClient({ transport: http(options.url, { timeout: TIMEOUT_MS, retryCount: 1 }) })
  }

  async finalized(): Promise<BlockRef> {
    // A local chain has no finality of its own: its latest block is what every node sees.
    const block = await this.#reach(() => this.#client.getBlock({ blockTag: 'latest' }))
    return { number: block.number, hash: block.hash, timestamp: block.timestamp }
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
    const block = await this.finalized()
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

function isRevert(error: unknown): boolean {
  return error instanceof Error && /revert|returned no data/i.test(error.message)
}
