/** The network as a client trusts it: whose signatures count, and where nodes are. */
import {
  type Address,
  anchorsOf,
  type Bytes32,
  type Crypto,
  canonicalJson,
  type Domain,
  domainOf,
  easDomain,
  faultsTolerated,
  type Membership,
  type NetworkInfo,
  networkIdOf,
  networkInfoShape,
  SmartLayerError,
} from '@smartlayer/protocol'
import { type CallOptions, get } from './http.ts'

export type Network = {
  readonly networkId: Bytes32
  readonly domain: Domain
  readonly easDomain: Domain
  readonly membership: Membership
  readonly epsilonMs: bigint
  readonly info: NetworkInfo
}

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
  const asked = await Promise.allSettled(urls.map((url) => get(`${url}/v1/network`, networkInfoShape, options)))
  const said = new Map<string, { info: NetworkInfo; count: number }>()
  for (const answer of asked) {
    if (answer.status !== 'fulfilled') continue
    const info = answer.value
    if (info.chainId !== trust.chainId || info.registry !== trust.registry || !namesAnchors(info, trust)) continue
    const key = canonicalJson(networkInfoShape.toJson(info))
    const known = said.get(key)
    said.set(key, { info, count: (known?.count ?? 0) + 1 })
  }
  const [best] = [...said.values()].sort((a, b) => b.count - a.count)
  const needed = faultsTolerated(urls.length) + 1
  if (!best || best.count < needed) {
    throw SmartLayerError.of('quorum.not_reached', {
      got: best?.count ?? 0,
      needed,
      of: urls.length,
      detail: failures(urls, asked),
    })
  }
  return networkOf(best.info, crypto)
}

/** The domains and membership that follow from what the network says of itself. */
export function networkOf(info: NetworkInfo, { keccak }: Crypto): Network {
  const { chainId, registry, eas, easVersion, epoch, beacon, members, parameters } = info
  return {
    networkId: networkIdOf(chainId, registry, keccak),
    domain: domainOf({ name: 'SmartLayer', version: '1', chainId, verifyingContract: registry }, keccak),
    easDomain: easDomain({ chainId, eas, version: easVersion }, keccak),
    membership: { epoch, beacon, members },
    epsilonMs: parameters.epsilonMs,
    info,
  }
}

function namesAnchors({ epoch, beacon, members }: NetworkInfo, { anchors = [] }: Trust): boolean {
  const named = anchorsOf({ epoch, beacon, members }).map((member) => member.node)
  return anchors.every((anchor) => named.includes(anchor))
}

/** Who failed and how, for the text of `quorum.not_reached`. */
export function failures(names: readonly string[], results: readonly PromiseSettledResult<unknown>[]): string {
  const failed = results.flatMap((result, i) =>
    result.status === 'rejected'
      ? [`${names[i]}: ${result.reason instanceof Error ? result.reason.message : 'failed'}`]
      : [],
  )
  return failed.length > 0 ? failed.join('; ').slice(0, 500) : 'their answers differ'
}
