/** A process that reads: subscriptions that go on from their cursor at other anchors, or pages from anywhere at any anchor. */
import {
  isSmartLayerError,
  type Shape,
  SmartLayerError,
  type StreamItem,
  streamPageShape,
  subscriptionEventShape,
  subsetOf,
} from '@smartlayer/protocol'
import type { SmartLayer } from '@smartlayer/sdk/server'
import { generator, pause } from '../soak-kit/chance.ts'
import { codeOf, connected, takePart } from '../soak-kit/part.ts'
import { historyOf } from '../soak-kit/recorder.ts'
import { type Check, entryCheck, LANE, type Part, type Plan, SUBSETS } from './client.ts'
import type { Read, Seen, What } from './history.ts'

const PAGE_TIMEOUT_MS = 3_000
/** A connection is given up after this long at most, so that each reader meets every anchor. */
const STAY_MS = { least: 2_000, most: 12_000 } as const
const ARRIVE_LIMIT_MS = 45_000
const PAGES_IN_A_ROW = 12
type Reader = {
  readonly part: Part
  readonly smartLayer: SmartLayer
  readonly check: Check
  readonly draw: () => number
}
type Cursor = {
  readonly name: string
  readonly read: Omit<Read, 'after' | 'anchor'>
  at: number
  uid: string | undefined
}

const part = takePart<Plan, What>()
const first = part.plan.streams[0]!
const smartLayer = await connected(part, first.key, part.life)
const reader: Reader = {
  part,
  smartLayer,
  check: entryCheck(smartLayer, part.plan),
  draw: generator(77 * part.life + part.name.length),
}
await Promise.all(part.name === 'reader-pages' ? [readPages(reader), readPages(reader)] : cursorsOf(reader).map(follow))
part.recorder.close()
process.exit(0)

/** One for each stream, and one for a subset of it, where the last life of this process left off. */
function cursorsOf({ part: { plan, name } }: Reader): readonly Cursor[] {
  const how = name === 'reader-events' ? 'events' : name === 'reader-sockets' ? 'sockets' : 'live'
  const fresh = plan.streams.flatMap(({ stream, writer }): Cursor[] => [
    { name: `${how}/${writer}`, read: { how, stream }, at: 0, uid: undefined },
    { name: `${how}/${writer}/part`, read: { how, stream, subset: idOf(SUBSETS[1]) }, at: 0, uid: undefined },
  ])
  const open = new Map<string, Cursor>()
  const byName = new Map(fresh.map((cursor) => [cursor.name, cursor]))
  for (const line of historyOf<What>(plan.histories, name)) {
    if (line.f !== 'read') continue
    const key = `${line.life}/${line.op}`
    if (line.kind === 'invoke') open.set(key, byName.get(line.reader!)!)
    const last = line.kind === 'ok' ? line.entries.at(-1) : undefined
    if (last) Object.assign(open.get(key)!, { at: last.at, uid: last.uid })
  }
  return fresh
}

/** Reads on until it is told to end and has come as far as the network. */
async function follow(cursor: Cursor): Promise<void> {
  const { stopped, heads } = part
  let deadline = Number.POSITIVE_INFINITY
  stopped.addEventListener('abort', () => {
    deadline = performance.now() + ARRIVE_LIMIT_MS
  })
  const key = cursor.read.subset ? `${cursor.read.stream}/${cursor.read.subset}` : cursor.read.stream
  const hasArrived = () => stopped.aborted && (cursor.at >= (heads()[key] ?? 0) || performance.now() > deadline)
  while (!hasArrived()) {
    const stay = new AbortController()
    const leave = setTimeout(() => stay.abort(), STAY_MS.least + reader.draw() * (STAY_MS.most - STAY_MS.least))
    const watch = setInterval(() => hasArrived() && stay.abort(), 100)
    const anchor =
      cursor.read.how === 'live' ? part.plan.anchors[Math.floor(reader.draw() * part.plan.anchors.length)]! : undefined
    const op = part.recorder.invoke({
      kind: 'invoke',
      f: 'read',
      ...cursor.read,
      reader: cursor.name,
      after: cursor.at,
      ...(anchor ? { anchor: anchor.name } : {}),
    })
    try {
      if (anchor) await listen(cursor, op, { api: anchor.api, signal: stay.signal })
      else await subscribe(cursor, op, stay.signal)
      part.recorder.write(op, { kind: 'info', f: 'read', code: 'left' })
    } catch (error) {
      if (stay.signal.aborted) part.recorder.write(op, { kind: 'info', f: 'read', code: 'left' })
      else refused(op, error, cursor.name)
      await pause(100 + 200 * reader.draw())
    } finally {
      clearTimeout(leave)
      clearInterval(watch)
      stay.abort()
    }
  }
}

/** By the SDK, which chooses the anchor and changes it. */
async function subscribe(cursor: Cursor, op: number, signal: AbortSignal): Promise<void> {
  const { how, stream, subset } = cursor.read
  const { contract, chain, streams } = part.plan
  const planned = streams.find((each) => each.stream === stream)!
  const parameters = {
    issuer: planned.issuer,
    contract,
    chainId: BigInt(chain.id),
    lane: LANE,
    ...(subset ? { subset: SUBSETS[1] } : {}),
    after: BigInt(cursor.at),
    ...(cursor.uid ? { afterUid: cursor.uid as `0x${string}` } : {}),
  }
  const options = { signal, quietMs: 4_000, backOffMs: { first: 50, most: 500 } }
  const transport = how === 'events' ? 'events' : 'websocket'
  for await (const entry of smartLayer.stream(parameters).subscribe({ ...options, transport })) {
    note(cursor, op, entry.item, Number(entry.cursor))
  }
}

