/** `createIntegration`: a site's client with its actions bound, and nothing else. */
import { type AttestedGrant, type Crypto, nobleCrypto, type Signer } from '@smartlayer/protocol'
import { attestGrant, type GrantParameters, signGrant } from './grant.ts'
import type { CallOptions } from './http.ts'
import { loadNetwork, type Network, type Trust } from './network.ts'
import { type ActParameters, act, type QueryParameters, query } from './query.ts'
import { resolve } from './resolve.ts'
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
}

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
}: IntegrationOptions): Promise<Site> {
  return {
    anchors,
    network: network ?? (await loadNetwork(anchors, trust, crypto)),
    signer,
    crypto,
    clock: { now: () => BigInt(Date.now()) },
    random: (bytes) => globalThis.crypto.getRandomValues(new Uint8Array(bytes)),
    placements: new Map(),
    latencies: new Map(),
  }
}

function bind(site: Site) {
  return {
    site,
    query: <T = unknown>(parameters: QueryParameters) => query<T>(site, parameters),
    act: (parameters: ActParameters) => act(site, parameters),
    resolve: (token: string, options?: CallOptions) => resolve(site, token, options),
    signGrant: (holder: Signer, parameters: GrantParameters) => signGrant(site, holder, parameters),
    attestGrant: (token: string, grant: AttestedGrant, options?: CallOptions) =>
      attestGrant(site, token, grant, options),
  }
}
