/** One digest over all that the corpus does on this machine: answers, gas and memory images must be the same everywhere. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { attacks, PROBE_TOKEN, probes } from './corpus.ts'
import { Engine, prepareEngine } from './engine.ts'
import { GAS } from './limits.ts'

export async function corpusDigest(wasmPath: string): Promise<string> {
  const engine = new Engine(await prepareEngine(new Uint8Array(await readFile(wasmPath))))
  const booted = engine.boot(PROBE_TOKEN)
  if (booted.status !== 'ok') throw new Error(`the corpus did not load: ${booted.status}`)
  const hash = createHash('sha256').update(engine.restore(booted.image)).update(String(booted.gasUsed))
  for (const code of [...probes, ...attacks.map(([, , attack]) => attack)]) {
    const { gasUsed, ...result } = engine.call(booted.image, 'eval', JSON.stringify(code), GAS.hard)
    hash.update(JSON.stringify({ code, ...result, gasUsed: String(gasUsed) }))
  }
  return hash.digest('hex')
}
