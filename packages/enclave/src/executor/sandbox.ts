/** The sandbox as its users see it, and the one that runs in their own process. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { SmartLayerError } from '@smartlayer/protocol'
import type { CallResult } from '../sandbox/call-result.ts'
import { prepareEngine } from '../sandbox/engine.ts'
import { ENGINE_LIMITS } from '../sandbox/limits.ts'
import { ScriptCache } from './script-cache.ts'

export type Sandbox = {
  /** Makes a script callable by its hash. Throws `sandbox.*` when it does not load. */
  load(scriptHash: string, code: string): Promise<void>
  /**
   * Calls `smartToken.call(method, input)` with at most `gas`. Throws `message.too_large`, `script.not_found`, `queue.full`, and
   * `sandbox.unavailable` for faults, which are no verdict.
   */
  call(scriptHash: string, method: string, input: string, gas: bigint): Promise<CallResult>
  [Symbol.asyncDispose](): Promise<void>
}

/** Where npm put the engine file. */
export function engineFile(): string {
  return createRequire(import.meta.url).resolve('quickjs-wasi/quickjs.wasm')
}

/** Same engine, same answers, one wall less: for tests, tools and simulations. */
export async function inProcessSandbox(wasmPath = engineFile()): Promise<Sandbox> {
  const scripts = new ScriptCache(await prepareEngine(new Uint8Array(await readFile(wasmPath))))
  return {
    async load(scriptHash, code) {
      expectSmallScript(code)
      expectLoaded(scripts.load(scriptHash, code))
    },
    async call(scriptHash, method, input, gas) {
      expectSmall(method, input)
      const result = scripts.call(scriptHash, method, input, gas)
      if (!result) throw SmartLayerError.of('script.not_found', { what: scriptHash })
      return result
    },
    [Symbol.asyncDispose]: async () => scripts.dispose(),
  }
}

/** Throws `message.too_large` for a method name or an input beyond the engine's limits. */
export function expectSmall(method: string, input: string): void {
  const { inputBytes, methodBytes } = ENGINE_LIMITS
  if (Buffer.byteLength(method) > methodBytes) {
    throw SmartLayerError.of('message.too_large', { what: 'the name of the method', limit: methodBytes })
  }
  if (Buffer.byteLength(input) > inputBytes) {
    throw SmartLayerError.of('message.too_large', { what: 'the input of the call', limit: inputBytes })
  }
}

/** Throws `script.too_large`. */
export function expectSmallScript(code: string): void {
  const bytes = Buffer.byteLength(code)
  const limit = ENGINE_LIMITS.scriptBytes
  if (bytes > limit) throw SmartLayerError.of('script.too_large', { bytes, limit })
}

/** Throws the refusal of a script that did not load. */
export function expectLoaded(result: CallResult): void {
  switch (result.status) {
    case 'ok':
      return
    case 'threw':
      throw SmartLayerError.of('sandbox.threw', { message: result.message })
    case 'outOfGas':
      throw SmartLayerError.of('sandbox.out_of_gas', { limit: Number(result.gasUsed) })
    case 'tooDeep':
      throw SmartLayerError.of('sandbox.too_deep')
    case 'outOfMemory':
      throw SmartLayerError.of('sandbox.out_of_memory')
  }
}
