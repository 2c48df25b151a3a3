/** A small world of health for tests: seven anchors that probe, one of them at a time easily made to lie. */
import type { Address } from '../primitives/bytes.ts'
import { nobleCrypto, nobleSigner, type Signer } from '../primitives/crypto.ts'
import { type Domain, digestOf, domainOf } from '../primitives/domain.ts'
import { bucketOf, NO_LATENCY } from './latency.ts'
import { ProbeSample, type SignedSample } from './messages.ts'
import { type HealthParameters, LOCAL_HEALTH } from './parameters.ts'
import type { SampleContext } from './sample.ts'

const { keccak } = nobleCrypto
export const WINDOW_MS = 5_000n
export const START = 1_700_000_000_000n
export const NODE: Address = `0x${'5e'.repeat(20)}`
export const HEALTH: HealthParameters = {
  ...LOCAL_HEALTH,
  objectives: { standard: { availability: 0.9, latencyMs: 512, stalenessMs: 3_000, failedCalls: 0.1 } },
}
export const OBJECTIVES = HEALTH.objectives.standard
export const DOMAIN: Domain = domainOf(
  { name: 'SmartLayer', version: '1', chainId: 1n, verifyingContract: `0x${'a0'.repeat(20)}` },
  keccak,
)
export const ANCHORS: readonly Signer[] = Array.from({ length: 7 }, (_, i) =>
  nobleSigner(`0x${(i + 1).toString(16).padStart(64, '0')}`),
)
export const QUORUM = 5

export const CONTEXT: SampleContext = {
  domain: DOMAIN,
  crypto: nobleCrypto,
  health: HEALTH,
  probers: { anchors: ANCHORS.map(({ address }) => address), quorum: QUORUM },
}

export type Seen = {
  readonly answered?: number
  readonly failed?: number
  readonly latencyMs?: number
  readonly stalenessMs?: number
}

/** What one prober says of a window: ten probes, all answered quickly unless it saw something else. */
export function sampleOf(
  prober: Address,
  start: bigint,
  { answered = 10, failed = 0, latencyMs = 20, stalenessMs = 0 }: Seen = {},
): ProbeSample {
  const latency = [...NO_LATENCY]
  latency[bucketOf(latencyMs)] = BigInt(answered)
  return {
    node: NODE,
    prober,
    start,
    lengthMs: WINDOW_MS,
    probes: 10n,
    answered: BigInt(answered),
    failed: BigInt(failed),
    stale: stalenessMs > 0 && answered > 0 ? 1n : 0n,
    stalenessMs: BigInt(stalenessMs),
    latency,
  }
}

export function signed(signer: Signer, sample: ProbeSample): SignedSample {
  return { sample, signature: signer.sign(digestOf(ProbeSample, sample, DOMAIN, keccak)) }
}

/** The window that starts so many windows after the first one. */
export function windowAt(index: number): bigint {
  return START + BigInt(index) * WINDOW_MS
}
