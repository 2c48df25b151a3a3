import { expect, test } from 'vitest'
import { type Address, type Hex, toHex } from '../primitives/bytes.ts'
import { nobleCrypto, nobleSigner } from '../primitives/crypto.ts'
import { digestOf, domainOf } from '../primitives/domain.ts'
import { checkGrant, type GrantContext } from './grant.ts'
import { type AttestedGrant, Grant, GrantCheck } from './messages.ts'

const { keccak } = nobleCrypto
const domain = domainOf(
  { name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: `0x${'aa'.repeat(20)}` },
  keccak,
)
const signer = (n: number) => nobleSigner(`0x${n.toString(16).padStart(64, '0')}`)
const anchors = [1, 2, 3, 4].map(signer)
const holder = signer(9)
const SITE: Address = `0x${'51'.repeat(20)}`
const TOKEN: Hex = `0x${'70'.repeat(32)}`

function grantOf(change: Partial<Grant> = {}, checkedBy = anchors.slice(0, 2), checkExpires = 2_000n): AttestedGrant {
  const grant: Grant = {
    token: TOKEN,
    holder: holder.address,
    audience: SITE,
    origin: 'https://rental.example',
    scopes: ['flight.status:read'],
    issuedAt: 1_000n,
    expires: 5_000n,
    nonce: `0x${'01'.repeat(32)}`,
    ...change,
  }
  const digest = digestOf(Grant, grant, domain, keccak)
  const check = { grant: toHex(digest), block: 1n, expires: checkExpires }
  const checks = checkedBy.map((anchor) => ({
    check,
    signature: anchor.sign(digestOf(GrantCheck, check, domain, keccak)),
  }))
  return { grant, signature: holder.sign(digest), checks }
}

function contextOf(grant: AttestedGrant, change: Partial<GrantContext> = {}): GrantContext {
  return {
    domain,
    crypto: nobleCrypto,
    anchors: anchors.map(({ address }) => address),
    nowS: 1_500n,
    token: TOKEN,
    audience: SITE,
    scope: 'flight.status:read',
    grantHash: toHex(digestOf(Grant, grant.grant, domain, keccak)),
    ...change,
  }
}

test('a grant that the holder signed and f + 1 anchors checked lets the site ask', () => {
  const grant = grantOf()
  expect(checkGrant(grant, contextOf(grant))).toMatchObject({ verdict: 'accept' })
})

test('a public method needs none, any other does', () => {
  const context = contextOf(grantOf())
  expect(checkGrant(undefined, { ...context, scope: '' })).toMatchObject({ verdict: 'accept' })
  expect(checkGrant(undefined, context)).toMatchObject({ code: 'grant.missing' })
})

const oneAnchorTwice = [anchors[0]!, anchors[0]!]
test.each<[string, AttestedGrant, Partial<GrantContext>, string]>([
  ['for another token', grantOf({ token: `0x${'71'.repeat(32)}` }), {}, 'grant.token'],
  ['for another site', grantOf(), { audience: holder.address }, 'grant.audience'],
  ['without the scope', grantOf(), { scope: 'hotel.link:write' }, 'scope.not_granted'],
  ['that is over', grantOf(), { nowS: 5_000n }, 'grant.expired'],
  ['whose checks are over', grantOf(), { nowS: 2_000n }, 'grant.unattested'],
  ['that one anchor checked twice', grantOf({}, oneAnchorTwice), {}, 'grant.unattested'],
  ['that strangers checked', grantOf({}, [signer(20), signer(21)]), {}, 'grant.unattested'],
  ['signed by somebody else', { ...grantOf(), signature: signer(8).sign(new Uint8Array(32)) }, {}, 'grant.signature'],
  ['that the request does not name', grantOf(), { grantHash: `0x${'02'.repeat(32)}` }, 'grant.signature'],
])('refused: a grant %s', (_, grant, change, code) => {
  expect(checkGrant(grant, contextOf(grant, change))).toMatchObject({ code })
})

test('a grant that was checked before is not believed beyond what was checked', () => {
  const keys = new Set<string>()
  const seen = { has: (key: string) => keys.has(key), add: (key: string) => void keys.add(key) }
  const grant = grantOf()
  const context = { ...contextOf(grant), seen }
  expect(checkGrant(grant, context)).toMatchObject({ verdict: 'accept' })
  expect(keys.size).toBe(1)
  expect(checkGrant(grant, context)).toMatchObject({ verdict: 'accept' })
  expect(checkGrant({ ...grant, checks: grant.checks.slice(1) }, context)).toMatchObject({ code: 'grant.unattested' })
  expect(checkGrant(grant, { ...context, nowS: 2_000n })).toMatchObject({ code: 'grant.unattested' })
  expect(checkGrant(grant, { ...context, audience: holder.address })).toMatchObject({ code: 'grant.audience' })
})
