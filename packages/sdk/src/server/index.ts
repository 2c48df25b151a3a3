/** What a back end imports: a client that checks the network against the chain, and an issuer with a durable outbox. */
import {
  type Address,
  type AttestedGrant,
  anchorsOf,
  type Crypto,
  canonicalJson,
  type Hex,
  memberOf,
  memberShape,
  nobleCrypto,
  nobleSigner,
  type Signer,
  SmartLayerError,
} from '@smartlayer/protocol'
import {
  type ActParameters,
  act,
  createSite,
  type PublicParameters,
  type QueryParameters,
  query,
  queryPublic,
  type Site,
} from '../index.ts'
import { loadNetwork } from '../network.ts'
import { idsOf } from '../publish.ts'
import { type SubscribeOptions, type SubscribeParameters, subscribe } from '../subscribe.ts'
import { readMembers } from './chain-members.ts'
import { Issuer, type IssuerOptions } from './issuer.ts'
import { Outbox } from './outbox.ts'

export * from '../index.ts'
export { readMembers } from './chain-members.ts'
export {
  type BatchFact,
  type BatchOptions,
  type BatchProgress,
  type BatchSummary,
  Issuer,
  type IssuerOptions,
  type Published,
} from './issuer.ts'
export { Outbox, type OutboxOptions } from './outbox.ts'
export type { Mark } from './outbox-state.ts'

export type ServerOptions = {
  /** Base URLs of anchors. */
  readonly anchors: readonly string[]
  readonly chain: { readonly id: number; readonly rpcUrl: string; readonly registry: Address }
  /** The integration's private key: 32 bytes of hex. */
  readonly key: Hex
  /** Faster crypto than the portable default, with the signer it makes. */
  readonly crypto?: { readonly crypto: Crypto; readonly signer: (key: Hex) => Signer }
  /** The weight of a node in the choice of replicas, as anchors publish it; every node counts 1 without it. */
  readonly weightOf?: (node: Address) => number
}

/** Connects a back end. Throws `quorum.not_reached`, `chain.unreachable`, or `node.unknown` when anchors and chain differ. */
export async function connect(options: ServerOptions): Promise<SmartLayer> {
  const { anchors, chain } = options
  const crypto = options.crypto?.crypto ?? nobleCrypto
  const signer = (options.crypto?.signer ?? nobleSigner)(options.key)
  const trust = { chainId: BigInt(chain.id), registry: chain.registry }
  const [network, members] = await Promise.all([loadNetwork(anchors, trust, crypto), readMembers(chain)])
  const onChain = new Set(members.map((member) => canonicalJson(memberShape.toJson(member))))
  const stranger = network.membership.members.find((member) => !onChain.has(canonicalJson(memberShape.toJson(member))))
  if (stranger) throw SmartLayerError.of('node.unknown', { node: stranger.node })
  const missing = anchorsOf({ ...network.membership, members }).find(({ node }) => !memberOf(network.membership, node))
  if (missing) throw SmartLayerError.of('node.role', { node: missing.node, role: 'an anchor by the asked anchors' })
  const weights = options.weightOf && { weightOf: options.weightOf }
  return new SmartLayer(await createSite({ anchors, trust, signer, crypto, network, ...weights }))
}

export class SmartLayer {
  readonly site: Site

  constructor(site: Site) {
    this.site = site
  }

  /** The token with this CAIP-19 id, as far as the grant lets this site see it. */
  token(id: string, grant?: AttestedGrant) {
    const { site } = this
    return {
      call: <T = unknown>(method: string, args: unknown = null, rest: Partial<QueryParameters> = {}) =>
        query<T>(site, { ...rest, token: id, method, args, grant }),
      /** The same answer that everybody gets, for methods without a scope. */
      callPublic: <T = unknown>(method: string, args: unknown = null, rest: Partial<PublicParameters> = {}) =>
        queryPublic<T>(site, { ...rest, token: id, method, args }),
      act: (name: string, args: unknown = null, rest: Partial<ActParameters> = {}) =>
        act(site, { ...rest, token: id, name, args, grant }),
    }
  }

  /** A stream, by its issuer or its id. A back end reads events over HTTP, which wait for it when it is slow. */
  stream(parameters: SubscribeParameters) {
    return {
      subscribe: (options: SubscribeOptions = {}) =>
        subscribe(this.site, parameters, { transport: 'events', ...options }),
    }
  }

  /**
   * An issuer that signs with this client's key and keeps what it signed in `outboxFile`, which no other process may use until
   * the issuer is closed. Throws `file.locked`, or `stream.state_damaged`.
   */
  issuer({ contract, chainId, lane, outboxFile, issuer, ...options }: IssuerPlace): Issuer {
    const { site } = this
    const address = issuer ?? site.signer.address
    const parameters = { issuer: { address }, contract, chainId, lane }
    const outbox = Outbox.open({
      path: outboxFile,
      stream: idsOf(site, parameters).stream,
      issuer: address,
      crypto: site.crypto,
      replaceDamaged: options.recover !== undefined,
    })
    return new Issuer(site, parameters, outbox, { signer: site.signer, ...options })
  }
}

export type IssuerPlace = Omit<IssuerOptions, 'signer'> & {
  readonly contract: Address
  readonly chainId: bigint
  readonly lane: string
  readonly outboxFile: string
  /** The stream's own address, when this client's key is one that an epoch of the stream names. */
  readonly issuer?: Address | undefined
}
