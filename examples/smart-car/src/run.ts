/** Plays the scenes on a fresh network and counts what held. */
import { resetNetwork } from '@smartlayer/cli'
import { CarDemo } from './demo.ts'
import { SCENES, Stage } from './scenes.ts'

export type CarOptions = {
  readonly folder: string
  readonly portBase: number
  readonly progress: (line: string) => void
}
export type CarResult = { readonly passed: number; readonly failed: number }

export async function runCar({ folder, portBase, progress }: CarOptions): Promise<CarResult> {
  resetNetwork(folder)
  const demo = await CarDemo.start({ folder, portBase, progress: (step, detail) => progress(`· ${step}: ${detail}`) })
  let passed = 0
  let failed = 0
  try {
    const stage = new Stage(demo)
    for (const { name, play } of SCENES) {
      const began = performance.now()
      const end = await play(stage).then(
        (evidence) => ({ ok: true, told: JSON.stringify(evidence) }),
        (error: unknown) => ({ ok: false, told: error instanceof Error ? error.message : String(error) }),
      )
      if (end.ok) passed++
      else failed++
      progress(`${end.ok ? '✔' : '✖'} ${name} (${Math.round(performance.now() - began)} ms) — ${end.told}`)
    }
  } finally {
    await demo.stop()
  }
  return { passed, failed }
}
