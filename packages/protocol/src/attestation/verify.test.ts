import { describe, expect, it } from 'vitest'
import { fromHex, type Hex, toHex, uintWord, ZERO_32 } from '../primitives/bytes.ts'
import { type Crypto, keccakText, nobleCrypto, nobleSigner } from '../primitives/crypto.ts'
import type { Verdict } from '../primitives/verdict.ts'
import { attestBatch, type BatchItem } from './batch.ts'
import { type Attestation, easDomain, uidOf } from './envelope.ts'
import { type InputData, type OutputData, SLBatch, SLInput, SLOutput } from './schemas.ts'
import { rootCache, verifyAnswer, verifyAttestation, verifyInput } from './verify.ts'

const crypto = nobleCrypto
const { keccak } = crypto
const NOW = 1_790_000_000n
const EAS: Hex = '0x4200000000000000000000000000000000000021'
const domain = easDomain({ chainId: 8453n, eas: EAS }, keccak)
const signer = nobleSigner(`0x${'11'.repeat(32)}`)
const stranger = nobleSigner(`0x${'22'.repeat(32)}`)
const CONTEXT = keccakText(keccak, 'context')
const AUDIENCE = keccakText(keccak, 'audience')
const REQUEST = keccakText(keccak, 'request')
const OTHER = keccakText(keccak, 'another')

const output: OutputData = {
  ...{ token: ZERO_32, stream: ZERO_32, sequence: 1n, result: ZERO_32, evidence: ZERO_32 },
  ...{ audience: AUDIENCE, request: REQUEST, context: CONTEXT },
}
const input: InputData = {
  ...{ token: ZERO_32, stream: ZERO_32, epoch: 1n, sequence: 1n, subset: ZERO_32, subSequence: 1n },
  ...{ subPrevious: ZERO_32, context: CONTEXT, contentHash: ZERO_32, kind: 0n, validFrom: 0n, origin: ZERO_32 },
}
const about = { recipient: EAS, time: NOW, expirationTime: NOW + 300n, salt: ZERO_32 }
const signing = { signer, domain, keccak, time: NOW, firstSequence: 1n, salt: ZERO_32 }

function answer(change: Partial<OutputData> = {}, life: Partial<typeof about> = {}): Attestation {
  return attestBatch([{ schema: SLOutput, data: { ...output, ...change }, ...about, ...life }], signing)[0]!
}

function fact(change: Partial<InputData> = {}, life: Partial<typeof about> = {}): Attestation {
  return attestBatch([{ schema: SLInput, data: { ...input, ...change }, ...about, ...life }], signing)[0]!
}

function batch(size: number): Attestation[] {
  const items = Array.from(
    { length: size },
    (_, n): BatchItem => ({ schema: SLOutput, data: output, ...about, salt: toHex(uintWord(BigInt(n))) }),
  )
  return attestBatch(items, signing)
}

function codeOf(verdict: Verdict<unknown>): string {
  return verdict.verdict === 'accept' ? 'accept' : `${verdict.verdict} ${verdict.code}`
}

function checked(attestation: Attestation, options = { domain, crypto }): string {
  return codeOf(verifyAttestation(attestation, options))
}

describe('an attestation signed alone', () => {
  const single = answer()

  it('is accepted with its UID', () => {
    const verdict = verifyAttestation(single, { domain, crypto })
    expect(verdict).toMatchObject({ verdict: 'accept', value: { uid: uidOf(single.message, keccak) } })
  })

  it('is refused when any field changes', () => {
    const changes = {
      ...{ schema: OTHER, recipient: stranger.address, time: NOW + 1n, expirationTime: NOW + 301n },
      ...{ revocable: false, refUID: OTHER, data: '0x' as Hex, salt: OTHER },
    }
    for (const [name, value] of Object.entries(changes)) {
      const message = { ...single.message, [name]: value }
      expect(checked({ ...single, message } as Attestation), name).toBe('reject attestation.signature')
    }
    const message = { ...single.message, version: 1n }
    expect(checked({ ...single, message } as Attestation)).toBe('reject attestation.domain')
  })

  it('is refused in the name of somebody else, and in another domain', () => {
    expect(checked({ ...single, attester: stranger.address })).toBe('reject attestation.signature')
    for (const other of [
      { chainId: 1n, eas: EAS },
      { chainId: 8453n, eas: stranger.address },
      { chainId: 8453n, eas: EAS, version: '1.0.0' },
    ]) {
      expect(checked(single, { domain: easDomain(other, keccak), crypto })).toBe('reject attestation.signature')
    }
  })
})

