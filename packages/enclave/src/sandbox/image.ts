/** Memory images: what a fresh guest looks like, and what one script adds to it. Restoring one makes a clean room. */
import type { Guest, Pointer } from './guest.ts'
import { ENGINE_LIMITS } from './limits.ts'

const PAGE_BYTES = 4096
const WASM_PAGE_BYTES = 65_536

/** The engine without a script. Memory below `from` is never written, memory from `top` on is zero. */
export type BaseImage = {
  readonly bytes: Uint8Array
  readonly from: number
  readonly top: number
  readonly stackPointer: number
  readonly memoryBytes: number
}

/** A loaded script: the pages in which its memory differs from the base image, and where its function is. */
export type ScriptImage = {
  readonly runs: readonly PageRun[]
  readonly memoryBytes: number
  /** Bytes that keeping this image costs. */
  readonly byteLength: number
  readonly token: Pointer
  readonly callFunction: Pointer
}

type PageRun = { readonly at: number; readonly bytes: Uint8Array }

export function takeBaseImage(guest: Guest): BaseImage {
  const stackPointer = guest.exports.sp.value
  const reach = ENGINE_LIMITS.stackBytes + ENGINE_LIMITS.stackSlackBytes
  const from = (stackPointer - reach) & -PAGE_BYTES
  const top = lastNonZeroPageEnd(guest.memory)
  return { bytes: guest.memory.slice(from, top), from, top, stackPointer, memoryBytes: guest.memory.length }
}

export function takeRuns(guest: Guest, base: BaseImage): PageRun[] {
  const memory = guest.memory
  const runs: PageRun[] = []
  for (let at = base.from; at < memory.length; ) {
    const end = changedUntil(memory, base, at)
    if (end > at) runs.push({ at, bytes: memory.slice(at, end) })
    at = Math.max(end, at + PAGE_BYTES)
  }
  return runs
}

/** Puts the base image back, and the counters with it. The guest must not have more memory than the image. */
export function restoreBase(guest: Guest, base: BaseImage, memoryBytes: number): void {
  const missing = memoryBytes - guest.memory.length
  if (missing > 0) guest.exports.memory.grow(missing / WASM_PAGE_BYTES)
  guest.memory.set(base.bytes, base.from)
  guest.memory.fill(0, base.top)
  guest.exports.sp.value = base.stackPointer
  guest.exports.depth.value = 0
}

export function restoreRuns(guest: Guest, image: ScriptImage): void {
  for (const { at, bytes } of image.runs) guest.memory.set(bytes, at)
}

function lastNonZeroPageEnd(memory: Uint8Array): number {
  let end = memory.length
  while (end > 0 && isZero(memory.subarray(end - PAGE_BYTES, end))) end -= PAGE_BYTES
  return end
}

/** The end of the run of changed pages that starts at `at`; `at` itself when that page is as in the base image. */
function changedUntil(memory: Uint8Array, base: BaseImage, at: number): number {
  let end = at
  while (end < memory.length && pageChanged(memory.subarray(end, end + PAGE_BYTES), base, end)) end += PAGE_BYTES
  return end
}

function pageChanged(page: Uint8Array, base: BaseImage, at: number): boolean {
  if (at >= base.top) return !isZero(page)
  const now = wordsOf(page)
  const before = wordsOf(base.bytes.subarray(at - base.from, at - base.from + PAGE_BYTES))
  for (let i = 0; i < now.length; i++) if (now[i] !== before[i]) return true
  return false
}

function isZero(page: Uint8Array): boolean {
  const words = wordsOf(page)
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false
  return true
}

/** Pages start at multiples of their size, so they can be read a word at a time. */
function wordsOf(page: Uint8Array): Int32Array {
  return new Int32Array(page.buffer, page.byteOffset, page.byteLength / 4)
}
