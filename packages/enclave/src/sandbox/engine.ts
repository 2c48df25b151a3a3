/** The engine that runs token scripts: loads a script into an image once, and gives every call a clean copy of it. */
import type { CallFailure, CallResult } from './call-result.ts'
import { Guest, GuestOutOfMemory, type Pointer } from './guest.ts'
import { type BaseImage, restoreBase, restoreRuns, type ScriptImage, takeBaseImage, takeRuns } from './image.ts'
import { ENGINE_LIMITS, GAS } from './limits.ts'
import { meter } from './meter.ts'
import { PRELUDE, TOKEN_CALL, TOKEN_GLOBAL } from './prelude.ts'

/** SHA-256 of `quickjs.wasm` in quickjs-wasi 3.6.2, the only file that `prepareEngine` accepts. */
export const ORIGINAL_SHA256 = 'd4c9375f2b1ca4dc95f72c8aa2982a7a9951ac8011490d79c6582df732b4bbd9'

/** SHA-256 of that file after the metering pass: part of each token's manifest, so that semantics never drift under it. */
export const ENGINE_ID = '0x13ea1681b638d8e2a013af021177e7581302c0fd365dc89ab5ec96301f81f356'

export type PreparedEngine = { readonly module: WebAssembly.Module; readonly engineId: `0x${string}` }

/** A script that was loaded, or how loading it failed. */
export type BootResult = { readonly status: 'ok'; readonly image: ScriptImage; readonly gasUsed: bigint } | CallFailure

/** Meters and compiles the engine file. Throws when the file, or what the pass makes of it, is not the pinned one. */
export async function prepareEngine(wasm: Uint8Array<ArrayBuffer>): Promise<PreparedEngine> {
  expectHash('engine file', await sha256(wasm), ORIGINAL_SHA256)
  const { memoryPages, depthUnits } = ENGINE_LIMITS
  const metered = meter(wasm, { memoryPages, depthUnits }).bytes
  const hash = await sha256(metered)
  expectHash('metered engine', hash, ENGINE_ID.slice(2))
  return { module: new WebAssembly.Module(metered), engineId: `0x${hash}` }
}

/**
 * One live guest and its base image. Everything is synchronous; a call never leaves a trace for the next one.
 *
 * A script is a classic script that sets `globalThis.smartToken = { call(method, input) { … } }`; `call` gets the method's
 * name and a JSON text, and returns a JSON text.
 *
 * Throws only for faults of the host (the native stack overflowed, the engine was disposed): they are no verdict.
 */
export class Engine {
  readonly #module: WebAssembly.Module
  readonly #base: BaseImage
  #guest: Guest | undefined

