/** A process that publishes facts without end: of every token in turn, and of all of them at once. */
import { isSmartLayerError } from '@smartlayer/protocol'
import { generator, pause } from '../soak-kit/chance.ts'
import { codeOf, connected, takePart } from '../soak-kit/part.ts'
import { historyOf } from '../soak-kit/recorder.ts'
import { ALL, LANE, noteRefusal, type Part, type Plan, subsetKey } from './client.ts'
import type { Fact, What } from './history.ts'

const PATIENCE_MS = 12_000
const SETTLE_LIMIT_MS = 60_000
/** Between the facts of one topic and the next. */
const PAUSE_MS = { least: 200, most: 500 } as const
const SHARE = { all: 0.04, charge: 0.15, call: 0.15 } as const
const ADD_LIMIT = 1_000

const part: Part = takePart<Plan, What>()
const { plan, recorder, life } = part
const smartLayer = await connected(part, plan.keys.issuer!, life)
const issuer = smartLayer.issuer({
  contract: plan.contract,
  chainId: BigInt(plan.chain.id),
  lane: LANE,
  outboxFile: plan.outboxFile,
  patienceMs: PATIENCE_MS,
})
const draw = generator(1_000 * life + plan.seed)
const published = new Map<string, number>()
for (const line of historyOf<What>(plan.histories, part.name)) {
  if (line.f === 'publish' && line.kind === 'invoke') published.set(line.topic, line.index)
}

const busy = new Map<string, Promise<void>>()
// The conductor asks for a fact of all tokens, to see which of them take it.
process.on('message', ({ type }: { type: string }) => {
  if (type === 'publish' && !part.stopped.aborted) start(ALL)
})
for (let turn = 0; !part.stopped.aborted; turn++) {
  const topic = draw() < SHARE.all ? ALL : plan.tokens[turn % plan.tokens.length]!.name
  if (!busy.has(topic)) start(topic)
  await pause(PAUSE_MS.least + draw() * (PAUSE_MS.most - PAUSE_MS.least), part.stopped)
}
while (busy.size > 0) await Promise.all(busy.values())
await settle()
await issuer.close()
recorder.close()
process.exit(0)

/** Topics are independent of each other; within one each fact waits for the one before. */
function start(topic: string): void {
  const done: Promise<void> = (busy.get(topic) ?? Promise.resolve())
    .then(() => publish(topic))
    .finally(() => busy.get(topic) === done && busy.delete(topic))
  busy.set(topic, done)
}

/** A fact that is signed stays: it is sent again by the issuer before anything else. One that is refused never was. */
async function publish(topic: string): Promise<void> {
  const index = (published.get(topic) ?? 0) + 1
  const chance = draw()
  const effect = chance < SHARE.charge ? 'charge' : chance < SHARE.charge + SHARE.call ? 'call' : 'none'
  const body = { index, add: Math.floor(draw() * ADD_LIMIT), effect } satisfies Omit<Fact, 'topic'>
  const op = recorder.invoke({ kind: 'invoke', f: 'publish', topic, ...body })
  published.set(topic, index)
  try {
    const { receipt } = await issuer.attest({ subset: subsetKey(topic), body })
    recorder.write(op, { kind: 'ok', f: 'publish', sequence: Number(receipt.receipt.sequence) })
  } catch (error) {
    const code = codeOf(error)
    noteRefusal(recorder, part.name, error)
    const isKept = isSmartLayerError(error) && error.code === 'stream.unconfirmed'
    recorder.write(op, { kind: isKept ? 'info' : 'fail', f: 'publish', code })
    if (!isKept) published.set(topic, index - 1)
  }
}

async function settle(): Promise<void> {
  for (const started = performance.now(); performance.now() - started < SETTLE_LIMIT_MS; await pause(250)) {
    try {
      await issuer.settle()
      return recorder.write(0, { kind: 'info', f: 'life', state: 'settled' })
    } catch (error) {
      noteRefusal(recorder, part.name, error)
    }
  }
}
