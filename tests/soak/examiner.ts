/** The last process of a soak: it reads everything that every anchor has, and judges all histories. */
import { type StreamHead, statusShape, streamHeadShape, streamPageShape, subsetOf } from '@smartlayer/protocol'
import { pause } from '../soak-kit/chance.ts'
import { codeOf, connected, type Place, takePart } from '../soak-kit/part.ts'
import { readHistory } from '../soak-kit/recorder.ts'
import { check } from './checker.ts'
import { entryCheck, type Plan, type PlannedStream, SUBSETS } from './client.ts'
import { figures } from './figures.ts'
import type { Held, Read, What } from './history.ts'

const TIMEOUT_MS = 5_000
const ATTEMPTS = 4
const FOLLOW_LIMIT_MS = 45_000
const POLL_MS = 250

const part = takePart<Plan, What>()
const { plan, recorder } = part
const smartLayer = await connected(part, plan.streams[0]!.key, 0)
const followedSubset = subsetOf(SUBSETS[0], smartLayer.site.crypto.keccak)
const checkEntry = entryCheck(smartLayer, plan)
/** How many entries the subset has that instances follow. */
const followed = new Map<string, number>()
for (const anchor of plan.anchors) for (const stream of plan.streams) await examine(anchor, stream)
for (const service of plan.services) await follow(service)
recorder.close()
const lines = readHistory<What>(plan.histories)
const findings = check(lines, { anchors: plan.anchors.map(({ name }) => name), faults: 1 })
process.send!({ findings, figures: figures(lines) }, () => process.exit(0))

async function examine(anchor: Place, stream: PlannedStream): Promise<void> {
  const head = await headOf(`${anchor.api}/v1/streams/${stream.stream}`)
  if (head) {
    const { sequence, certified, head: uid } = head
    const facts = { anchor: anchor.name, stream: stream.stream, uid }
    recorder.write(0, { kind: 'info', f: 'head', ...facts, sequence: Number(sequence), certified: Number(certified) })
  }
  for (const subset of [undefined, ...SUBSETS.map((key) => subsetOf(key, smartLayer.site.crypto.keccak))]) {
    const read = { how: 'held', stream: stream.stream, subset, anchor: anchor.name } as const
    for (let after = 0; ; ) {
      const entries = await page(anchor.api, stream, { ...read, after })
      if (!entries || entries.length === 0) break
      after = entries.at(-1)!.at
      if (subset === followedSubset) followed.set(stream.stream, after)
    }
  }
}

/** Waits until a service node has what anchors have, and notes how far it came. */
async function follow({ name, api }: Place): Promise<void> {
  for (const deadline = performance.now() + FOLLOW_LIMIT_MS; ; await pause(POLL_MS)) {
    const answer = await asked(`${api}/v1/status`)
    const status = 'text' in answer ? statusShape.parse(JSON.parse(answer.text), 'status') : undefined
    const own = status?.followed.filter(({ stream }) => followed.has(stream)) ?? []
    const isThere = status && own.every(({ stream, after }) => Number(after) === followed.get(stream))
    if (!isThere && performance.now() < deadline) continue
    for (const { stream, subset, after } of own) {
      recorder.write(0, { kind: 'info', f: 'followed', node: name, stream, subset, after: Number(after) })
    }
    return
  }
}

async function headOf(url: string): Promise<StreamHead | undefined> {
  const answer = await asked(url)
  return 'text' in answer ? streamHeadShape.parse(JSON.parse(answer.text), 'head') : undefined
}

async function page(api: string, stream: PlannedStream, read: Read): Promise<readonly Held[] | undefined> {
  const op = recorder.invoke({ kind: 'invoke', f: 'read', ...read })
  const path = read.subset ? `${read.stream}/subsets/${read.subset}` : read.stream
  const answer = await asked(`${api}/v1/streams/${path}/entries?after=${read.after}`)
  if ('code' in answer) {
    recorder.write(op, { kind: 'fail', f: 'read', code: answer.code })
    return undefined
  }
  try {
    const { items } = streamPageShape.parse(JSON.parse(answer.text), 'page')
    const entries = items.map((item): Held => {
      const held = checkEntry(stream, item)
      return read.subset ? { ...held, at: held.subSequence } : held
    })
    recorder.write(op, { kind: 'ok', f: 'read', entries })
    return entries
  } catch (error) {
    recorder.write(op, { kind: 'info', f: 'wrong', detail: `${read.anchor} after ${read.after}: ${codeOf(error)}` })
    return undefined
  }
}

/** The network is whole again: an anchor that does not answer now is asked a few times. */
async function asked(url: string): Promise<{ readonly text: string } | { readonly code: string }> {
  let code = ''
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
      const text = await response.text()
      if (response.ok) return { text }
      code = (JSON.parse(text) as { code: string }).code
    } catch (error) {
      code = codeOf(error)
    }
    await pause(500)
  }
  return { code }
}
