/** When a grant lets a site ask: signed by the holder, checked by anchors, for this token, scope, key and time. */

import { faultsTolerated } from '../directory/membership.ts'
import type { Address, Bytes32 } from '../primitives/bytes.ts'
import { toHex, ZERO_32 } from '../primitives/bytes.ts'
import type { Crypto } from '../primitives/crypto.ts'
import { type Domain, digestOf } from '../primitives/domain.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import { type AttestedGrant, Grant, GrantCheck } from './messages.ts'

export type GrantContext = {
  readonly domain: Domain
  readonly crypto: Crypto
  /**
   * All anchors of the network; f + 1 of them must have checked the grant. Undefined where an entry is executed: its home anchors
   * saw to it, and who is an anchor may have changed since.
   */
  readonly anchors: readonly Address[] | undefined
  readonly nowS: bigint
  readonly token: Bytes32
  /** The key that signed the request. */
  readonly audience: Address
  /** The scope that the called method declares; empty for public methods. */
  readonly scope: string
  /** The grant that the request names. */
  readonly grantHash: Bytes32
  /** Signatures that were checked before, so that a site's further requests do not cost them again. */
  readonly seen?: SignatureCache
}

/** Remembers what was verified, within a bound. */
export type SignatureCache = { has(key: string): boolean; add(key: string): void }

/** Refuses with the exact reason; a method without scope needs no grant. */
export function checkGrant(
  attested: AttestedGrant | undefined,
  context: GrantContext,
): Verdict<AttestedGrant | undefined> {
  if (context.scope === '') return accept(attested)
  if (!attested || context.grantHash === ZERO_32) return ignore('grant.missing', { scope: context.scope })
  const { grant } = attested
  const { domain, crypto, nowS } = context
  const digest = digestOf(Grant, grant, domain, crypto.keccak)
  const hash = toHex(digest)
  if (hash !== context.grantHash) return reject('grant.signature')
  if (grant.token !== context.token) return reject('grant.token')
  if (grant.audience !== context.audience)
    return reject('grant.audience', { expected: grant.audience, actual: context.audience })
  if (!grant.scopes.includes(context.scope)) {
    return ignore('scope.not_granted', { granted: grant.scopes.join(' '), needed: context.scope })
  }
  if (nowS >= grant.expires) return ignore('grant.expired', { expired: grant.expires, now: nowS })
  const valid = attested.checks.filter(({ check }) => check.grant === hash && nowS < check.expires)
  const key = [
    hash,
    attested.signature,
    ...valid.map(({ check, signature }) => `${check.block}:${check.expires}:${signature}`),
  ].join()
  if (context.seen?.has(key)) return accept(attested)
  if (crypto.recover(digest, attested.signature) !== grant.holder) return reject('grant.signature')
  const unattested = context.anchors && tooFewChecks(valid, context.anchors, context)
  if (unattested) return unattested
  context.seen?.add(key)
  return accept(attested)
}

/** f + 1 distinct anchors must have signed one of these checks. */
function tooFewChecks(
  checks: AttestedGrant['checks'],
  anchors: readonly Address[],
  { crypto, domain }: GrantContext,
): Verdict<never> | undefined {
  const needed = faultsTolerated(anchors.length) + 1
  const signers = checks.map(({ check, signature }) =>
    crypto.recover(digestOf(GrantCheck, check, domain, crypto.keccak), signature),
  )
  const got = new Set(signers.filter((signer) => signer && anchors.includes(signer))).size
  return got < needed ? reject('grant.unattested', { got, needed }) : undefined
}
