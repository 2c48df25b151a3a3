/** A car and its papers on a local network: four token types of four issuers, each with a key of its own. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  buildToken,
  type ChainAccount,
  deployFlightTicket,
  keyFile,
  LocalNetwork,
  type LocalNetworkOptions,
  mintTicket,
  publishToken,
} from '@smartlayer/cli'
import { fastCrypto } from '@smartlayer/node'
import { type Address, formatTokenRef } from '@smartlayer/protocol'
import { connect, type Issuer, type SmartLayer } from '@smartlayer/sdk/server'

const TYPES = {
  registration: { issuer: 'office', lane: 'papers' },
  insurance: { issuer: 'office', lane: 'papers' },
  maintenance: { issuer: 'garage', lane: 'services' },
  car: { issuer: 'maker', lane: 'cars' },
} as const
export type TypeName = keyof typeof TYPES
const NAMES = Object.keys(TYPES) as TypeName[]

export class CarDemo {
  readonly network: LocalNetwork
  readonly site: SmartLayer
  readonly #contracts: Readonly<Record<TypeName, Address>>
  readonly #accounts: Readonly<Record<TypeName, ChainAccount>>
  readonly #issuers: Readonly<Record<TypeName, Issuer>>

  constructor(
    network: LocalNetwork,
    site: SmartLayer,
    made: {
      contracts: Record<TypeName, Address>
      accounts: Record<TypeName, ChainAccount>
      issuers: Record<TypeName, Issuer>
    },
  ) {
    this.network = network
    this.site = site
    this.#contracts = made.contracts
    this.#accounts = made.accounts
    this.#issuers = made.issuers
  }

  /** Starts a fresh network and publishes the four token types. */
  static async start(options: LocalNetworkOptions): Promise<CarDemo> {
    const network = await LocalNetwork.start(options)
    try {
      return await publishTypes(network, options.progress)
    } catch (error) {
      await network.stop()
      throw error
    }
  }

  /** CAIP-19 id of a token. */
  token(type: TypeName, tokenId: bigint): string {
    return formatTokenRef({ chainId: BigInt(this.network.file.chainId), contract: this.#contracts[type], tokenId })
  }

  async mint(type: TypeName, tokenId: bigint): Promise<string> {
    const account = this.#accounts[type]
    await mintTicket(account, this.#contracts[type], account.address, tokenId)
    return this.token(type, tokenId)
  }

  /** A fact of the type's issuer about one subset. */
  async say(type: TypeName, subset: string, body: object): Promise<void> {
    await this.#issuers[type].attest({ subset, body })
  }

  async stop(): Promise<void> {
    await Promise.all(Object.values(this.#issuers).map((issuer) => issuer.close()))
    await this.network.stop()
  }
}

async function publishTypes(network: LocalNetwork, progress: LocalNetworkOptions['progress']): Promise<CarDemo> {
  const { layout, file } = network
  const crypto = await fastCrypto()
  const chainId = BigInt(file.chainId)
  const key = (name: string) => keyFile(join(layout.folder, 'keys', `${name}.key`))
  const anchors = layout.nodes.filter(({ role }) => role === 'anchor').map(({ api }) => api)
  const chain = { id: file.chainId, rpcUrl: network.chain.url, registry: file.contracts.nodeRegistry }
  const clientOf = (name: string) => connect({ anchors, chain, key: key(name), crypto })

  const accounts = await eachType((name) => network.account(name))
  const contracts = await eachType((name) => deployFlightTicket(accounts[name]))
  const { registration, insurance, maintenance, car } = contracts
  const others: Readonly<Record<TypeName, Record<string, Address>>> = {
    registration: {},
    insurance: {},
    maintenance: { car },
    car: { registration, insurance, maintenance },
  }
  for (const name of NAMES) {
    const owner = accounts[name]
    const contract = contracts[name]
    const built = await buildToken({
      source: fileURLToPath(new URL(`tokens/${name}.ts`, import.meta.url)),
      label: `Smart car: ${name}`,
      contract: { chainId: file.chainId, address: contract },
      issuers: { [TYPES[name].issuer]: owner.address },
      outside: {},
      contracts: others[name],
      privateKey: key(name),
    })
    await publishToken({ built, contract, tokenRegistry: file.contracts.tokenRegistry, owner, anchors })
  }
  progress('tokens', NAMES.join(', '))
  const issuers = await eachType(async (name) => {
    const outboxFile = join(layout.folder, 'outboxes', `${name}.json`)
    return (await clientOf(name)).issuer({ contract: contracts[name], chainId, lane: TYPES[name].lane, outboxFile })
  })
  return new CarDemo(network, await clientOf('site'), { contracts, accounts, issuers })
}

/** One type after the other: a chain account sends one transaction at a time. */
async function eachType<T>(make: (name: TypeName) => Promise<T>): Promise<Record<TypeName, T>> {
  const made: [TypeName, T][] = []
  for (const name of NAMES) made.push([name, await make(name)])
  return Object.fromEntries(made) as Record<TypeName, T>
}
