/** HTTP to nodes: time-outs, bounded answers, and refusals as typed errors. */
import { type Problem, type Shape, SmartLayerError } from '@smartlayer/protocol'

const ANSWER_LIMIT = 1_048_576
export const TIMEOUT_MS = 3_000

export type CallOptions = { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined }

export function get<T>(url: string, shape: Shape<T>, options: CallOptions = {}): Promise<T> {
  return call(url, { method: 'GET' }, shape, options)
}

export function post<T>(url: string, body: unknown, shape: Shape<T>, options: CallOptions = {}): Promise<T> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  return call(url, init, shape, options)
}

/** Throws what the node refused with, or `network.unreachable` when it did not answer in time. */
async function call<T>(url: string, init: RequestInit, shape: Shape<T>, options: CallOptions): Promise<T> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS)
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout
  let response: Response
  let text: string
  try {
    response = await fetch(url, { ...init, signal, redirect: 'error' })
    text = await boundedText(response)
  } catch (error) {
    options.signal?.throwIfAborted()
    throw SmartLayerError.because(error, 'network.unreachable', { peer: new URL(url).origin })
  }
  const body = parse(text, url)
  if (response.ok) return shape.parse(body, 'answer')
  const problem = body as Partial<Problem> | null
  if (typeof problem?.code !== 'string') throw SmartLayerError.of('network.unreachable', { peer: new URL(url).origin })
  throw SmartLayerError.fromData(problem.code, { ...problem.facts, requestId: problem.request_id })
}

/** Reads at most `ANSWER_LIMIT` bytes, whatever the node says of their number. */
async function boundedText({ body }: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  const reader = body?.getReader()
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    size += part.value.byteLength
    if (size > ANSWER_LIMIT) {
      await reader?.cancel()
      throw SmartLayerError.of('message.too_large', { limit: ANSWER_LIMIT, what: 'the answer' })
    }
    text += decoder.decode(part.value, { stream: true })
  }
  return text + decoder.decode()
}

function parse(text: string, url: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw SmartLayerError.because(error, 'network.unreachable', { peer: new URL(url).origin })
  }
}
