/** The flight story on a local network: airline, hotel, car rental and consent page around real nodes. */
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
  readJson,
  setSecret,
  writeDurably,
} from '@smartlayer/cli'
import { fastCrypto } from '@smartlayer/node'
import { type Address, formatTerm, formatTokenRef, type Hex, type Signer, serviceNodesOf } from '@smartlayer/protocol'
import { connect, readMembers, resolve, type SmartLayer } from '@smartlayer/sdk/server'
import { Airline } from './airline.ts'
import { Consent } from './consent.ts'
import { Hotel } from './hotel.ts'
import { Rental } from './rental.ts'

export const FLIGHT = 'LH454'
export const DATE = '2026-11-12'
const LANE = 'flights'
const FIRST_TICKET = 1n

/** What the demo made once and finds again: the contracts of both ticket types. */
type DemoFile = { readonly contract: Address; readonly contractOnce: Address; readonly scriptUri: string }

type DemoParts = Pick<
  FlightDemo,
  'network' | 'airline' | 'airlineOnce' | 'hotel' | 'rental' | 'consent' | 'smartLayer' | 'holder' | 'file'
>

export class FlightDemo {
  readonly network: LocalNetwork
  readonly airline: Airline
  /** The same airline for tickets whose hotel call must not be repeated. */
  readonly airlineOnce: Airline
  readonly hotel: Hotel
  readonly rental: Rental
  readonly consent: Consent
  readonly smartLayer: SmartLayer
  readonly holder: Signer
  readonly file: DemoFile

  constructor(parts: DemoParts) {
    this.network = parts.network
    this.airline = parts.airline
    this.airlineOnce = parts.airlineOnce
    this.hotel = parts.hotel
    this.rental = parts.rental
    this.consent = parts.consent
    this.smartLayer = parts.smartLayer
    this.holder = parts.holder
    this.file = parts.file
  }

  /** Starts network and sites; a fresh one also publishes the token types and issues the first ticket. */
  static async start(options: LocalNetworkOptions): Promise<FlightDemo> {
    const network = await LocalNetwork.start(options)
    try {
      return await startSites(network, options.progress)
    } catch (error) {
      await network.stop()
      throw error
    }
  }

  /** The airline's own key, for scenes in which it misbehaves. */
  get airlineKey(): Hex {
    return keyFile(join(this.network.layout.folder, 'keys', 'airline.key'))
  }

  /** CAIP-19 id of a ticket of the first type. */
  token(tokenId: bigint = FIRST_TICKET): string {
    return formatTokenRef({ chainId: BigInt(this.network.file.chainId), contract: this.file.contract, tokenId })
  }

  get urls(): Readonly<Record<'rental' | 'consent' | 'airline' | 'hotel', string>> {
    const { rentalPort, consentPort, airlinePort, hotelPort } = this.network.layout
    return {
      rental: `http://rental.localhost:${rentalPort}`,
      consent: `http://wallet.localhost:${consentPort}`,
      airline: `http://airline.localhost:${airlinePort}`,
      hotel: `http://hotel.localhost:${hotelPort}`,
    }
  }

  async stop(): Promise<void> {
    await Promise.all([
      this.airline.close(),
      this.airlineOnce.close(),
      this.rental.api.close(),
      this.consent.api.close(),
    ])
    await this.network.stop()
    await this.hotel.close()
  }
}

