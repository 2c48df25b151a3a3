/** A system outside the network: the bank honours idempotency keys, the phone does not. Both count, and both misbehave. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type Bytes32, outsideAnswerDigest, textHash } from '@smartlayer/protocol'
import { generator, pause } from '../soak-kit/chance.ts'
import { connected, takePart } from '../soak-kit/part.ts'
import { historyOf } from '../soak-kit/recorder.ts'
import type { Part, Plan } from './client.ts'
import type { Request, What } from './history.ts'

/** What becomes of a request. What is after the dash happens once its work is done. */
type Manner =
  | 'answered'
  | 'answered slowly'
  | 'refused'
  | 'dropped'
  | 'done - then slow'
  | 'done - then dropped'
  | 'done - then 500'
const MANNERS: readonly (readonly [Manner, number])[] = [
  ['refused', 0.1],
  ['dropped', 0.04],
  ['done - then slow', 0.06],
  ['done - then dropped', 0.08],
  ['done - then 500', 0.08],
  ['answered slowly', 0.34],
  ['answered', 0.3],
]
const SLOW_MS = { least: 150, most: 750 } as const
/** Longer than any caller waits. */
const TOO_SLOW_MS = 1_600
/** A request for the same thing is answered in order from this one on: nothing fails for good. */
const PATIENCE = 3
const BODY_LIMIT = 4_096

const part: Part = takePart<Plan, What>()
const { plan, recorder, life } = part
const api = part.name as 'bank' | 'phone'
const { crypto, signer, network } = (await connected(part, plan.keys[api]!, life)).site
const draw = generator(4_000 * life + plan.seed + api.length)
/** Keys under which something was done, and how often each thing was asked for: what was written down stays. */
const done = new Set<string>()
const asked = new Map<string, number>()
let requests = 0
for (const line of historyOf<What>(plan.histories, api)) {
  if (line.f !== 'request') continue
  if (line.step === 'arrived') asked.set(line.id, (asked.get(line.id) ?? 0) + 1)
  if (line.step === 'executed') done.add(line.key)
  requests = Math.max(requests, line.request)
}

const server = createServer((request, response) => {
  take(request, response).catch(() => response.destroy())
})
server.listen(plan.ports[api], '127.0.0.1', () => process.send?.({ type: 'ready' }))
part.stopped.addEventListener('abort', () => {
  server.close()
  server.closeAllConnections()
  recorder.close()
  process.exit(0)
})

async function take(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await bodyOf(incoming)
  const { id } = JSON.parse(body) as { id: string }
  const key = headerOf(incoming, 'idempotency-key')
  const about: Request = { api, request: ++requests, key, id, node: headerOf(incoming, 'sl-node') }
  const note = (step: 'arrived' | 'executed' | 'refused' | 'answered') =>
    recorder.write(0, { kind: 'info', f: 'request', step, ...about })
  const before = asked.get(id) ?? 0
  asked.set(id, before + 1)
  note('arrived')
  process.send?.({ type: 'arrived', node: about.node })
  const manner = before >= PATIENCE ? 'answered' : drawn()
  if (manner === 'dropped') return void response.destroy()
  if (manner === 'refused') {
    note('refused')
    return answer(response, { key, body, status: 503 })
  }
  if (manner === 'answered slowly') await pause(SLOW_MS.least + draw() * (SLOW_MS.most - SLOW_MS.least))
  // One line is what makes it so: who reads it after a crash knows that this was done.
  if (api === 'phone' || !done.has(key)) note('executed')
  done.add(key)
  if (manner === 'done - then dropped') return void response.destroy()
  if (manner === 'done - then slow') await pause(TOO_SLOW_MS)
  if (manner === 'done - then 500') return answer(response, { key, body, status: 500 })
  note('answered')
  return answer(response, { key, body, status: 200 })
}

function answer(
  response: ServerResponse,
  { key, body, status }: { key: string; body: string; status: number },
): Promise<void> {
  const text = JSON.stringify({ done: status === 200 })
  const signed = { effect: key as Bytes32, request: textHash(body, crypto), status, body: text }
  const signature = signer.sign(outsideAnswerDigest(signed, { crypto, domain: network.domain }))
  response.writeHead(status, { 'content-type': 'application/json', 'sl-signature': signature })
  return new Promise((resolve) => response.end(text, resolve))
}

function drawn(): Manner {
  let left = draw()
  for (const [manner, share] of MANNERS) {
    left -= share
    if (left < 0) return manner
  }
  return 'answered'
}

async function bodyOf(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming) {
    size += (chunk as Buffer).length
    if (size > BODY_LIMIT) throw new Error('too large')
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function headerOf({ headers }: IncomingMessage, name: string): string {
  const value = headers[name]
  return typeof value === 'string' ? value : ''
}
