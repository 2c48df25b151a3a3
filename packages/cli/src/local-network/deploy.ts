/** Transactions that set up a network: contracts, nodes, tokens. */
import {
  flightTicketAbi,
  flightTicketBytecode,
  nodeRegistryAbi,
  nodeRegistryBytecode,
  serviceTokenAbi,
  serviceTokenBytecode,
  stakeTokenAbi,
  stakeTokenBytecode,
  tokenRegistryAbi,
  tokenRegistryBytecode,
} from '@smartlayer/contracts'
import {
  type Address,
  type Bytes32,
  type Hex,
  LOCAL_EPOCHS,
  type Role,
  type Schedule,
  SmartLayerError,
} from '@smartlayer/protocol'
import {
  type Abi,
  type Account,
  BaseError,
  ContractFunctionRevertedError,
  createPublicClient,
  createWalletClient,
  defineChain,
  http,
  type PublicClient,
  type WalletClient,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const SUPPLY = 10n ** 27n
const MINIMUM_STAKE = 100n * 10n ** 18n
const UNBONDING_S = 14n * 86_400n
const POLLING_MS = 20
/** A transaction that a killed chain forgot is given up after this long. */
const RECEIPT_TIMEOUT_MS = 15_000

export type Addresses = {
  readonly serviceToken: Address
  readonly stakeToken: Address
  readonly nodeRegistry: Address
  readonly tokenRegistry: Address
}

/** One account's way to a chain: transactions are sent one after another and waited for. */
export class ChainAccount {
  readonly address: Address
  readonly #account: Account
  readonly #wallet: WalletClient
  readonly #public: PublicClient
  #queue: Promise<unknown> = Promise.resolve()

  constructor({ url, chainId, privateKey }: { url: string; chainId: number; privateKey: Hex }) {
    const chain = defineChain({
      id: chainId,
      name: 'local',
      nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
      rpcUrls: { default: { http: [url] } },
    })
    this.#account = privateKeyToAccount(privateKey)
    this.address = this.#account.address.toLowerCase() as Address
    this.#wallet = createWalletClient({ account: this.#account, chain, transport: http(url) })
    this.#public = createPublicClient({ chain, transport: http(url), pollingInterval: POLLING_MS }) as PublicClient
  }

  get publicClient(): PublicClient {
    return this.#public
  }

  async deploy(abi: Abi, bytecode: Hex, args: readonly unknown[]): Promise<Address> {
    const hash = await this.#send(() =>
      this.#wallet.deployContract({ abi, bytecode, args, account: this.#account, chain: this.#wallet.chain }),
    )
    const { contractAddress } = await this.#public.waitForTransactionReceipt({ hash, timeout: RECEIPT_TIMEOUT_MS })
    if (!contractAddress) throw SmartLayerError.of('chain.reverted', { call: 'deploy', reason: 'no contract was made' })
    return contractAddress.toLowerCase() as Address
  }

  /** Sends one call and waits until it is in a block. Throws `chain.reverted` with the contract's reason. */
  async call(address: Address, abi: Abi, functionName: string, args: readonly unknown[]): Promise<void> {
    const request = { address, abi, functionName, args, account: this.#account, chain: this.#wallet.chain }
    try {
      const hash = await this.#send(() => this.#wallet.writeContract(request))
      const receipt = await this.#public.waitForTransactionReceipt({ hash, timeout: RECEIPT_TIMEOUT_MS })
      if (receipt.status === 'reverted') throw new Error('reverted in its block')
    } catch (error) {
      const reason = reasonOf(error)
      throw SmartLayerError.because(error, 'chain.reverted', { call: functionName, reason })
    }
  }

  /** Signs an identity's consent to be registered by another account. */
  async signRegistration(registry: Address, account: Address, transportKey: Bytes32): Promise<Hex> {
    return this.#wallet.signTypedData({
      account: this.#account,
      domain: { name: 'SmartLayer', version: '1', chainId: this.#wallet.chain!.id, verifyingContract: registry },
      types: {
        Register: [
          { name: 'node', type: 'address' },
          { name: 'operatorAccount', type: 'address' },
          { name: 'transportKey', type: 'bytes32' },
        ],
      },
      primaryType: 'Register',
      message: { node: this.address, operatorAccount: account, transportKey },
    })
  }

  /** Nonces are taken in order, so one transaction is handed over at a time. */
  #send(send: () => Promise<Hex>): Promise<Hex> {
    const sent = this.#queue.then(send)
    this.#queue = sent.catch(() => undefined)
    return sent
  }
}

