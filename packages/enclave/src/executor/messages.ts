/** What parent and executor process say to each other. */
import type { CallResult } from '../sandbox/call-result.ts'
import { ENGINE_LIMITS } from '../sandbox/limits.ts'

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

/** The replies to one batch, or undefined when they are not such: the process that sent them is then not to be trusted. */
export function parseReplies(message: unknown): readonly ExecutorReply[] | undefined {
  return Array.isArray(message) && message.every(isReply) ? message : undefined
}

function isReply(reply: unknown): reply is ExecutorReply {
  if (!isRecord(reply) || typeof reply.id !== 'number') return false
  return reply.missing === true || typeof reply.fault === 'string' || isResult(reply.result)
}

function isResult(result: unknown): boolean {
  if (!isRecord(result) || typeof result.gasUsed !== 'string' || !/^\d{1,20}$/.test(result.gasUsed)) return false
  switch (result.status) {
    case 'ok':
      return typeof result.output === 'string' && result.output.length <= ENGINE_LIMITS.outputBytes
    case 'threw':
      return typeof result.message === 'string' && result.message.length <= ENGINE_LIMITS.messageCharacters
    default:
      return result.status === 'outOfGas' || result.status === 'tooDeep' || result.status === 'outOfMemory'
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

export function fromWire(result: Wire<CallResult>): CallResult {
  return { ...result, gasUsed: BigInt(result.gasUsed) } as CallResult
}
