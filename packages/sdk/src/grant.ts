/** Grants: a holder signs what a site may see and do, and anchors check that the holder holds the token. */
import {
  type Address,
  type AttestedGrant,
  digestOf,
  faultsTolerated,
  Grant,
  GrantCheck,
  grantRequestShape,
  parseTokenRef,
  record,
  type SignedGrantCheck,
  type Signer,
  SmartLayerError,
  signature,
  tokenOf,
} from '@smartlayer/protocol'
import { type CallOptions, post } from './http.ts'
import { failures } from './network.ts'
import { nonce, type Site } from './site.ts'

const signedCheckShape = record({ check: GrantCheck, signature })

export type GrantParameters = {
  readonly token: string
  /** The key of the site that may use the grant. */
  readonly audience: Address
  readonly origin: string
  readonly scopes: readonly string[]
  readonly lifeS: bigint
}

/** Signs a grant as the holder; it counts once anchors have attested it. */
export function signGrant(site: Site, holder: Signer, parameters: GrantParameters): AttestedGrant {
  const issuedAt = site.clock.now() / 1000n
  const grant: Grant = {
    token: tokenOf(parseTokenRef(parameters.token), site.crypto.keccak),
    holder: holder.address,
    audience: parameters.audience,
    origin: parameters.origin,
    scopes: parameters.scopes,
    issuedAt,
    expires: issuedAt + parameters.lifeS,
    nonce: nonce(site),
  }
  return { grant, signature: holder.sign(digestOf(Grant, grant, site.network.domain, site.crypto.keccak)), checks: [] }
}

/** Collects the checks of f + 1 anchors. Throws the refusal of an anchor, or `quorum.not_reached`. */
export async function attestGrant(
  site: Site,
  token: string,
  signed: AttestedGrant,
  options: CallOptions = {},
): Promise<AttestedGrant> {
  const body = grantRequestShape.toJson({ grant: signed })
  const url = (anchor: string) => `${anchor}/v1/tokens/${encodeURIComponent(token)}/grants`
  const asked = await Promise.allSettled(
    site.anchors.map((anchor) => post(url(anchor), body, signedCheckShape, options)),
  )
  const checks = asked.flatMap((result) => (result.status === 'fulfilled' ? [result.value as SignedGrantCheck] : []))
  const needed = faultsTolerated(site.anchors.length) + 1
  if (checks.length >= needed) return { ...signed, checks }
  const refusal = asked.find((result) => result.status === 'rejected' && result.reason instanceof SmartLayerError)
  if (refusal?.status === 'rejected' && refusal.reason.code !== 'network.unreachable') throw refusal.reason
  throw SmartLayerError.of('quorum.not_reached', {
    got: checks.length,
    needed,
    of: site.anchors.length,
    detail: failures(site.anchors, asked),
  })
}