async function startSites(network: LocalNetwork, progress: LocalNetworkOptions['progress']): Promise<FlightDemo> {
  const { layout, file } = network
  const fast = await fastCrypto()
  const key = (name: string) => keyFile(join(layout.folder, 'keys', `${name}.key`))
  const anchors = layout.nodes.filter(({ role }) => role === 'anchor').map(({ api }) => api)
  const chain = { id: file.chainId, rpcUrl: network.chain.url, registry: file.contracts.nodeRegistry }
  const clientOf = (name: string) => connect({ anchors, chain, key: key(name), crypto: fast })
  const [asAirline, asRental, asHolder] = await Promise.all([
    clientOf('airline'),
    clientOf('rental'),
    clientOf('holder'),
  ])
  const airlineAccount = await network.account('airline')
  const holder = fast.signer(key('holder'))
  const hotelSigner = fast.signer(key('hotel'))
  const { domain } = asAirline.site.network

  const apiKey = key('hotel-api').slice(2, 34)
  const members = await readMembers(chain)
  const hotel = new Hotel({
    databasePath: join(layout.folder, 'hotel.db'),
    signer: hotelSigner,
    crypto: fast.crypto,
    domain,
    apiKey: () => apiKey,
    transportKeyOf: async (node) => members.find((member) => member.node === node)?.transportKey,
  })
  await hotel.api.listen({ host: '127.0.0.1', port: layout.hotelPort })

  const demoFile = join(layout.folder, 'demo.json')
  const known = readJson<DemoFile>(demoFile)
  const made = known ?? (await publishTypes())
  const airlineOf = (contract: Address, name: string) => {
    const chainId = BigInt(file.chainId)
    const outboxFile = join(layout.folder, 'airline', `${name}.json`)
    // Scenes, and people with `sl attest`, publish with the airline's key as well.
    const issuer = asAirline.issuer({ contract, chainId, lane: LANE, outboxFile, shared: true })
    return new Airline({
      chainId,
      contract,
      issuer,
      mint: (to, tokenId) => mintTicket(airlineAccount, contract, to, tokenId),
    })
  }
  const airline = airlineOf(made.contract, 'tickets')
  const airlineOnce = airlineOf(made.contractOnce, 'tickets-once')
  await airline.api.listen({ host: '127.0.0.1', port: layout.airlinePort })
  if (!known) {
    const booking = { id: 'HTL-1001', nights: 1 }
    await airline.issue({ holder: holder.address, tokenId: FIRST_TICKET, flight: FLIGHT, date: DATE, booking })
    writeDurably(demoFile, JSON.stringify(made))
    progress('ticket', `${FLIGHT} on ${DATE}, issued to ${holder.address}`)
  }

  const token = formatTokenRef({ chainId: BigInt(file.chainId), contract: made.contract, tokenId: FIRST_TICKET })
  const consent = new Consent({ site: asHolder.site, holder, token: () => token })
  await consent.api.listen({ host: '127.0.0.1', port: layout.consentPort })
  const rental = new Rental({
    smartLayer: asRental,
    origin: `http://rental.localhost:${layout.rentalPort}`,
    consentUrl: `http://wallet.localhost:${layout.consentPort}/`,
  })
  await rental.api.listen({ host: '127.0.0.1', port: layout.rentalPort })
  // Asking where the ticket lives activates it, so that there is something to watch from the start.
  const { certified } = await resolve(asRental.site, token)
  progress('instance', `${certified.placement.replicas.length} replicas, term ${formatTerm(certified.placement.term)}`)
  progress('sites', 'airline, hotel, car rental, consent')
  return new FlightDemo({
    network,
    airline,
    airlineOnce,
    hotel,
    rental,
    consent,
    smartLayer: asRental,
    holder,
    file: made,
  })

  async function publishTypes(): Promise<DemoFile> {
    const { contract, uri } = await publishType(airlineAccount, 'token.ts')
    const once = await publishType(airlineAccount, 'token-once.ts')
    progress('token', `flight-ticket published at ${uri}`)
    return { contract, contractOnce: once.contract, scriptUri: uri }
  }

  async function publishType(owner: ChainAccount, source: string): Promise<{ contract: Address; uri: string }> {
    const contract = await deployFlightTicket(owner)
    const built = await buildToken({
      source: fileURLToPath(new URL(source, import.meta.url)),
      label: 'Flight ticket',
      contract: { chainId: file.chainId, address: contract },
      issuers: { airline: owner.address },
      outside: { hotel: { url: `http://127.0.0.1:${layout.hotelPort}`, signer: hotelSigner.address } },
      privateKey: key('airline'),
    })
    const { uri } = await publishToken({ built, contract, tokenRegistry: file.contracts.tokenRegistry, owner, anchors })
    const nodes = serviceNodesOf(asAirline.site.network.membership)
    await setSecret(nodes, { contract, name: 'HOTEL_KEY', value: apiKey, owner: fast.signer(key('airline')), domain })
    return { contract, uri }
  }
}
