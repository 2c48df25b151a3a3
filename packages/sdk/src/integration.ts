/** `createIntegration`: a site's client with its actions bound, and nothing else. */
import { type Address, type AttestedGrant, type Crypto, nobleCrypto, type Signer } from '@smartlayer/protocol'
import { attestGrant, type GrantParameters, signGrant } from './grant.ts'
import type { CallOptions } from './http.ts'
import { loadNetwork, type Network, type Trust } from './network.ts'
import { type ActParameters, act, type PublicParameters, type QueryParameters, query, queryPublic } from './query.ts'
import { ReplicaBoard } from './replica-board.ts'
import { type ResolveOptions, resolve } from './resolve.ts'
import type { Site } from './site.ts'

export type IntegrationOptions = {
  /** Base URLs of anchors; several, so that one that is down or lies does not matter. */
  readonly anchors: readonly string[]
  readonly trust: Trust
  /** The site's own key. */
  readonly signer: Signer
  readonly crypto?: Crypto
  /** A network that was loaded and checked before; otherwise the anchors are asked. */
  readonly network?: Network
  /** How the network is loaded again when an epoch is over; as at first without it. */
  readonly loadAnew?: () => Promise<Network>
  /** The weight of a node in the choice of replicas, as anchors publish it; every node counts 1 without it. */
  readonly weightOf?: (node: Address) => number
}

const UINT_32 = 2 ** 32

export type Integration = ReturnType<typeof bind>

/** Connects a site to the network. Throws `quorum.not_reached`. */
export async function createIntegration(options: IntegrationOptions): Promise<Integration> {
  return bind(await createSite(options))
}

export async function createSite({
  anchors,
  trust,
  signer,
  crypto = nobleCrypto,
  network,
  loadAnew,
  weightOf,
}: IntegrationOptions): Promise<Site> {
  const random = (bytes: number) => globalThis.crypto.getRandomValues(new Uint8Array(bytes))
  const fraction = () => new DataView(random(4).buffer).getUint32(0) / UINT_32
  return {
    anchors,
    network: network ?? (await loadNetwork(anchors, trust, crypto)),
    loadAnew: loadAnew ?? (() => loadNetwork(anchors, trust, crypto)),
    signer,
    crypto,
    clock: { now: () => BigInt(Date.now()) },
    random,
    placements: new Map(),
    board: new ReplicaBoard({ now: () => performance.now(), random: fraction, weightOf }),
  }
}

function bind(site: Site) {
  return {
    site,
    query: <T = unknown>(parameters: QueryParameters) => query<T>(site, parameters),
    queryPublic: <T = unknown>(parameters: PublicParameters) => queryPublic<T>(site, parameters),
    act: (parameters: ActParameters) => act(site, parameters),
    resolve: (token: string, options?: ResolveOptions) => resolve(site, token, options),
    signGrant: (holder: Signer, parameters: GrantParameters) => signGrant(site, holder, parameters),
    attestGrant: (token: string, grant: AttestedGrant, options?: CallOptions) =>
      attestGrant(site, token, grant, options),
  }
}
