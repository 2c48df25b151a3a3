/** The network as a client trusts it: whose signatures count, and where nodes are. */
import {
  type Address,
  anchorsOf,
  type Crypto,
  canonicalJson,
  domainOf,
  easDomain,
  faultsTolerated,
  membershipOf,
  type NetworkInfo,
  networkIdOf,
  networkInfoShape,
  type TrustedNetwork,
} from '@smartlayer/protocol'
import { askAll, notReached, valuesOf } from './ask.ts'
import { type CallOptions, get } from './http.ts'

export type Network = TrustedNetwork & { readonly info: NetworkInfo }

/** Where trust comes from: the registry's address on its chain, and the anchors that are known beforehand. */
export type Trust = {
  readonly chainId: bigint
  readonly registry: Address
  /** Anchors whose identities the caller knows; without them, f + 1 of the asked anchors must agree. */
  readonly anchors?: readonly Address[]
}

/**
 * Asks anchors for the network and believes what f + 1 of them say alike. A server checks the members against the chain
 * as well (see `@smartlayer/sdk/server`). Throws `quorum.not_reached`.
 */
export async function loadNetwork(
  urls: readonly string[],
  trust: Trust,
  crypto: Crypto,
  options: CallOptions = {},
): Promise<Network> {
  const needed = faultsTolerated(urls.length) + 1
  const fits = (info: NetworkInfo) =>
    info.chainId === trust.chainId && info.registry === trust.registry && namesAnchors(info, trust)
  const read = (url: string) => get(`${url}/v1/network`, networkInfoShape, options)
  const asked = await askAll(urls, read, (infos) => mostSaid(infos.filter(fits)).count >= needed)
  const { info, count } = mostSaid(valuesOf(asked).filter(fits))
  if (!info || count < needed) throw notReached(asked, { got: count, needed })
  return networkOf(info, crypto)
}

/** The domains and membership that follow from what the network says of itself. */
export function networkOf(info: NetworkInfo, { keccak }: Crypto): Network {
  const { chainId, registry, eas, easVersion, parameters } = info
  return {
    networkId: networkIdOf(chainId, registry, keccak),
    domain: domainOf({ name: 'SmartLayer', version: '1', chainId, verifyingContract: registry }, keccak),
    easDomain: easDomain({ chainId, eas, version: easVersion }, keccak),
    membership: membershipOf(info),
    epsilonMs: parameters.epsilonMs,
    staleReadsMs: parameters.staleReadsMs,
    info,
  }
}

function namesAnchors(info: NetworkInfo, { anchors = [] }: Trust): boolean {
  const named = anchorsOf(membershipOf(info)).map((member) => member.node)
  return anchors.every((anchor) => named.includes(anchor))
}

/** What most anchors say alike. */
function mostSaid(infos: readonly NetworkInfo[]): { info: NetworkInfo | undefined; count: number } {
  const said = infos.map((info) => ({ info, key: canonicalJson(networkInfoShape.toJson(info)) }))
  const counted = said.map(({ info, key }) => ({ info, count: said.filter((other) => other.key === key).length }))
  return counted.sort((a, b) => b.count - a.count)[0] ?? { info: undefined, count: 0 }
}
