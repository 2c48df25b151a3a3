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
    if (Number(response.headers.get('content-length') ?? 0) > ANSWER_LIMIT) throw new RangeError('answer too large')
    text = await response.text()
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

function parse(text: string, url: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw SmartLayerError.because(error, 'network.unreachable', { peer: new URL(url).origin })
  }
}
