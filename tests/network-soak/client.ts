/** What the processes of the soak share: what they are told, and what they call things. */
import { type Address, type Hex, isSmartLayerError, SmartLayerError } from '@smartlayer/protocol'
import type { SmartLayer } from '@smartlayer/sdk/server'
import { type CommonPlan, codeOf, type Part as PartOf } from '../soak-kit/part.ts'
import type { Recorder } from '../soak-kit/recorder.ts'
import type { Shown, What } from './history.ts'

export const LANE = 'facts'
export const ALL = 'all'
export const SCOPE = 'soak.sum:write'

export type PlannedToken = {
  /** Its number on the contract, as text. */
  readonly name: string
  /** CAIP-19 id. */
  readonly token: string
  readonly instance: Hex
}

/** What every process of the soak is told; kept in a file. */
export type Plan = CommonPlan & {
  readonly contract: Address
  readonly tokens: readonly PlannedToken[]
  readonly stream: Hex
  readonly outboxFile: string
  /** Keys of the clients, by their names; `holder` holds all tokens. */
  readonly keys: Readonly<Record<string, Hex>>
  readonly ports: Readonly<Record<'bank' | 'phone', number>>
  readonly seed: number
}

export type Part = PartOf<Plan, What>

/** Key of the subset that holds the facts of a topic. */
export function subsetKey(topic: string): string {
  return topic === ALL ? ALL : `own/${topic}`
}

export type Asked = {
  readonly how: 'plain' | 'public' | 'fresh' | 'linearizable'
  readonly minN: number
  readonly totalMs?: number
}

/** The state of a token by a verified answer. */
export async function askState({ token: id }: PlannedToken, smartLayer: SmartLayer, { how, minN, totalMs }: Asked) {
  const token = smartLayer.token(id)
  const rest = { minN: BigInt(minN), ...(totalMs ? { totalMs } : {}) }
  switch (how) {
    case 'public':
      return token.callPublic<Shown>('state', null, rest)
    case 'fresh':
      return token.call<Shown>('state', null, { ...rest, maxAgeMs: 5_000 })
    case 'linearizable':
      return token.call<Shown>('state', null, { ...rest, linearizable: true })
    case 'plain':
      return token.call<Shown>('state', null, rest)
  }
}

/** The network may be away; what is refused for another reason must not happen to an honest client. */
export function noteRefusal(recorder: Recorder<What>, who: string, error: unknown): void {
  const isExcused = isSmartLayerError(error) && (error.kind === 'unavailable' || error.retryable)
  if (isExcused) return
  const detail = error instanceof SmartLayerError ? `${codeOf(error)}: ${error.message}` : String(error)
  recorder.write(0, { kind: 'info', f: 'wrong', detail: `${who} was refused: ${detail}` })
}