describe('a batch', () => {
  it.each([1, 2, 3, 5, 16, 33])('of %i: every leaf is accepted', (size) => {
    for (const leaf of batch(size)) expect(checked(leaf)).toBe('accept')
  })

  it('of one is a plain signature', () => {
    expect(batch(1)[0]!.batch).toBeUndefined()
  })

  it('checks the signature of its root once', () => {
    let recovered = 0
    const counting: Crypto = {
      keccak,
      recover(digest, signature) {
        recovered++
        return crypto.recover(digest, signature)
      },
    }
    const roots = rootCache(2)
    for (const leaf of batch(8)) verifyAttestation(leaf, { domain, crypto: counting, roots })
    expect(recovered).toBe(1)
  })

  it('refuses what its root does not cover, also when the root is known', () => {
    const [leaf, other] = batch(4) as [Attestation, Attestation]
    const roots = rootCache(2)
    const verdict = (a: unknown) => codeOf(verifyAttestation(a as Attestation, { domain, crypto, roots }))
    expect(verdict(leaf)).toBe('accept')
    const { root, proof } = leaf.batch!
    expect(verdict({ ...leaf, message: { ...leaf.message, salt: OTHER } })).toBe('reject attestation.proof')
    expect(verdict({ ...leaf, batch: other.batch })).toBe('reject attestation.proof')
    expect(verdict({ ...leaf, batch: { root, proof: proof.slice(1) } })).toBe('reject attestation.proof')
    expect(verdict({ ...leaf, attester: stranger.address })).toBe('reject attestation.signature')
    const later = { ...root.message, time: NOW + 1n }
    expect(verdict({ ...leaf, batch: { proof, root: { ...root, message: later } } })).toBe(
      'reject attestation.signature',
    )
    const foreign = { ...root, signature: stranger.sign(fromHex(OTHER)) }
    expect(verdict({ ...leaf, batch: { proof, root: foreign } })).toBe('reject attestation.signature')
  })

  it('refuses a root that is no SLBatch', () => {
    const [leaf] = batch(2) as [Attestation]
    const { root, proof } = leaf.batch!
    const message = { ...root.message, schema: SLOutput.uid(keccak) }
    expect(checked({ ...leaf, batch: { proof, root: { ...root, message } } } as Attestation)).toBe(
      'reject attestation.schema',
    )
    const longer = { ...root.message, data: `${root.message.data}00` as Hex }
    expect(checked({ ...leaf, batch: { proof, root: { ...root, message: longer } } } as Attestation)).toBe(
      'reject message.malformed',
    )
  })
})

it('forgets the oldest root beyond its limit', () => {
  const roots = rootCache(2)
  for (const key of ['a', 'b', 'c']) roots.add(key)
  expect(['a', 'b', 'c'].map(roots.has)).toEqual([false, true, true])
})

describe('an answer', () => {
  const expected = { domain, crypto, nowS: NOW, signer: signer.address }
  const mine = { ...expected, audience: AUDIENCE, requestHash: REQUEST, context: CONTEXT }

  it('counts for its audience, request and context', () => {
    expect(verifyAnswer(answer(), mine)).toMatchObject({ verdict: 'accept', value: { data: output } })
  })

  it.each([
    ['for another audience', answer({ audience: OTHER }), 'reject attestation.audience'],
    ['to another request', answer({ request: OTHER }), 'reject attestation.request'],
    ['of another state or script', answer({ context: OTHER }), 'reject attestation.context'],
    ['from the future', answer({}, { time: NOW + 31n }), 'ignore attestation.not_yet_valid'],
    ['that is over', answer({}, { time: NOW - 300n, expirationTime: NOW }), 'ignore attestation.expired'],
    ['that would stand for ever', answer({}, { expirationTime: 0n }), 'ignore attestation.expired'],
    ['that lives 301 s', answer({}, { expirationTime: NOW + 301n }), 'reject attestation.lifetime'],
    ['under another schema', fact(), 'reject attestation.schema'],
  ])('does not count: %s', (_, attestation, code) => {
    expect(codeOf(verifyAnswer(attestation, mine))).toBe(code)
  })

  it('does not count from another node', () => {
    expect(codeOf(verifyAnswer(answer(), { ...mine, signer: stranger.address }))).toBe('reject attestation.signer')
  })
})

describe('an input', () => {
  const mine = { domain, crypto, nowS: NOW, issuers: [signer.address], context: CONTEXT }

  it('counts from its issuer, and may stand for ever', () => {
    expect(verifyInput(fact(), mine)).toMatchObject({ verdict: 'accept', value: { data: input } })
    expect(codeOf(verifyInput(fact({}, { expirationTime: 0n }), mine))).toBe('accept')
  })

  it.each([
    ['for another context', fact({ context: OTHER }), 'reject attestation.context'],
    ['that is valid later', fact({ validFrom: NOW + 31n }), 'ignore attestation.not_yet_valid'],
    ['that is over', fact({}, { expirationTime: NOW }), 'ignore attestation.expired'],
    ['under another schema', answer(), 'reject attestation.schema'],
  ])('does not count: %s', (_, attestation, code) => {
    expect(codeOf(verifyInput(attestation, mine))).toBe(code)
  })

  it('does not count from a stranger', () => {
    expect(codeOf(verifyInput(fact(), { ...mine, issuers: [stranger.address] }))).toBe('reject attestation.signer')
  })

  it('does not count when its data are not the words of its schema', () => {
    const short = { ...SLInput, encodeHex: () => '0x00' as Hex }
    const [broken] = attestBatch([{ schema: short, data: input, ...about }], signing)
    expect(codeOf(verifyInput(broken!, mine))).toBe('reject message.malformed')
  })
})

it('names the leaves of a batch by number', () => {
  const [leaf] = batch(4) as [Attestation]
  expect(SLBatch.decode(fromHex(leaf.batch!.root.message.data))).toMatchObject({ firstSequence: 1n, count: 4n })
})
