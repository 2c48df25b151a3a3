/** Penalties: records that carry their evidence, so that every prober can judge them by itself before it signs. */
import type { Address, Bytes32, Hex } from '../primitives/bytes.ts'
import { digestOf } from '../primitives/domain.ts'
import { signersAmong } from '../primitives/quorum.ts'
import { accept, accepted, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import { missedObjectives } from './judge.ts'
import { combineSamples } from './measure.ts'
import { type CertifiedPenalty, EVIDENCE_LIMIT, PenaltyRecord, type SignedSample, sampleHash } from './messages.ts'
import { type HealthParameters, type Objectives, PENALTY_LIMIT_MS } from './parameters.ts'
import { checkSample, type SampleContext } from './sample.ts'

/** Missed windows that a penalty needs, and among how many: so many drain a node wherever it stood before. */
export const PENALTY_WINDOWS = 6
export const PENALTY_SPAN = 9
/** Beyond so many repetitions a penalty has its longest length in any case. */
const REPEAT_LIMIT = 32

export type PenaltyContext = SampleContext & {
  readonly objectives: Objectives
  /** Windows that began up to then were part of an earlier penalty. */
  readonly after: bigint
  /** Penalties of the node that this anchor knows and that still weigh. */
  readonly repeat: number
  /** Whether the node had planned maintenance in the window that starts then. */
  readonly planned: (start: bigint) => boolean
}

/** The penalty that these samples give, with those of them that it rests on; undefined when they give none. */
export function composePenalty(
  node: Address,
  samples: readonly SignedSample[],
  context: PenaltyContext,
): { readonly record: PenaltyRecord; readonly samples: readonly SignedSample[] } | undefined {
  const windows = missedWindows(samples, context).slice(-PENALTY_WINDOWS)
  const first = windows[0]
  const last = windows.at(-1)
  if (windows.length < PENALTY_WINDOWS || first === undefined || last === undefined) return undefined
  if (last - first >= spanMs(context.health)) return undefined
  const evidence = samples.filter(({ sample }) => windows.includes(sample.start))
  if (evidence.length > EVIDENCE_LIMIT) return undefined
  const { domain, crypto, health, repeat } = context
  const hashes = evidence.map(({ sample }) => sampleHash(sample, domain, crypto.keccak))
  const terms = termsOf(last, repeat, health)
  return { record: { node, first, last, ...terms, repeat: BigInt(repeat), samples: hashes }, samples: evidence }
}

/** A prober signs a penalty only when the samples that came with it give exactly this one. */
export function checkPenalty(
  { record, samples }: { readonly record: PenaltyRecord; readonly samples: readonly SignedSample[] },
  context: PenaltyContext,
): Verdict<PenaltyRecord> {
  const { domain, crypto, health } = context
  if (record.first <= context.after) return ignore('health.evidence', { detail: 'a known penalty covers its windows' })
  if (record.repeat > BigInt(context.repeat)) {
    return ignore('health.penalty_terms', { detail: `it is the ${record.repeat + 1n}th, ${context.repeat} are known` })
  }
  if (record.last < record.first || record.last - record.first >= spanMs(health)) {
    return reject('health.evidence', { detail: 'its windows lie too far apart' })
  }
  const foreign = samples.find(({ sample }) => sample.node !== record.node)
  const inside = ({ sample }: SignedSample) => sample.start >= record.first && sample.start <= record.last
  if (foreign || !samples.every(inside)) return reject('health.evidence', { detail: 'samples of something else' })
  const refused = samples.map((each) => checkSample(each, context)).find((each) => !accepted(each))
  if (refused && !accepted(refused)) return refused
  const hashes = samples.map(({ sample }) => sampleHash(sample, domain, crypto.keccak))
  if (!sameList(hashes, record.samples)) return reject('health.evidence', { detail: 'other samples than it names' })
  const windows = missedWindows(samples, context)
  if (windows.length < PENALTY_WINDOWS || windows[0] !== record.first || windows.at(-1) !== record.last) {
    const detail = `${windows.length} windows missed their objectives, ${PENALTY_WINDOWS} needed`
    return ignore('health.evidence', { detail })
  }
  const terms = termsOf(record.last, Number(record.repeat), health)
  if (record.from !== terms.from || record.until !== terms.until) {
    return reject('health.penalty_terms', { detail: `it should last until ${terms.until}` })
  }
  return accept(record)
}

/** A penalty counts with the signatures of a quorum of its node's probers. */
export function checkCertifiedPenalty(
  { record, signatures }: CertifiedPenalty,
  { domain, crypto, probers, health }: SampleContext,
): Verdict<PenaltyRecord> {
  const digest = digestOf(PenaltyRecord, record, domain, crypto.keccak)
  const got = signersAmong(probers.anchors, { digest, signatures }, crypto).length
  if (got < probers.quorum) return reject('health.signatures', { got, needed: probers.quorum })
  const longest = termsOf(record.last, REPEAT_LIMIT, health).until
  return record.until > longest ? reject('health.penalty_terms', { detail: 'it is longer than any' }) : accept(record)
}

/** Penalties that still weigh: over for less than the longest penalty. */
export function standingPenalties(penalties: readonly CertifiedPenalty[], now: bigint): readonly CertifiedPenalty[] {
  return penalties.filter(({ record }) => now < record.until + BigInt(PENALTY_LIMIT_MS))
}

/** The digest that probers sign. */
export function penaltyDigest(record: PenaltyRecord, { domain, crypto }: SampleContext): Uint8Array {
  return digestOf(PenaltyRecord, record, domain, crypto.keccak)
}

/** Adds one prober's signature; undefined when it is not by a prober. */
export function signerOfPenalty(record: PenaltyRecord, signature: Hex, context: SampleContext): Address | undefined {
  const signer = context.crypto.recover(penaltyDigest(record, context), signature)
  return signer && context.probers.anchors.includes(signer) ? signer : undefined
}

/** Starts of the windows that missed their objectives and count for a new penalty, in order. */
function missedWindows(samples: readonly SignedSample[], context: PenaltyContext): readonly bigint[] {
  const starts = [...new Set(samples.map(({ sample }) => sample.start))].sort((a, b) => (a < b ? -1 : 1))
  return starts.filter((start) => {
    if (start <= context.after || context.planned(start)) return false
    const spoken = samples.filter(({ sample }) => sample.start === start).map(({ sample }) => sample)
    const measure = combineSamples(spoken, context.probers.quorum)
    return measure !== undefined && missedObjectives(measure, context.objectives).length > 0
  })
}

function termsOf(
  last: bigint,
  repeat: number,
  { windowMs, penaltyMs }: HealthParameters,
): { from: bigint; until: bigint } {
  const lengthMs = Math.min(PENALTY_LIMIT_MS, penaltyMs * 2 ** Math.min(repeat, REPEAT_LIMIT))
  const from = last + BigInt(windowMs)
  return { from, until: from + BigInt(lengthMs) }
}

function spanMs({ windowMs }: HealthParameters): bigint {
  return BigInt(PENALTY_SPAN * windowMs)
}

function sameList(a: readonly Bytes32[], b: readonly Bytes32[]): boolean {
  return a.length === b.length && a.every((each, i) => each === b[i])
}
