/** What a back end imports: a client that checks the network against the chain, and an issuer with a durable outbox. */
import {
  type Address,
  type AttestedGrant,
  type Crypto,
  canonicalJson,
  type Hex,
  type Member,
  type Membership,
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
import { readMembers, rolesIn } from './chain-members.ts'
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
  const loadAnew = async () => {
    const [network, members] = await Promise.all([loadNetwork(anchors, trust, crypto), readMembers(chain)])
    await assertOnChain(network.membership, members, chain)
    return network
  }
  const network = await loadAnew()
  const weights = options.weightOf && { weightOf: options.weightOf }
  return new SmartLayer(await createSite({ anchors, trust, signer, crypto, network, loadAnew, ...weights }))
}

/** The members of the epoch are those that the registry names for it, with the keys and addresses that are registered now. */
async function assertOnChain(
  membership: Membership,
  registered: readonly Member[],
  chain: ServerOptions['chain'],
): Promise<void> {
  const nodes = new Set([...membership.members, ...registered].map(({ node }) => node))
  const roles = await rolesIn(membership.epoch, [...nodes], chain)
  const known = new Map(registered.map((member) => [member.node, canonicalJson(memberShape.toJson(member))]))
  // Who left is a member until the epoch ends, but its keys are registered no more.
  const stranger = membership.members.find((member) => {
    const isOther =
      (known.get(member.node) ?? canonicalJson(memberShape.toJson(member))) !==
      canonicalJson(memberShape.toJson(member))
    return isOther || roles.get(member.node) !== member.role
  })
  if (stranger) throw SmartLayerError.of('node.unknown', { node: stranger.node })
  const missing = [...roles].find(([node, role]) => role === 'anchor' && !memberOf(membership, node))
  if (missing) throw SmartLayerError.of('node.role', { node: missing[0], role: 'an anchor by the asked anchors' })
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
