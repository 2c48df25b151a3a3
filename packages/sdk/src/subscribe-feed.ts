/** Events of a subscription as JSON texts, one anchor's connection at a time: over WebSocket, or server-sent events by fetch. */
import { SmartLayerError } from '@smartlayer/protocol'
import { TIMEOUT_MS } from './http.ts'

/** Characters of one event. */
const EVENT_LIMIT = 1_048_576
/** A WebSocket cannot be told to wait: what a slow consumer has not taken by then is asked for again later. */
const KEPT_LIMIT = { events: 1_024, characters: 4 * EVENT_LIMIT } as const
/** The server beats every 15 s. */
const SILENCE_MS = 40_000
const POLICY_CODE = 1008
const EVENTS: readonly string[] = ['entry', 'frozen', 'pruned']

/**
 * Ends when `signal` aborts, or when it is to be opened again from the cursor. Throws `network.unreachable` when there is no
 * connection any more, `answer.malformed` for what is not a subscription.
 */
export type Feed = (url: string, signal: AbortSignal) => AsyncGenerator<string, void>

/** Reads as fast as the consumer takes: the anchor waits with what comes after. */
export async function* readEvents(url: string, signal: AbortSignal): AsyncGenerator<string, void> {
  const peer = new URL(url).origin
  const silent = new AbortController()
  const watch = (ms: number) => setTimeout(() => silent.abort(), ms)
  let timer = watch(TIMEOUT_MS)
  try {
    const init = { headers: { accept: 'text/event-stream' }, signal: AbortSignal.any([signal, silent.signal]) }
    const response = await fetch(url, { ...init, cache: 'no-store', redirect: 'error' })
    if (response.status === 429 || response.status >= 500) throw unreachable(peer)
    if (!response.ok || !response.body) throw malformed(peer, `status ${response.status}`)
    const reader = response.body.getReader()
    const decoder = new TextDecoder()
    let rest = ''
    for (;;) {
      clearTimeout(timer)
      timer = watch(SILENCE_MS)
      const part = await reader.read()
      clearTimeout(timer)
      if (part.done) throw unreachable(peer)
      const blocks = (rest + decoder.decode(part.value, { stream: true })).split('\n\n')
      rest = blocks.pop() ?? ''
      if (rest.length > EVENT_LIMIT) throw malformed(peer, `more than ${EVENT_LIMIT} characters`)
      for (const block of blocks) {
        const data = dataOf(block)
        if (data !== undefined) yield data
      }
    }
  } catch (error) {
    if (signal.aborted) return
    throw error instanceof SmartLayerError ? error : unreachable(peer, error)
  } finally {
    clearTimeout(timer)
    silent.abort()
  }
}

/** The data of one event; undefined for what only keeps the connection. Lines end with a line feed and nothing else. */
function dataOf(block: string): string | undefined {
  const lines = block.split('\n')
  const field = (name: string) => lines.find((line) => line.startsWith(name))?.slice(name.length)
  return EVENTS.includes(field('event: ') ?? '') ? field('data: ') : undefined
}

export async function* readSocket(url: string, signal: AbortSignal): AsyncGenerator<string, void> {
  const peer = new URL(url).origin
  const socket = new WebSocket(url.replace(/^http/, 'ws'))
  const kept: string[] = []
  let characters = 0
  let isCut = false
  let closed: SmartLayerError | undefined
  let wake = () => {}
  const lose = (error: SmartLayerError) => {
    closed ??= error
    wake()
  }
  const timer = setTimeout(() => lose(unreachable(peer)), TIMEOUT_MS)
  const stop = () => wake()
  socket.onopen = () => clearTimeout(timer)
  socket.onerror = () => lose(unreachable(peer))
  socket.onclose = ({ code, reason }) => lose(code === POLICY_CODE ? malformed(peer, reason) : unreachable(peer))
  socket.onmessage = ({ data }) => {
    const text = String(data)
    if (isCut) return
    if (text.length > EVENT_LIMIT) return lose(malformed(peer, `more than ${EVENT_LIMIT} characters`))
    kept.push(text)
    characters += text.length
    isCut = kept.length >= KEPT_LIMIT.events || characters >= KEPT_LIMIT.characters
    if (isCut) socket.close()
    wake()
  }
  signal.addEventListener('abort', stop)
  try {
    while (!signal.aborted) {
      for (let text = kept.shift(); text !== undefined; text = kept.shift()) {
        characters -= text.length
        yield text
      }
      if (isCut) return
      if (closed) throw closed
      if (!signal.aborted) {
        await new Promise<void>((done) => {
          wake = done
        })
      }
    }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
    socket.onmessage = null
    socket.close()
  }
}

function unreachable(peer: string, cause?: unknown): SmartLayerError {
  return SmartLayerError.because(cause, 'network.unreachable', { peer })
}

function malformed(peer: string, detail: string): SmartLayerError {
  return SmartLayerError.of('answer.malformed', { peer, detail })
}
