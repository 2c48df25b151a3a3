/** What parent and executor process say to each other. */
import type { CallResult } from '../sandbox/call-result.ts'

export type ExecutorRequest =
  | { readonly id: number; readonly kind: 'load'; readonly scriptHash: string; readonly code: string }
  | {
      readonly id: number
      readonly kind: 'call'
      readonly scriptHash: string
      readonly method: string
      readonly input: string
      readonly gas: string
    }

/** `missing`: this process has not loaded the script, or dropped its image; the parent loads it again. */
export type ExecutorReply =
  | { readonly id: number; readonly result: Wire<CallResult> }
  | { readonly id: number; readonly missing: true }
  | { readonly id: number; readonly fault: string }

/** Gas as text: messages are JSON. */
type Wire<T> = T extends { readonly gasUsed: bigint } ? Omit<T, 'gasUsed'> & { readonly gasUsed: string } : T

export function toWire(result: CallResult): Wire<CallResult> {
  return { ...result, gasUsed: String(result.gasUsed) } as Wire<CallResult>
}

export function fromWire(result: Wire<CallResult>): CallResult {
  return { ...result, gasUsed: BigInt(result.gasUsed) } as CallResult
}
