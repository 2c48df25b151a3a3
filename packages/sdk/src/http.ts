/** HTTP to nodes: time-outs, bounded answers, and refusals as typed errors. */
import { isSmartLayerError, type Problem, type Shape, SmartLayerError } from '@smartlayer/protocol'

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

/** Throws what the node refused with, `network.unreachable` without an answer in time, `answer.malformed` for others. */
async function call<T>(url: string, init: RequestInit, shape: Shape<T>, options: CallOptions): Promise<T> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS)
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout
  const peer = new URL(url).origin
  let response: Response
  let text: string
  try {
    response = await fetch(url, { ...init, signal, redirect: 'error' })
    text = await boundedText(response, peer)
  } catch (error) {
    options.signal?.throwIfAborted()
    if (isSmartLayerError(error)) throw error
    throw SmartLayerError.because(error, 'network.unreachable', { peer })
  }
  if (response.ok) return readable(peer, () => shape.parse(JSON.parse(text), 'answer'))
  const body = readable(peer, (): unknown => JSON.parse(text))
  const problem = body as Partial<Problem> | null
  if (typeof problem?.code !== 'string')
    throw SmartLayerError.of('answer.malformed', { peer, detail: 'no problem code' })
  throw SmartLayerError.fromData(problem.code, { ...problem.facts, requestId: problem.request_id })
}

/** Reads at most `ANSWER_LIMIT` bytes, whatever the node says of their number. */
async function boundedText({ body }: Response, peer: string): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  const reader = body?.getReader()
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    size += part.value.byteLength
    if (size > ANSWER_LIMIT) {
      await reader?.cancel()
      throw SmartLayerError.of('answer.malformed', { peer, detail: `more than ${ANSWER_LIMIT} bytes` })
    }
    text += decoder.decode(part.value, { stream: true })
  }
  return text + decoder.decode()
}

function readable<T>(peer: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    const detail = error instanceof Error ? error.message.slice(0, 200) : 'not JSON'
    throw SmartLayerError.because(error, 'answer.malformed', { peer, detail })
  }
}
