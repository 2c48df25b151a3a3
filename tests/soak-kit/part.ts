/** A process of a soak: what it was told, its history, how it reaches the network, and when it is asked to end. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { fastCrypto } from '@smartlayer/node'
import { type Address, type Hex, SmartLayerError } from '@smartlayer/protocol'
import { connect, type SmartLayer } from '@smartlayer/sdk/server'
import { pause } from './chance.ts'
import { Recorder } from './recorder.ts'

export type Place = { readonly name: string; readonly api: string }

/** What every process of a soak is told; kept in a file. */
export type CommonPlan = {
  /** Where histories are. */
  readonly histories: string
  readonly anchors: readonly Place[]
  readonly services: readonly Place[]
  readonly chain: { readonly id: number; readonly rpcUrl: string; readonly registry: Address }
}

/** What the conductor says to its processes: end when you have come as far as this. */
export type Order = { readonly type: 'stop'; readonly heads: Readonly<Record<string, number>> }

export type Part<Plan extends CommonPlan, What extends { readonly kind: string }> = {
  readonly plan: Plan
  readonly name: string
  readonly life: number
  readonly recorder: Recorder<What>
  readonly stopped: AbortSignal
  /** Once it was told to end. */
  heads(): Readonly<Record<string, number>>
}

export function takePart<Plan extends CommonPlan, What extends { readonly kind: string }>(): Part<Plan, What> {
  const { values } = parseArgs({
    options: { plan: { type: 'string' }, name: { type: 'string' }, life: { type: 'string', default: '1' } },
  })
  const plan = JSON.parse(readFileSync(values.plan!, 'utf8')) as Plan
  const name = values.name!
  const life = Number(values.life)
  const stop = new AbortController()
  let heads: Readonly<Record<string, number>> = {}
  process.on('message', (order: Order | { readonly type: string }) => {
    if (!('heads' in order)) return // something that only some processes understand
    heads = order.heads
    stop.abort()
  })
  process.on('disconnect', () => process.exit(1)) // nobody waits for us any more
  const recorder = new Recorder<What>(plan.histories, name, life)
  return { plan, name, life, recorder, stopped: stop.signal, heads: () => heads }
}

/** Connects as soon as enough of the network is there. Each process asks the anchors in an order of its own. */
export async function connected(
  { plan, stopped }: { readonly plan: CommonPlan; readonly stopped: AbortSignal },
  key: Hex,
  first: number,
): Promise<SmartLayer> {
  const crypto = await fastCrypto()
  const apis = plan.anchors.map(({ api }) => api)
  const anchors = apis.map((_, i) => apis[(i + first) % apis.length]!)
  for (;;) {
    try {
      return await connect({ anchors, chain: plan.chain, key, crypto })
    } catch (error) {
      if (!(error instanceof SmartLayerError) || !error.retryable || stopped.aborted) throw error
      await pause(200)
    }
  }
}

export function codeOf(error: unknown): string {
  if (error instanceof SmartLayerError) return error.code
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
