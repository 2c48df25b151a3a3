/** A process that asks tokens for their state all the time, never behind what it saw before, in every way there is. */
import { isSmartLayerError } from '@smartlayer/protocol'
import { generator, pause } from '../soak-kit/chance.ts'
import { codeOf, connected, takePart } from '../soak-kit/part.ts'
import { historyOf } from '../soak-kit/recorder.ts'
import { type Asked, askState, noteRefusal, type Part, type Plan, type PlannedToken } from './client.ts'
import type { What } from './history.ts'

const PAUSE_MS = { least: 200, most: 600 } as const
const WAYS: readonly Asked['how'][] = ['plain', 'plain', 'plain', 'public', 'fresh', 'linearizable']

const part: Part = takePart<Plan, What>()
const { plan, recorder, life, name } = part
const smartLayer = await connected(part, plan.keys[name]!, life)
const draw = generator(3_000 * life + plan.seed + name.length)
const seen = seenBefore()

while (!part.stopped.aborted) {
  await ask(plan.tokens[Math.floor(draw() * plan.tokens.length)]!)
  await pause(PAUSE_MS.least + draw() * (PAUSE_MS.most - PAUSE_MS.least), part.stopped)
}
recorder.close()
process.exit(0)

async function ask(token: PlannedToken): Promise<void> {
  const how = WAYS[Math.floor(draw() * WAYS.length)]!
  const minN = seen.get(token.name) ?? 0
  const op = recorder.invoke({ kind: 'invoke', f: 'query', token: token.name, minN, how })
  try {
    const { value, answer, stale } = await askState(token, smartLayer, { how, minN })
    const n = Number(answer.n)
    recorder.write(op, { kind: 'ok', f: 'query', n, root: answer.stateRoot, stale, shown: value })
    seen.set(token.name, Math.max(n, minN))
  } catch (error) {
    recorder.write(op, { kind: 'info', f: 'query', code: codeOf(error) })
    if (!isSmartLayerError(error) || error.code !== 'query.unanswered') noteRefusal(recorder, name, error)
  }
}

/** What an earlier life of this process saw. */
function seenBefore(): Map<string, number> {
  const tokens = new Map<string, string>()
  const places = new Map<string, number>()
  for (const line of historyOf<What>(plan.histories, name)) {
    const key = `${line.life}.${line.op}`
    if (line.f !== 'query') continue
    if (line.kind === 'invoke') tokens.set(key, line.token)
    else if (line.kind === 'ok') places.set(tokens.get(key)!, line.n)
  }
  return places
}
