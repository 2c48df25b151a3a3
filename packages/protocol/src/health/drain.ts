/** Planned maintenance: announced by the node itself before it begins, within a bound per epoch. */
import { digestOf } from '../primitives/domain.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import { Drain, type SignedDrain } from './messages.ts'
import { HEALTH_LIMITS, type HealthParameters } from './parameters.ts'
import type { SampleContext } from './sample.ts'

/** A node's word, and when this anchor first heard it: nothing that was over by then is excused. */
export type HeardDrain = { readonly signed: SignedDrain; readonly heard: bigint }

type DrainContext = Pick<SampleContext, 'domain' | 'crypto'> & {
  readonly health: Pick<HealthParameters, 'drainMs' | 'drainEpochMs'>
  readonly now: bigint
  readonly epsilonMs: bigint
}

/** The words that count after one more was heard; later words replace what is left of earlier ones. */
export function hearDrain(
  known: readonly HeardDrain[],
  signed: SignedDrain,
  context: DrainContext,
): Verdict<readonly HeardDrain[]> {
  const { drain, signature } = signed
  const { domain, crypto, health, now, epsilonMs } = context
  const last = known.at(-1)
  if (last && drain.issued <= last.signed.drain.issued) {
    return ignore('health.drain_old', { issued: drain.issued, known: last.signed.drain.issued })
  }
  const { drainMs, drainEpochMs } = health
  if (drain.issued > now + epsilonMs) return ignore('health.drain_time', { detail: 'it was issued in the future' })
  if (drain.from < drain.issued) return reject('health.drain_time', { detail: 'it begins before it was announced' })
  if (drain.until > drain.issued + BigInt(drainEpochMs)) {
    return reject('health.drain_time', { detail: 'it ends more than an epoch from now' })
  }
  if (crypto.recover(digestOf(Drain, drain, domain, crypto.keccak), signature) !== drain.node) {
    return reject('health.drain_time', { detail: 'the node did not sign it' })
  }
  const oldest = now - 2n * BigInt(drainEpochMs)
  const kept = known.filter(({ signed: each }) => each.drain.until > oldest)
  const next = [...kept, { signed, heard: now }]
  const askedMs = lengthOf(drain)
  const leftMs = drainMs - plannedIn(next.slice(0, -1), drain, drainEpochMs)
  const tooMany = next.length > HEALTH_LIMITS.drains
  if (askedMs > 0 && (askedMs > leftMs || tooMany)) {
    return reject('health.drain_budget', { askedMs, leftMs: tooMany ? 0 : Math.max(0, leftMs) })
  }
  return accept(next.slice(-HEALTH_LIMITS.drains))
}

/** The maintenance that is going on or ahead; undefined when there is none. */
export function drainAhead(known: readonly HeardDrain[], now: bigint): Drain | undefined {
  const drain = known.at(-1)?.signed.drain
  return drain && drain.until > now && drain.until > drain.from ? drain : undefined
}

/** True while maintenance goes on. */
export function isPlanned(known: readonly HeardDrain[], now: bigint): boolean {
  const drain = drainAhead(known, now)
  return drain !== undefined && drain.from <= now
}

/** True for a window that maintenance touches, when it was announced before the window ended. */
export function isExcused(known: readonly HeardDrain[], start: bigint, windowMs: number): boolean {
  const end = start + BigInt(windowMs)
  return effective(known).some(({ from, until, heard }) => from < end && until > start && heard < end)
}

/** Milliseconds of maintenance in the epoch of `drain.from` that earlier words used or keep. */
function plannedIn(known: readonly HeardDrain[], drain: Drain, drainEpochMs: number): number {
  const epoch = drain.from / BigInt(drainEpochMs)
  return effective(known, drain.issued)
    .filter(({ from }) => from / BigInt(drainEpochMs) === epoch)
    .reduce((sum, { from, until }) => sum + Number(until - from), 0)
}

/** What was maintenance in the end: each word holds until the next one was issued. */
function effective(
  known: readonly HeardDrain[],
  endedBy?: bigint,
): readonly { from: bigint; until: bigint; heard: bigint }[] {
  return known
    .map(({ signed: { drain }, heard }, i) => {
      const replaced = known[i + 1]?.signed.drain.issued ?? endedBy
      const until = replaced !== undefined && replaced < drain.until ? replaced : drain.until
      return { from: drain.from, until, heard }
    })
    .filter(({ from, until }) => until > from)
}

function lengthOf({ from, until }: Drain): number {
  return until > from ? Number(until - from) : 0
}
