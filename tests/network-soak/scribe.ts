/** A process that copies the journals of all instances from every anchor, and the roots of all replicas, while they are there. */
import { entryHash, type JournaledEntry, journalPageShape, statusShape } from '@smartlayer/protocol'
import { pause } from '../soak-kit/chance.ts'
import { connected, type Place, takePart } from '../soak-kit/part.ts'
import type { Part, Plan, PlannedToken } from './client.ts'
import type { Entry, What } from './history.ts'

const ROUND_MS = 1_200
const TIMEOUT_MS = 2_500
/** All anchors must stand at the same place, and for so many rounds nothing may come after it. */
const QUIET_ROUNDS = 3
const QUIET_LIMIT_MS = 45_000

const part: Part = takePart<Plan, What>()
const { plan, recorder } = part
const { site } = await connected(part, plan.keys.scribe!, 0)
const { keccak } = site.crypto
const cursors = new Map<string, number>()
const known = new Set<string>()
const roots = new Set<string>()

while (!part.stopped.aborted) {
  await round()
  await pause(ROUND_MS, part.stopped)
}
await untilQuiet()
for (const { name: anchor } of plan.anchors) {
  for (const { name } of plan.tokens) {
    recorder.write(0, { kind: 'info', f: 'end', anchor, token: name, n: cursors.get(`${anchor}/${name}`) ?? 0 })
  }
}
recorder.close()
process.exit(0)

async function round(): Promise<void> {
  await Promise.all([...plan.anchors.map(copyAll), ...plan.services.map(noteRoots)])
}

async function untilQuiet(): Promise<void> {
  let before = ''
  for (let [quiet, started] = [0, performance.now()]; quiet < QUIET_ROUNDS; ) {
    await round()
    const now = JSON.stringify([...cursors].sort())
    const isLevel = plan.tokens.every(
      ({ name }) => new Set(plan.anchors.map((anchor) => cursors.get(`${anchor.name}/${name}`))).size === 1,
    )
    quiet = isLevel && now === before ? quiet + 1 : 0
    before = now
    if (performance.now() - started > QUIET_LIMIT_MS) return
    await pause(ROUND_MS)
  }
}

/** An anchor that does not answer now is asked again in the next round. */
async function copyAll(anchor: Place): Promise<void> {
  for (const token of plan.tokens) if (!(await copy(anchor, token))) return
}

async function copy(anchor: Place, token: PlannedToken): Promise<boolean> {
  const key = `${anchor.name}/${token.name}`
  for (;;) {
    const from = (cursors.get(key) ?? 0) + 1
    const answer = await read(`${anchor.api}/v1/instances/${token.instance}/journal?from=${from}`)
    if (answer === undefined) return false
    const { entries } = journalPageShape.parse(answer, 'page')
    const first = entries[0]
    if (!first) return true
    const hashes = entries.map((entry) => note(token, entry))
    const n = Number(first.entry.n)
    recorder.write(0, { kind: 'info', f: 'shows', anchor: anchor.name, token: token.name, from: n, hashes })
    cursors.set(key, n + hashes.length - 1)
  }
}

/** Writes down an entry when it is seen for the first time; returns its short hash. */
function note(token: PlannedToken, journaled: JournaledEntry): string {
  const full = entryHash(journaled.entry, site.network.domain, keccak)
  const hash = short(full)
  if (known.has(hash)) return hash
  known.add(hash)
  const { n, previous, term } = journaled.entry
  const place = { token: token.name, n: Number(n), hash, previous: short(previous), term: Number(term) }
  recorder.write(0, { kind: 'info', f: 'entry', ...place, input: inputOf(journaled) })
  return hash
}

function inputOf({ entry, input }: JournaledEntry): Entry['input'] {
  if (input.kind === 'term-start') return { kind: 'term-start' }
  if (input.kind === 'action') return { kind: 'action', digest: entry.input, ...JSON.parse(input.args) }
  if (input.kind === 'lifecycle' || input.kind === 'message' || input.kind === 'receipt')
    throw new Error(`A journal holds a ${input.kind}, and nobody in this soak causes one.`)
  const body = JSON.parse(input.body)
  if (input.kind === 'input') return { kind: 'input', name: input.name as 'own' | 'all', ...body }
  const { effect, name, attempt, end } = body
  return input.kind === 'attempt'
    ? { kind: 'attempt', effect, name, attempt }
    : { kind: 'outcome', effect, name, attempt, end }
}

async function noteRoots({ name: node, api }: Place): Promise<void> {
  const answer = await read(`${api}/v1/status`)
  if (answer === undefined) return
  for (const { instance, confirmed, stateRoot } of statusShape.parse(answer, 'status').instances) {
    const token = plan.tokens.find((each) => each.instance === instance)
    const key = `${node}/${instance}/${confirmed}`
    if (!token || confirmed === undefined || !stateRoot || roots.has(key)) continue
    roots.add(key)
    recorder.write(0, { kind: 'info', f: 'root', node, token: token.name, n: Number(confirmed), root: stateRoot })
  }
}

async function read(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    return response.ok ? await response.json() : undefined
  } catch {
    return undefined // it is down, or stopped
  }
}

function short(hash: string): string {
  return hash.slice(0, 34)
}
