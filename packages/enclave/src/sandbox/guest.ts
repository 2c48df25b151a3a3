/** One instance of the metered QuickJS module: its memory, its counters, and the few functions of its C API that are used. */
import { ENGINE_LIMITS } from './limits.ts'

/** A pointer in the guest's memory to a value or to bytes. Hostile after the first call: checked wherever it is followed. */
export type Pointer = number

/** The C API of quickjs-wasi, as far as it is used, and the exports that the metering pass adds. */
export type GuestExports = {
  readonly memory: WebAssembly.Memory
  readonly gas: WebAssembly.Global<'i64'>
  readonly depth: WebAssembly.Global<'i32'>
  readonly sp: WebAssembly.Global<'i32'>
  _initialize(): void
  qjs_init2(intrinsics: number): number
  qjs_set_max_stack_size(bytes: number): void
  qjs_eval(code: Pointer, length: number, fileName: Pointer, flags: number): Pointer
  qjs_call(callee: Pointer, self: Pointer, count: number, values: Pointer): Pointer
  qjs_new_string(text: Pointer, length: number): Pointer
  qjs_get_string_len(value: Pointer, length: Pointer): Pointer
  qjs_get_exception(): Pointer
  qjs_get_global(): Pointer
  qjs_get_prop_string(owner: Pointer, name: Pointer): Pointer
  qjs_is_exception(value: Pointer): number
  qjs_is_function(value: Pointer): number
  qjs_is_string(value: Pointer): number
  qjs_is_job_pending(): number
  qjs_execute_pending_job(): number
  wasm_malloc(bytes: number): Pointer
  wasm_free(at: Pointer): void
}

/** Parts of the language that the engine is built with. Left out: Date (1), weak references (512), performance (1024). */
const Intrinsic = { eval: 2, regexp: 4, json: 8, proxy: 16, mapSet: 32, typedArrays: 64, promise: 128, bigint: 256 }
const INTRINSICS = Object.values(Intrinsic).reduce((all, one) => all | one, 0)

/** What the host answers to `clock_time_get` and `random_get`, the only imports that are ever called: nothing, successfully. */
const WASI_SUCCESS = 0
const WASI_NOT_SUPPORTED = 52
const SUCCEEDING = new Set(['clock_time_get', 'random_get', 'host_interrupt', 'host_get_timezone_offset'])

const encoder = new TextEncoder()
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const lenientDecoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** Text from the guest, or what is wrong with it. */
export type GuestText = { readonly text: string } | { readonly problem: string }

/** The guest could not get the memory that it needs. */
export class GuestOutOfMemory extends Error {}

export class Guest {
  readonly exports: GuestExports
  #view: Uint8Array

  constructor(module: WebAssembly.Module) {
    this.exports = new WebAssembly.Instance(module, constantImports(module)).exports as unknown as GuestExports
    this.#view = new Uint8Array(this.exports.memory.buffer)
  }

  /** Brings up a runtime and a context. Only the instance that makes the base image needs it. */
  initialize(): void {
    this.exports._initialize()
    const failure = this.exports.qjs_init2(INTRINSICS)
    if (failure !== 0) throw new Error(`the engine did not start: ${failure}`)
    this.exports.qjs_set_max_stack_size(ENGINE_LIMITS.stackBytes)
  }

  /** The whole linear memory; a new view after the memory grew. */
  get memory(): Uint8Array {
    if (this.#view.buffer !== this.exports.memory.buffer) this.#view = new Uint8Array(this.exports.memory.buffer)
    return this.#view
  }

  /** Copies text into new guest memory, as UTF-8 with a zero behind it. Lone surrogates become U+FFFD. */
  write(text: string): { at: Pointer; length: number } {
    const bytes = encoder.encode(text)
    const at = this.allocate(bytes.length + 1)
    this.memory.set(bytes, at)
    this.memory[at + bytes.length] = 0
    return { at, length: bytes.length }
  }

  newString(text: string): Pointer {
    const { at, length } = this.write(text)
    return this.present(this.exports.qjs_new_string(at, length))
  }

  /** Guest memory for `bytes` bytes. Throws GuestOutOfMemory. */
  allocate(bytes: number): Pointer {
    const at = this.present(this.exports.wasm_malloc(bytes))
    if (at + bytes > this.memory.length) throw new GuestOutOfMemory()
    return at
  }

  /** Makes sure that `bytes` bytes are free without growing. Throws GuestOutOfMemory. */
  reserve(bytes: number): void {
    this.exports.wasm_free(this.allocate(bytes))
  }

  /** Writes 32-bit words into new guest memory. */
  writeWords(words: readonly number[]): Pointer {
    const at = this.allocate(words.length * 4)
    const view = new DataView(this.exports.memory.buffer)
    for (const [index, word] of words.entries()) view.setUint32(at + index * 4, word, true)
    return at
  }

  /** The text of a value, or why it cannot be had. For objects this runs the guest's toString. */
  text(value: Pointer, limitBytes: number): GuestText {
    const { bytes, length } = this.#utf8(value, limitBytes)
    if (length > limitBytes) return { problem: `more than ${limitBytes} bytes` }
    try {
      return { text: strictDecoder.decode(bytes) }
    } catch {
      return { problem: 'not well-formed Unicode' }
    }
  }

  /** The beginning of a value's text, whatever is in it; empty when there is none. */
  textBeginning(value: Pointer, limitCharacters: number): string {
    const { bytes } = this.#utf8(value, limitCharacters * 3)
    return lenientDecoder.decode(bytes).slice(0, limitCharacters).toWellFormed()
  }

  #utf8(value: Pointer, limitBytes: number): { bytes: Uint8Array; length: number } {
    const lengthAt = this.allocate(4)
    const at = this.exports.qjs_get_string_len(value, lengthAt) >>> 0
    if (at === 0) return { bytes: new Uint8Array(), length: 0 }
    const length = new DataView(this.exports.memory.buffer).getUint32(lengthAt, true)
    return { bytes: this.memory.subarray(at, at + Math.min(length, limitBytes)), length }
  }

  property(owner: Pointer, name: string): Pointer {
    return this.present(this.exports.qjs_get_prop_string(owner, this.write(name).at))
  }

  /** A pointer as an unsigned number. A null one means that the guest could not allocate. */
  present(pointer: Pointer): Pointer {
    if (pointer === 0) throw new GuestOutOfMemory()
    return pointer >>> 0
  }
}

/** Imports that do nothing and tell nothing. A guest that breaks out of QuickJS can call them with anything. */
function constantImports(module: WebAssembly.Module): WebAssembly.Imports {
  const imports: Record<string, Record<string, () => number>> = {}
  for (const { module: group, name } of WebAssembly.Module.imports(module)) {
    const answer = SUCCEEDING.has(name) ? WASI_SUCCESS : WASI_NOT_SUPPORTED
    imports[group] = { ...imports[group], [name]: () => answer }
  }
  return imports
}
