/** When a replica may answer a read, how fresh the answer is, and how long it may be given again (docs/spec/reads.md). */
import type { Query } from '../access/messages.ts'
import { cursorKey } from '../journal/input.ts'
import { type Bytes32, ZERO_32 } from '../primitives/bytes.ts'
import { accept, ignore, type Verdict } from '../primitives/verdict.ts'
import type { InstanceState } from './instance.ts'

/** An answer for everybody is given again for at most this long. */
export const PUBLIC_REUSE_MS = 1_000n
/** Life of an answer for everybody, in seconds: nobody signed a nonce for it, so an old one must die soon. */
export const PUBLIC_LIFE_S = 5n

/** How fresh an answer must be, as its caller signed it. */
export type Freshness = Pick<Query, 'minN' | 'stream' | 'subset' | 'minSequence' | 'maxAgeMs' | 'linearizable'>

export const ANY_FRESHNESS: Freshness = {
  minN: 0n,
  stream: ZERO_32,
  subset: ZERO_32,
  minSequence: 0n,
  maxAgeMs: 0n,
  linearizable: false,
}

/** Where a replica stands. Times in milliseconds. */
export type ReadPosition = {
  readonly state: Pick<InstanceState, 'n' | 'cursors'>
  /** The end of the placement's lease, by the latest renewal. */
  readonly expires: bigint
  /** When its place was last known to be the newest. */
  readonly asOf: bigint
  /** True for the executor of the term while it holds its lease and has confirmed all that it committed. */
  readonly leads: boolean
}
export type ReadLimits = { readonly epsilonMs: bigint; readonly staleReadsMs: bigint }

/** Accepts with the mark that the answer must carry, or says what is missing: time may bring it. */
export function judgeRead(
  wanted: Freshness,
  { state, expires, asOf, leads }: ReadPosition,
  now: bigint,
  { epsilonMs, staleReadsMs }: ReadLimits,
): Verdict<{ readonly stale: boolean }> {
  const stale = now > expires + epsilonMs
  const mustBeInForce = wanted.linearizable || wanted.maxAgeMs > 0n
  if (stale && (mustBeInForce || now > expires + staleReadsMs))
    return ignore('query.not_serving', { reason: 'the lease ended' })
  if (wanted.linearizable && !leads)
    return ignore('query.not_linearizable', { reason: 'it does not lead, or has not confirmed all that it committed' })
  const n = BigInt(state.n)
  const sequence = BigInt(state.cursors[cursorKey(wanted.stream, wanted.subset)]?.sequence ?? 0)
  if (n < wanted.minN || sequence < wanted.minSequence)
    return ignore('query.behind', { n, minN: wanted.minN, sequence, minSequence: wanted.minSequence })
  return tooOld(wanted, asOf, now) ?? accept({ stale })
}

/** The age is that of the knowledge that nothing newer was committed, not that of the last change. */
export function tooOld({ maxAgeMs }: Pick<Freshness, 'maxAgeMs'>, asOf: bigint, now: bigint) {
  const ageMs = now > asOf ? now - asOf : 0n
  return maxAgeMs > 0n && ageMs > maxAgeMs ? ignore('query.too_old', { ageMs, maxAgeMs }) : undefined
}

/** Equal keys have equal results: it names all that a result is computed from, and who may see it (empty: everybody). */
export function resultKey({
  scriptHash,
  engine,
  instance,
  stateRoot,
  method,
  args,
  audience,
}: {
  readonly scriptHash: Bytes32
  readonly engine: Bytes32
  readonly instance: Bytes32
  readonly stateRoot: Bytes32
  readonly method: string
  readonly args: Bytes32
  readonly audience: string
}): string {
  return [scriptHash, engine, instance, stateRoot, args, audience, method].join('/')
}

/** What was attested for everybody is given again while it is young, from the same state, term and mark. */
export function mayReuse(
  made: { readonly at: bigint; readonly root: Bytes32; readonly term: bigint; readonly stale: boolean },
  present: { readonly now: bigint; readonly root: Bytes32; readonly term: bigint; readonly stale: boolean },
): boolean {
  const ageMs = present.now - made.at
  const sameBasis = made.root === present.root && made.term === present.term && made.stale === present.stale
  return sameBasis && ageMs >= 0n && ageMs <= PUBLIC_REUSE_MS
}

/**
 * When a replica last knew that its place was the newest: the time of the entry itself, or the latest moment at which f + 1
 * home anchors, so at least one honest one, knew of nothing after it.
 */
export function knownAsOf(
  confirmed: { readonly n: bigint; readonly time: bigint },
  said: Iterable<{ readonly n: bigint; readonly at: bigint }>,
  tolerated: number,
): bigint {
  const times = [...said].filter(({ n }) => n <= confirmed.n).map(({ at }) => at)
  const decisive = times.sort((a, b) => (a < b ? 1 : a > b ? -1 : 0))[tolerated] ?? 0n
  return decisive > confirmed.time ? decisive : confirmed.time
}
