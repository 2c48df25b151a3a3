/** When an attestation is believed: the verifier rules of docs/spec/attestation.md, each refusal with its own reason. */

import { SmartLayerError } from '../errors/smart-layer-error.ts'
import { type Address, type Bytes32, fromHex, toHex } from '../primitives/bytes.ts'
import type { Crypto } from '../primitives/crypto.ts'
import type { Domain } from '../primitives/domain.ts'
import { rootFromProof } from '../primitives/merkle.ts'
import { accept, ignore, type Refusal, reject, type Verdict } from '../primitives/verdict.ts'
import { type Attest, type Attestation, attestDigest, type SignedAttest, uidOf } from './envelope.ts'
import { dataOf, type EasSchema, type InputData, type OutputData, SLBatch, SLInput, SLOutput } from './schemas.ts'

declare const verified: unique symbol
/** An attestation whose signature (or proof and root) was checked; only `verifyAttestation` makes one. */
export type VerifiedAttestation = {
  readonly attestation: Attestation
  readonly uid: Bytes32
  readonly digest: Uint8Array
  readonly [verified]: true
}

/** Batch roots that were checked before, bounded; makes further leaves of a batch cheap. */
export type RootCache = { has(key: string): boolean; add(key: string): void }

export type VerifyOptions = { readonly domain: Domain; readonly crypto: Crypto; readonly roots?: RootCache }

/** Four static words as hex. */
const BATCH_DATA_LENGTH = 2 + 4 * 64
/** Clocks of signers may be ahead by this much, in seconds. */
export const CLOCK_TOLERANCE_S = 30n
/** Longest life of an answer, in seconds. */
export const ANSWER_LIFE_LIMIT_S = 300n
/** Longest life of an input, in seconds; 0 means that it does not end. */
export const INPUT_LIFE_LIMIT_S = 400n * 86_400n

/** A cache of at most `limit` roots; the oldest leaves first. */
export function rootCache(limit: number): RootCache {
  const keys = new Set<string>()
  return {
    has: (key) => keys.has(key),
    add(key) {
      keys.add(key)
      const [oldest] = keys
      if (keys.size > limit && oldest !== undefined) keys.delete(oldest)
    },
  }
}

/** Signature or inclusion: the attester said exactly this, in this domain. */
export function verifyAttestation(attestation: Attestation, options: VerifyOptions): Verdict<VerifiedAttestation> {
  const { domain, crypto } = options
  const { message, attester } = attestation
  const known = verifiedBefore.get(attestation)
  if (known?.domain === domain.separator) return accept(known.verified)
  if (message.version !== 2n) return reject('attestation.domain', { detail: `version ${message.version}` })
  const digest = attestDigest(message, domain, crypto.keccak)
  const refusal = attestation.batch
    ? notIncluded(digest, attester, attestation.batch, options)
    : notSigned(digest, attester, attestation.signature, crypto)
  if (refusal) return refusal
  const verified = { attestation, uid: uidOf(message, crypto.keccak), digest } as VerifiedAttestation
  verifiedBefore.set(attestation, { domain: domain.separator, verified })
  return accept(verified)
}

/** What held once holds as long as the value lives: several rules ask about the same one, and a signature is costly. */
const verifiedBefore = new WeakMap<Attestation, { readonly domain: Bytes32; readonly verified: VerifiedAttestation }>()

/** Time window: not from the future, not over, and not longer than its schema allows. */
export function checkWindow(
  { time, expirationTime }: Pick<Attest, 'time' | 'expirationTime'>,
  { nowS, lifeLimitS, mayStand }: { nowS: bigint; lifeLimitS: bigint; mayStand: boolean },
): Refusal | undefined {
  if (time > nowS + CLOCK_TOLERANCE_S) return ignore('attestation.not_yet_valid', { validFrom: time, now: nowS })
  if (expirationTime === 0n && mayStand) return undefined
  if (expirationTime <= nowS) return ignore('attestation.expired', { expired: expirationTime, now: nowS })
  const seconds = expirationTime - time
  return seconds > lifeLimitS ? reject('attestation.lifetime', { seconds, limit: lifeLimitS }) : undefined
}

