/** The Content port of service nodes: any anchor serves scripts at `/ipfs/<cid>`, and the hash says whether it is right. */
import type { Member } from '@smartlayer/protocol'
import { cidOf } from '@smartlayer/tokenscript'
import type { Content } from '../ports/content.ts'
import { SCRIPT_LIMIT } from '../script/script-store.ts'

const TIMEOUT_MS = 5_000

export function httpContent(anchors: () => readonly Member[]): Content {
  return {
    async get(cid) {
      for (const { api } of anchors()) {
        const bytes = await fetchBounded(`${api}/ipfs/${encodeURIComponent(cid)}`)
        if (bytes && cidOf(bytes) === cid) return bytes
      }
      return undefined
    },
  }
}

/** The body of an answer of at most a script's size; undefined for anything else. */
async function fetchBounded(url: string): Promise<Uint8Array | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'error' })
    if (!response.ok || Number(response.headers.get('content-length') ?? 0) > SCRIPT_LIMIT) return undefined
    const bytes = new Uint8Array(await response.arrayBuffer())
    return bytes.length <= SCRIPT_LIMIT ? bytes : undefined
  } catch {
    return undefined // this anchor does not answer; the next one may
  }
}
