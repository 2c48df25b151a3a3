/** Grants: a holder signs what a site may see and do, and anchors check that the holder holds the token. */
import {
  type Address,
  type AttestedGrant,
  digestOf,
  faultsTolerated,
  Grant,
  GrantCheck,
  grantRequestShape,
  memberOf,
  parseTokenRef,
  record,
  type SignedGrantCheck,
  type Signer,
  signature,
  toHex,
  tokenOf,
} from '@smartlayer/protocol'
import { agreedRefusal, askAll, notReached, valuesOf } from './ask.ts'
import { type CallOptions, post } from './http.ts'
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
  const tolerated = faultsTolerated(site.anchors.length)
  const needed = tolerated + 1
  const counting = (checks: readonly SignedGrantCheck[]) => checksThatCount(site, signed, checks)
  const asked = await askAll<SignedGrantCheck>(
    site.anchors,
    (anchor) => post(url(anchor), body, signedCheckShape, options),
    (checks) => counting(checks).length >= needed,
  )
  const checks = counting(valuesOf(asked))
  if (checks.length >= needed) return { ...signed, checks }
  throw agreedRefusal(asked, tolerated) ?? notReached(asked, { got: checks.length, needed })
}

/** One check of this grant per registered anchor. */
function checksThatCount(
  { network, crypto }: Site,
  { grant }: AttestedGrant,
  checks: readonly SignedGrantCheck[],
): readonly SignedGrantCheck[] {
  const hash = toHex(digestOf(Grant, grant, network.domain, crypto.keccak))
  const byAnchor = new Map<Address, SignedGrantCheck>()
  for (const signed of checks) {
    const signer = crypto.recover(digestOf(GrantCheck, signed.check, network.domain, crypto.keccak), signed.signature)
    if (signed.check.grant !== hash || !signer) continue
    if (memberOf(network.membership, signer)?.role === 'anchor') byAnchor.set(signer, signed)
  }
  return [...byAnchor.values()]
}