/** An input of a script: by one of its issuers, for this context, now. The caller checks stream, order and body. */
export function verifyInput(
  attestation: Attestation,
  options: VerifyOptions & { readonly nowS: bigint; readonly issuers: readonly Address[]; readonly context: Bytes32 },
): Verdict<{ readonly verified: VerifiedAttestation; readonly data: InputData }> {
  const opened = open(attestation, SLInput, options)
  if (opened.verdict !== 'accept') return opened
  const { data } = opened.value
  const { nowS, issuers, context } = options
  if (!issuers.includes(attestation.attester)) {
    return reject('attestation.signer', { signer: attestation.attester, role: 'issuer of this input' })
  }
  if (data.context !== context) return reject('attestation.context', { expected: context, actual: data.context })
  const late = checkWindow(attestation.message, { nowS, lifeLimitS: INPUT_LIFE_LIMIT_S, mayStand: true })
  if (late) return late
  if (data.validFrom > nowS + CLOCK_TOLERANCE_S)
    return ignore('attestation.not_yet_valid', { validFrom: data.validFrom, now: nowS })
  return opened
}

/** An answer: by this node, for this audience, request, script, method and state, now. The caller checks the body. */
export function verifyAnswer(
  attestation: Attestation,
  options: VerifyOptions & {
    readonly nowS: bigint
    readonly signer: Address
    readonly audience: Bytes32
    readonly requestHash: Bytes32
    readonly context: Bytes32
  },
): Verdict<{ readonly verified: VerifiedAttestation; readonly data: OutputData }> {
  const opened = open(attestation, SLOutput, options)
  if (opened.verdict !== 'accept') return opened
  const { data } = opened.value
  const { nowS, signer, audience, requestHash, context } = options
  if (attestation.attester !== signer) {
    return reject('attestation.signer', { signer: attestation.attester, role: `answering node ${signer}` })
  }
  if (data.context !== context) return reject('attestation.context', { expected: context, actual: data.context })
  if (data.audience !== audience) return reject('attestation.audience', { expected: audience, actual: data.audience })
  if (data.request !== requestHash) return reject('attestation.request')
  const late = checkWindow(attestation.message, { nowS, lifeLimitS: ANSWER_LIFE_LIMIT_S, mayStand: false })
  return late ?? opened
}

function open<T>(
  attestation: Attestation,
  schema: EasSchema<T>,
  options: VerifyOptions,
): Verdict<{ readonly verified: VerifiedAttestation; readonly data: T }> {
  if (attestation.message.schema !== schema.uid(options.crypto.keccak)) {
    return reject('attestation.schema', { schema: attestation.message.schema })
  }
  const checked = verifyAttestation(attestation, options)
  if (checked.verdict !== 'accept') return checked
  try {
    return accept({ verified: checked.value, data: dataOf(schema, attestation.message) })
  } catch (error) {
    if (error instanceof SmartLayerError)
      return reject('message.malformed', { at: schema.name, expected: 'its static words' })
    throw error
  }
}

function notSigned(
  digest: Uint8Array,
  attester: Address,
  signature: `0x${string}`,
  { recover }: Crypto,
): Refusal | undefined {
  return recover(digest, signature) === attester ? undefined : reject('attestation.signature', { expected: attester })
}

/** The leaf is recomputed from the message, never taken from the peer. */
function notIncluded(
  digest: Uint8Array,
  attester: Address,
  { proof, root }: { proof: readonly Bytes32[]; root: SignedAttest },
  { domain, crypto, roots }: VerifyOptions,
): Refusal | undefined {
  if (root.message.schema !== SLBatch.uid(crypto.keccak) || root.message.version !== 2n) {
    return reject('attestation.schema', { schema: root.message.schema })
  }
  if (root.message.data.length !== BATCH_DATA_LENGTH) {
    return reject('message.malformed', { at: SLBatch.name, expected: 'its static words' })
  }
  const reached = toHex(rootFromProof(digest, proof.map(fromHex), crypto.keccak))
  if (root.message.data.slice(0, 66) !== reached) return reject('attestation.proof')
  const key = rootKey(root, attester, domain)
  if (roots?.has(key)) return undefined
  const refusal = notSigned(attestDigest(root.message, domain, crypto.keccak), attester, root.signature, crypto)
  if (!refusal) roots?.add(key)
  return refusal
}

/** All that was checked, as text: comparing it is cheaper than hashing the root again for every leaf. */
function rootKey({ message, signature }: SignedAttest, attester: Address, domain: Domain): string {
  return [domain.separator, attester, signature, ...Object.values(message)].join()
}
