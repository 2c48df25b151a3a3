/** Plays the story on a fresh network, then has the checker look at what is left of it. */
import { join } from 'node:path'
import { resetNetwork } from '@smartlayer/cli'
import { FlightDemo } from '../demo.ts'
import { BREAKS, type Break } from './broken.ts'
import { check } from './checker.ts'
import { SCENES } from './scenes.ts'
import { Stage } from './stage.ts'

export type SceneResult = {
  readonly name: string
  readonly ok: boolean
  readonly ms: number
  readonly evidence: unknown
}
export type StoryResult = {
  readonly passed: number
  readonly failed: number
  readonly readyMs: number
  readonly scenes: readonly SceneResult[]
}

export type StoryOptions = {
  readonly folder: string
  readonly portBase: number
  readonly broken?: Break | undefined
  /** Without the faults that the story injects between nodes otherwise. */
  readonly calm?: boolean | undefined
  readonly progress: (line: string) => void
}

/** What happens to messages between nodes during the whole story. */
export const WEATHER = { loss: 0.2, jitterMs: 50 } as const

/** Short enough to see some of them go by, long enough for a block to draw the next one and become final. */
const EPOCHS = { lengthS: 60n, closingS: 24n }
/** Each epoch draws half of the homes anew. */
const HOMES = { shardCount: 64, rotation: 2 }

/** `passed` and `failed` count scenes and findings of the checker alike. */
export async function runStory({ folder, portBase, broken, calm, progress }: StoryOptions): Promise<StoryResult> {
  resetNetwork(folder)
  const started = performance.now()
  const patches = broken ? BREAKS[broken] : []
  const demo = await FlightDemo.start({
    folder,
    portBase,
    patches,
    epochs: EPOCHS,
    homes: HOMES,
    faults: calm ? undefined : WEATHER,
    progress: (step, detail) => progress(`· ${step}: ${detail}`),
  })
  progress(
    calm
      ? '· weather: calm'
      : `· weather: ${100 * WEATHER.loss} % of all messages between nodes are lost, the rest comes up to ${WEATHER.jitterMs} ms later`,
  )
  const readyMs = Math.round(performance.now() - started)
  const results: SceneResult[] = []
  const note = (result: SceneResult) => {
    results.push(result)
    progress(
      `${result.ok ? '✔' : '✖'} ${result.name} (${result.ms} ms)${result.ok ? '' : ` — ${JSON.stringify(result.evidence)}`}`,
    )
  }
  try {
    const stage = new Stage(demo)
    for (const { name, play } of SCENES) {
      const began = performance.now()
      const played = await play(stage).then(
        (evidence) => ({ ok: true, evidence }),
        (error: unknown) => ({
          ok: false,
          evidence: { error: error instanceof Error ? error.message : String(error) },
        }),
      )
      note({ name, ...played, ms: Math.round(performance.now() - began) })
    }
    const { layout, chain, file } = demo.network
    const apis = layout.nodes.map(({ api }) => api)
    const input = {
      apis,
      chainUrl: chain.url,
      registry: file.contracts.nodeRegistry,
      hotelDatabase: join(layout.folder, 'hotel.db'),
    }
    for (const { name, ok, detail } of await check(input))
      note({ name: `checker: ${name}`, ok, ms: 0, evidence: { detail } })
  } finally {
    await demo.stop()
  }
  const passed = results.filter(({ ok }) => ok).length
  return { passed, failed: results.length - passed, readyMs, scenes: results }
}
