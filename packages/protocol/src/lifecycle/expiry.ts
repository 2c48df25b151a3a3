/** When an instance expires, by what its script declares, and for how long its last state is answered after it ended. */
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'

/** What a declaration may say: a time, an age since the first entry, or a member of the state that holds a time. All in ms. */
export type Expiry =
  | { readonly by: 'time'; readonly at: bigint }
  | { readonly by: 'age'; readonly afterMs: bigint }
  | { readonly by: 'state'; readonly member: string }

/** How an instance ended: nothing but reads of its last state follows. Times in ms, as decimal text. */
export type Ended = { readonly reason: 'expired' | 'retired'; readonly time: string }

/** The last state of an instance that ended is answered for so long. */
export const LAST_STATE_MS = 30n * 86_400_000n

type Aged = { readonly data: unknown; readonly since?: string | undefined }

/** When it is due; undefined when its script declares nothing, or its state does not say yet. */
export function dueTime({ data, since }: Aged, expiry: Expiry | undefined): bigint | undefined {
  switch (expiry?.by) {
    case 'time':
      return expiry.at
    case 'age':
      return since === undefined ? undefined : BigInt(since) + expiry.afterMs
    case 'state':
      return timeIn(data, expiry.member)
    case undefined:
      return undefined
  }
}

/** An anchor sees no state: it refuses alone what is wrong whatever the state says. */
export function mayBeDue(expiry: Expiry | undefined, time: bigint): Verdict<undefined> {
  if (!expiry) return reject('lifecycle.no_expiry')
  if (expiry.by === 'time' && time < expiry.at) return ignore('lifecycle.not_due', { due: expiry.at, time })
  return accept(undefined)
}

/** Until when the last state of an instance that ended is answered. */
export function answeredUntil({ time }: Ended): bigint {
  return BigInt(time) + LAST_STATE_MS
}

function timeIn(data: unknown, member: string): bigint | undefined {
  if (typeof data !== 'object' || data === null || !Object.hasOwn(data, member)) return undefined
  const value = (data as Readonly<Record<string, unknown>>)[member]
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : undefined
}
