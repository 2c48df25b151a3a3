/** When a sample counts: a whole window that is over, counts that fit each other, one per prober, node and window. */
import type { Address } from '../primitives/bytes.ts'
import type { Crypto } from '../primitives/crypto.ts'
import { type Domain, digestOf } from '../primitives/domain.ts'
import { accept, ignore, type Refusal, reject, type Verdict } from '../primitives/verdict.ts'
import { LATENCY_BUCKETS } from './latency.ts'
import { ProbeSample, type SampleConflict, type SignedSample } from './messages.ts'
import { HEALTH_LIMITS, type HealthParameters } from './parameters.ts'
import type { Probers } from './probers.ts'

export type SampleContext = {
  readonly domain: Domain
  readonly crypto: Crypto
  readonly health: HealthParameters
  /** The probers of the sample's node. */
  readonly probers: Probers
}

/** Form, counts and signature: what holds of a sample at any time. */
export function checkSample({ sample, signature }: SignedSample, context: SampleContext): Verdict<ProbeSample> {
  const { node, prober, start, lengthMs } = sample
  if (!context.probers.anchors.includes(prober)) return reject('health.not_prober', { prober, node })
  const windowMs = BigInt(context.health.windowMs)
  if (lengthMs !== windowMs || start % windowMs !== 0n) {
    return reject('health.window', { start, detail: `windows start at whole multiples of ${windowMs} ms` })
  }
  const wrong = contradiction(sample)
  if (wrong) return wrong
  const { keccak, recover } = context.crypto
  if (recover(digestOf(ProbeSample, sample, context.domain, keccak), signature) !== prober) {
    return reject('health.not_prober', { prober, node })
  }
  return accept(sample)
}

/** A sample of a window that is not over, or long over, is not taken into the ledger. */
export function checkTimely(
  { start, lengthMs }: Pick<ProbeSample, 'start' | 'lengthMs'>,
  { now, epsilonMs }: { readonly now: bigint; readonly epsilonMs: bigint },
): Refusal | undefined {
  if (start + lengthMs > now + epsilonMs) return ignore('health.window', { start, detail: 'it is not over yet' })
  const oldest = now - BigInt(HEALTH_LIMITS.lateWindows + 1) * lengthMs
  return start < oldest ? ignore('health.window', { start, detail: 'it is long over' }) : undefined
}

/** Compares a checked sample with the one that is known of the same prober, node and window. */
export function compareSamples(known: SignedSample | undefined, next: SignedSample): Verdict<SignedSample> {
  if (!known) return accept(next)
  const { prober, start } = next.sample
  return sameSample(known.sample, next.sample) ? ignore('health.known') : reject('health.conflict', { prober, start })
}

/** A conflict proves itself: both samples hold, for one prober, node and window, and differ. */
export function checkConflict({ first, second }: SampleConflict, context: SampleContext): Verdict<Address> {
  for (const each of [first, second]) {
    const checked = checkSample(each, context)
    if (checked.verdict !== 'accept') return checked
  }
  const [a, b] = [first.sample, second.sample]
  const samePlace = a.prober === b.prober && a.node === b.node && a.start === b.start
  if (!samePlace || sameSample(a, b))
    return reject('health.evidence', { detail: 'the samples do not contradict each other' })
  return accept(a.prober)
}

function sameSample(a: ProbeSample, b: ProbeSample): boolean {
  return JSON.stringify(ProbeSample.toJson(a)) === JSON.stringify(ProbeSample.toJson(b))
}

function contradiction({ probes, answered, failed, stale, latency }: ProbeSample): Refusal | undefined {
  const no = (detail: string) => reject('health.counts', { detail })
  if (answered + failed > probes) return no('more ends than probes')
  if (stale > answered) return no('more stale answers than answers')
  if (latency.length !== LATENCY_BUCKETS) return no(`latency has ${latency.length} buckets, ${LATENCY_BUCKETS} wanted`)
  return latency.reduce((sum, count) => sum + count, 0n) === answered ? undefined : no('an answer without its latency')
}
