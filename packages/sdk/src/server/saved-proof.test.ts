import { nobleCrypto, nobleSigner } from '@smartlayer/protocol'
import { afterEach, beforeEach, expect, it } from 'vitest'
import {
  createIntegration,
  formatSavedProof,
  networkOf,
  parseSavedProof,
  type SavedProof,
  saveProof,
  verifySavedProof,
} from '../index.ts'
import { CONTRACT, FakeNetwork, keyOf, TOKEN } from './testing/fake-network.ts'

let net: FakeNetwork
let file: SavedProof

beforeEach(async () => {
  net = new FakeNetwork()
  await net.start()
  const options = { anchors: net.anchorUrls, trust: net.trust, signer: nobleSigner(keyOf(77)) }
  const { site, query } = await createIntegration(options)
  file = parseSavedProof(formatSavedProof(saveProof(site, await query({ token: TOKEN, method: 'status' }))))
})
afterEach(() => net.stop())

it('is verified offline, and says by whose members', () => {
  const trusted = verifySavedProof(file, nobleCrypto, networkOf(net.info, nobleCrypto))
  expect([trusted.ok, trusted.checks[0]?.detail]).toEqual([true, 'judged by the network that the verifier trusts'])
  expect(verifySavedProof(file, nobleCrypto).checks[0]?.detail).toBe('judged by the members that the file itself names')
})

it('fails with the reason when anything in it was changed', () => {
  const verdict = (changed: Partial<SavedProof>) => verifySavedProof({ ...file, ...changed }, nobleCrypto).code
  const { request, answer, placement, receivedAt } = file
  const forOther = { ...request, message: { ...request.message, audience: CONTRACT } } as SavedProof['request']
  expect(verdict({})).toBeUndefined()
  expect(verdict({ answer: { ...answer, result: '{}' } })).toBe('attestation.content')
  expect(verdict({ request: forOther })).toBe('request.signature')
  expect(verdict({ receivedAt: receivedAt + 400_000n })).toBe('answer.placement_ended')
  expect(verdict({ placement: { ...placement, token: TOKEN.replace(/7$/, '8') } })).toBe('request.signature')
  expect(verdict({ placement: net.placement({}, [0, 1]) })).toBe('election.votes')
})

it('is not believed by a verifier whose network has other members', () => {
  const others = net.info.members.filter(({ role }) => role === 'service')
  const trusted = networkOf({ ...net.info, members: others }, nobleCrypto)
  expect(verifySavedProof(file, nobleCrypto, trusted).ok).toBe(false)
})

it.each(['', '{}', '{"format":"other"}'])('is refused when it is no such file: %s', (text) => {
  expect(() => parseSavedProof(text)).toThrow(/expected/)
})