/** Every message of one anchor as it is, over a WebSocket. */
async function listen(
  cursor: Cursor,
  op: number,
  { api, signal }: { api: string; signal: AbortSignal },
): Promise<void> {
  const { stream, subset } = cursor.read
  const query = `${subset ? `subset=${subset}&` : ''}after=${cursor.at}`
  const socket = new WebSocket(`${api.replace('http', 'ws')}/v1/streams/${stream}/live?${query}`)
  try {
    await new Promise<void>((resolve, reject) => {
      const lose = () => reject(SmartLayerError.of('network.unreachable', { peer: api }))
      signal.addEventListener('abort', () => resolve())
      socket.onerror = lose
      socket.onclose = lose
      socket.onmessage = ({ data }) => {
        if (signal.aborted) return
        try {
          const event = parsed(subscriptionEventShape, String(data))
          if (event.type !== 'entry') throw new Error(`an event of type ${event.type}`)
          note(cursor, op, event.item, Number(event.cursor))
        } catch (error) {
          reject(error)
        }
      }
    })
  } finally {
    socket.onmessage = null
    socket.close()
  }
}

function note(cursor: Cursor, op: number, item: StreamItem, at: number): void {
  const { sequence, uid, digest } = checked(cursor.read.stream, item)
  part.recorder.write(op, { kind: 'ok', f: 'read', entries: [{ at, sequence, uid, digest }] })
  cursor.at = at
  cursor.uid = uid
}

/** Reads pages in a row from somewhere, often from the very beginning, each at any anchor. */
async function readPages({ draw }: Reader): Promise<void> {
  const reached = new Map<string, number>()
  while (!part.stopped.aborted) {
    const { stream } = part.plan.streams[Math.floor(draw() * part.plan.streams.length)]!
    const subset = draw() < 0.3 ? idOf(SUBSETS[Math.floor(draw() * SUBSETS.length)]!) : undefined
    const key = `${stream}/${subset ?? ''}`
    let after = draw() < 0.3 ? 0 : Math.floor(draw() * (reached.get(key) ?? 0))
    for (let page = 0; page < PAGES_IN_A_ROW && !part.stopped.aborted; page++) {
      const anchor = part.plan.anchors[Math.floor(draw() * part.plan.anchors.length)]!
      const next = await readPage({ how: 'page', stream, subset, anchor: anchor.name, after }, anchor.api)
      await pause(60 + 100 * draw(), part.stopped)
      if (next === undefined || next === after) break
      after = next
      reached.set(key, Math.max(after, reached.get(key) ?? 0))
    }
  }
}

/** Returns the place of the last entry; undefined when there was no page. */
async function readPage(read: Read, api: string): Promise<number | undefined> {
  const op = part.recorder.invoke({ kind: 'invoke', f: 'read', ...read })
  const { stream, subset, after } = read
  try {
    const path = subset ? `${stream}/subsets/${subset}` : stream
    const url = `${api}/v1/streams/${path}/entries?after=${after}`
    const response = await fetch(url, { signal: AbortSignal.timeout(PAGE_TIMEOUT_MS) }).catch((error) => {
      throw SmartLayerError.because(error, 'network.unreachable', { peer: api })
    })
    const text = await response.text().catch((error) => {
      throw SmartLayerError.because(error, 'network.unreachable', { peer: api })
    })
    if (!response.ok) {
      const { code, facts } = JSON.parse(text) as { code: string; facts: object }
      throw SmartLayerError.fromData(code, facts as Record<string, unknown>)
    }
    const entries = parsed(streamPageShape, text).items.map((item): Seen => {
      const { sequence, subSequence, uid, digest } = checked(stream, item)
      return { at: subset ? subSequence : sequence, sequence, uid, digest }
    })
    part.recorder.write(op, { kind: 'ok', f: 'read', entries })
    return entries.at(-1)?.at ?? after
  } catch (error) {
    refused(op, error, `a page of ${read.anchor}`)
    return undefined
  }
}

/** An anchor that is away, or says that it cannot, is no fault; what it says otherwise must be true. */
function refused(op: number, error: unknown, from: string): void {
  const code = codeOf(error)
  const isExcused = isSmartLayerError(error) && error.kind === 'unavailable'
  part.recorder.write(op, { kind: isExcused ? 'info' : 'fail', f: 'read', code })
  if (isExcused || code === 'store.corrupt') return
  const detail = error instanceof Error ? error.message : ''
  part.recorder.write(op, { kind: 'info', f: 'wrong', detail: `${from}: ${code} ${detail}` })
}

function checked(stream: string, item: StreamItem) {
  return reader.check(part.plan.streams.find((each) => each.stream === stream)!, item)
}

function parsed<T>(shape: Shape<T>, text: string): T {
  return shape.parse(JSON.parse(text), 'answer')
}

function idOf(key: string): `0x${string}` {
  return subsetOf(key, smartLayer.site.crypto.keccak)
}