export async function deployContracts(
  deployer: ChainAccount,
  { lengthS, closingS }: Pick<Schedule, 'lengthS' | 'closingS'> = LOCAL_EPOCHS,
): Promise<Addresses> {
  const serviceToken = await deployer.deploy(serviceTokenAbi, serviceTokenBytecode, [deployer.address, SUPPLY])
  const stakeToken = await deployer.deploy(stakeTokenAbi, stakeTokenBytecode, [deployer.address, SUPPLY])
  const nodeRegistry = await deployer.deploy(nodeRegistryAbi, nodeRegistryBytecode, [
    stakeToken,
    MINIMUM_STAKE,
    UNBONDING_S,
    lengthS,
    closingS,
  ])
  const tokenRegistry = await deployer.deploy(tokenRegistryAbi, tokenRegistryBytecode, [])
  await deployer.call(stakeToken, stakeTokenAbi as Abi, 'approve', [nodeRegistry, SUPPLY])
  return { serviceToken, stakeToken, nodeRegistry, tokenRegistry }
}

export type NodeToRegister = {
  readonly identity: ChainAccount
  readonly role: Role
  readonly transportKey: Bytes32
  readonly overlay: string
  readonly api: string
  readonly operator: Bytes32
  readonly platform: Bytes32
}

/** Registers a node with the minimum stake, paid by `account`. */
export async function registerNode(
  account: ChainAccount,
  { nodeRegistry }: Addresses,
  node: NodeToRegister,
): Promise<void> {
  const { identity, role, ...rest } = node
  const signature = await identity.signRegistration(nodeRegistry, account.address, node.transportKey)
  const registration = { ...rest, node: identity.address, role: role === 'anchor' ? 1 : 2 }
  await account.call(nodeRegistry, nodeRegistryAbi as Abi, 'register', [registration, MINIMUM_STAKE, signature])
}

export async function deployFlightTicket(airline: ChainAccount): Promise<Address> {
  return airline.deploy(flightTicketAbi, flightTicketBytecode, [airline.address])
}

export async function mintTicket(airline: ChainAccount, ticket: Address, to: Address, tokenId: bigint): Promise<void> {
  await airline.call(ticket, flightTicketAbi as Abi, 'mint', [to, tokenId])
}

/** Registers a script for a contract and names it in the contract's own scriptURI (ERC-5169). */
export async function publishScript(
  owner: ChainAccount,
  { tokenRegistry }: Pick<Addresses, 'tokenRegistry'>,
  { contract, scriptHash, uri }: { contract: Address; scriptHash: Bytes32; uri: string },
): Promise<void> {
  await owner.call(tokenRegistry, tokenRegistryAbi as Abi, 'publish', [contract, scriptHash, uri, 0, 0n])
  await owner.call(contract, flightTicketAbi as Abi, 'setScriptURI', [[uri]])
}

/** The contract's own error where it gave one, else the first line of what went wrong. */
function reasonOf(error: unknown): string {
  const reverted = error instanceof BaseError && error.walk((cause) => cause instanceof ContractFunctionRevertedError)
  if (reverted instanceof ContractFunctionRevertedError && reverted.data) {
    return `${reverted.data.errorName}(${(reverted.data.args ?? []).join(', ')})`
  }
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
}