  constructor({ module }: Pick<PreparedEngine, 'module'>) {
    this.#module = module
    this.#guest = new Guest(module)
    this.#guest.initialize()
    const prelude = this.#guest.write(PRELUDE)
    const result = evaluate(this.#guest, prelude)
    if (this.#guest.exports.qjs_is_exception(result)) throw new Error('the prelude failed')
    this.#guest.reserve(ENGINE_LIMITS.baseHeadroomBytes)
    this.#base = takeBaseImage(this.#guest)
  }

  /** Loads a script (at most `ENGINE_LIMITS.scriptBytes` of UTF-8) under `GAS.load`. */
  boot(script: string): BootResult {
    const guest = this.#cleanGuest(this.#base.memoryBytes)
    let token: Pointer = 0
    let callFunction: Pointer = 0
    const outcome = this.#metered(guest, GAS.load, () => {
      const value = guest.present(evaluate(guest, guest.write(script)))
      if (guest.exports.qjs_is_exception(value)) return thrown(guest)
      drainJobs(guest)
      token = guest.property(guest.present(guest.exports.qjs_get_global()), TOKEN_GLOBAL)
      if (guest.exports.qjs_is_exception(token)) return thrown(guest)
      callFunction = guest.property(token, TOKEN_CALL)
      if (guest.exports.qjs_is_exception(callFunction)) return thrown(guest)
      if (!guest.exports.qjs_is_function(callFunction)) {
        return { threw: `the script must set globalThis.${TOKEN_GLOBAL} = { ${TOKEN_CALL}(method, input) }` }
      }
      guest.reserve(ENGINE_LIMITS.headroomBytes)
      return { output: '' }
    })
    if (outcome.status !== 'ok') return outcome
    const runs = takeRuns(guest, this.#base)
    const byteLength = runs.reduce((sum, run) => sum + run.bytes.length, 0)
    const image = { runs, byteLength, memoryBytes: guest.memory.length, token, callFunction }
    return { status: 'ok', image, gasUsed: outcome.gasUsed }
  }

  /** Makes the guest's memory exactly that of the image. `call` does it by itself; this is for checks. */
  restore(image: ScriptImage): Uint8Array {
    const guest = this.#cleanGuest(image.memoryBytes)
    restoreRuns(guest, image)
    return guest.memory
  }

  /** Runs one method with `gas` (at most `GAS.hard`) in a clean copy of the image. */
  call(image: ScriptImage, method: string, input: string, gas: bigint): CallResult {
    const guest = this.#cleanGuest(image.memoryBytes)
    restoreRuns(guest, image)
    return this.#metered(guest, gas < GAS.hard ? gas : GAS.hard, () => {
      const values = guest.writeWords([guest.newString(method), guest.newString(input)])
      const value = guest.present(guest.exports.qjs_call(image.callFunction, image.token, 2, values))
      if (guest.exports.qjs_is_exception(value)) return thrown(guest)
      if (!guest.exports.qjs_is_string(value)) return { threw: `${TOKEN_GLOBAL}.${TOKEN_CALL} must return a string` }
      drainJobs(guest)
      const result = guest.text(value, ENGINE_LIMITS.outputBytes)
      return 'text' in result ? { output: result.text } : { threw: `the result is ${result.problem}` }
    })
  }

  dispose(): void {
    this.#guest = undefined
  }

  /** A guest in the state of the base image with exactly this much memory; one that grew further is replaced. */
  #cleanGuest(memoryBytes: number): Guest {
    if (!this.#guest) throw new Error('the engine is disposed')
    if (this.#guest.memory.length > memoryBytes) this.#guest = new Guest(this.#module)
    restoreBase(this.#guest, this.#base, memoryBytes)
    return this.#guest
  }

  #metered(guest: Guest, gas: bigint, run: () => { output: string } | { threw: string }): CallResult {
    guest.exports.gas.value = gas
    const gasUsed = () => (guest.exports.gas.value < 0n ? gas : gas - guest.exports.gas.value)
    try {
      const outcome = run()
      if ('output' in outcome) return { status: 'ok', output: outcome.output, gasUsed: gasUsed() }
      return failureOf(outcome.threw, gasUsed())
    } catch (error) {
      if (guest.exports.gas.value < 0n) return { status: 'outOfGas', gasUsed: gas }
      if (guest.exports.depth.value > ENGINE_LIMITS.depthUnits) return { status: 'tooDeep', gasUsed: gasUsed() }
      if (error instanceof GuestOutOfMemory) return { status: 'outOfMemory', gasUsed: gasUsed() }
      if (error instanceof WebAssembly.RuntimeError) {
        return { status: 'threw', message: 'the engine stopped', gasUsed: gasUsed() }
      }
      this.#guest = new Guest(this.#module)
      throw error // the host's own stack or memory: depends on the machine, so it decides nothing
    }
  }
}

/** QuickJS reports its own limits as exceptions; a script that makes them up itself only blames itself. */
function failureOf(message: string, gasUsed: bigint): CallFailure {
  if (message.startsWith('InternalError: out of memory')) return { status: 'outOfMemory', gasUsed }
  if (message.startsWith('RangeError: Maximum call stack size exceeded')) return { status: 'tooDeep', gasUsed }
  return { status: 'threw', message, gasUsed }
}

function evaluate(guest: Guest, code: { at: Pointer; length: number }): Pointer {
  return guest.exports.qjs_eval(code.at, code.length, guest.write('token.js').at, 0)
}

/** Runs promise reactions until none is left; their number is bounded by gas. What they throw concerns nobody. */
function drainJobs(guest: Guest): void {
  while (guest.exports.qjs_is_job_pending()) guest.exports.qjs_execute_pending_job()
}

function thrown(guest: Guest): { threw: string } {
  const exception = guest.present(guest.exports.qjs_get_exception())
  return { threw: guest.textBeginning(exception, ENGINE_LIMITS.messageCharacters) || 'an exception without text' }
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

function expectHash(what: string, actual: string, expected: string): void {
  if (actual !== expected) throw new Error(`${what}: sha256 is ${actual}, expected ${expected}`)
}
