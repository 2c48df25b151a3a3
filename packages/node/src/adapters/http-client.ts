/** The Http port over fetch. */
import type { Http } from '../ports/http.ts'

/** An answer to a query with its proof; more is no answer. */
const ANSWER_LIMIT = 512 * 1_024

export const httpClient: Http = {
  async request({ url, method, body, timeoutMs }) {
    try {
      const response = await fetch(url, {
        method,
        ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
        signal: AbortSignal.timeout(timeoutMs),
        redirect: 'error',
      })
      return { status: response.status, body: await bounded(response) }
    } catch {
      return undefined // no connection, no answer in time, or too much of it
    }
  },
}

async function bounded(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  const reader = response.body?.getReader()
  for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
    bytes += part.value.length
    if (bytes > ANSWER_LIMIT) {
      await reader?.cancel()
      throw new Error('too large')
    }
    text += decoder.decode(part.value, { stream: true })
  }
  return text + decoder.decode()
}
