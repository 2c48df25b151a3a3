/** Loaded scripts on one engine, bounded by bytes: the least recently used image goes first. */
import type { CallResult } from '../sandbox/call-result.ts'
import { Engine, type PreparedEngine } from '../sandbox/engine.ts'
import type { ScriptImage } from '../sandbox/image.ts'
import { EXECUTOR_LIMITS } from '../sandbox/limits.ts'

export class ScriptCache {
  readonly #engine: Engine
  readonly #images = new Map<string, ScriptImage>()
  #bytes = 0

  constructor(prepared: PreparedEngine) {
    this.#engine = new Engine(prepared)
  }

  load(scriptHash: string, code: string): CallResult {
    const booted = this.#engine.boot(code)
    if (booted.status !== 'ok') return booted
    this.#drop(scriptHash)
    this.#images.set(scriptHash, booted.image)
    this.#bytes += booted.image.byteLength
    for (const [oldest] of this.#images) {
      if (this.#bytes <= EXECUTOR_LIMITS.imageBytes || oldest === scriptHash) break
      this.#drop(oldest)
    }
    return { status: 'ok', output: '', gasUsed: booted.gasUsed }
  }

  /** Undefined when the script is not loaded (any more). */
  call(scriptHash: string, method: string, input: string, gas: bigint): CallResult | undefined {
    const image = this.#images.get(scriptHash)
    if (!image) return undefined
    this.#images.delete(scriptHash)
    this.#images.set(scriptHash, image)
    return this.#engine.call(image, method, input, gas)
  }

  dispose(): void {
    this.#engine.dispose()
  }

  #drop(scriptHash: string): void {
    this.#bytes -= this.#images.get(scriptHash)?.byteLength ?? 0
    this.#images.delete(scriptHash)
  }
}
