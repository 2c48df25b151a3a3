/** A process that publishes in its own stream: one fact after another, many at once, or a batch that never ends. */
import { join } from 'node:path'
import { accepted, type Bytes32, canonicalJson, checkReceipt, homeOf, isSmartLayerError } from '@smartlayer/protocol'
import type { BatchFact, Issuer, Published, SmartLayer } from '@smartlayer/sdk/server'
import { generator, pause } from '../soak-kit/chance.ts'
import { codeOf, connected, takePart } from '../soak-kit/part.ts'
import { shortDigest } from '../soak-kit/recorder.ts'
import { type Check, entryCheck, LANE, type Part, type Plan, SUBSETS } from './client.ts'
import type { What } from './history.ts'

const RUN = 'soak'
const PATIENCE_MS = 12_000
/** After this long without success a writer that was told to end says that it could not. */
const SETTLE_LIMIT_MS = 60_000
const LARGE_BODY = 10_000
const BURST = 24
const BATCH = 500
/** Batches are as large as they get, but leave the machine some room: what is measured here is not speed. */
const BATCH_PAUSE_MS = 4_000

type Fact = { readonly subset: string; readonly body: { readonly n: string; readonly pad: string } }
type Writer = {
  readonly part: Part
  readonly smartLayer: SmartLayer
  readonly issuer: Issuer
  readonly stream: Part['plan']['streams'][number]
  readonly check: Check
  readonly draw: () => number
}

const MODES: Readonly<Record<string, (writer: Writer) => Promise<void>>> = { single, pipelined, batch }

const part = takePart<Plan, What>()
let made = 0
const writer = await open()
while (!part.stopped.aborted) await MODES[writer.stream.writer]!(writer)
await settle(writer, SETTLE_LIMIT_MS)
await writer.issuer.close()
part.recorder.close()
process.exit(0)

async function open(): Promise<Writer> {
  const { plan, name, life } = part
  const at = plan.streams.findIndex((each) => each.writer === name.slice('writer-'.length))
  const stream = plan.streams[at]!
  const smartLayer = await connected(part, stream.key, at + life)
  const issuer = smartLayer.issuer({
    contract: plan.contract,
    chainId: BigInt(plan.chain.id),
    lane: LANE,
    outboxFile: join(plan.outboxes, `${stream.writer}.json`),
    patienceMs: PATIENCE_MS,
  })
  return { part, smartLayer, issuer, stream, check: entryCheck(smartLayer, plan), draw: generator(1_000 * life + at) }
}

/** One after the other, some of them large. */
async function single(writer: Writer): Promise<void> {
  await publish(writer, factOf(writer, writer.draw() < 0.05 ? LARGE_BODY : 100))
  await pause(40 + 120 * writer.draw(), part.stopped)
}

async function pipelined(writer: Writer): Promise<void> {
  const count = 1 + Math.floor(writer.draw() * BURST)
  await Promise.all(Array.from({ length: count }, () => publish(writer, factOf(writer, 100))))
  await pause(100 + 600 * writer.draw(), part.stopped)
}

/** Goes on behind the last line that was signed, whatever happened to this process before. */
async function batch(writer: Writer): Promise<void> {
  const { issuer, stream, draw } = writer
  const { recorder } = part
  if (!(await settle(writer, PATIENCE_MS))) return
  const first = (issuer.markOf(RUN)?.line ?? 0) + 1
  const ops = new Map<number, number>()
  const lines = function* (): Generator<BatchFact> {
    for (let line = first; line < first + BATCH && !part.stopped.aborted; line++) {
      const subset = SUBSETS[line % 40 === 0 ? 0 : 1 + (line % (SUBSETS.length - 1))]!
      const body = { n: `line ${line}`, pad: 'x'.repeat(line % 7 === 0 ? 2_000 : 50) }
      const digest = shortDigest(canonicalJson(body))
      ops.set(
        line,
        recorder.invoke({ kind: 'invoke', f: 'publish', stream: stream.stream, subset, body: digest, line }),
      )
      yield { subset, body, mark: { run: RUN, line, digest } }
    }
  }
  try {
    await issuer.attestMany(lines(), {
      onProgress({ sequence, mark }) {
        recorder.write(ops.get(mark!.line)!, { kind: 'ok', f: 'publish', sequence: Number(sequence) })
        ops.delete(mark!.line)
      },
    })
  } catch (error) {
    refuseStrange(error)
    // Which of the rest were signed, the next settlement tells.
    for (const op of ops.values()) recorder.write(op, { kind: 'info', f: 'publish', code: codeOf(error) })
  }
  await pause(BATCH_PAUSE_MS * draw(), part.stopped)
}

async function publish(writer: Writer, { subset, body }: Fact): Promise<void> {
  const { issuer, stream, check } = writer
  const { recorder } = part
  const digest = shortDigest(canonicalJson(body))
  const op = recorder.invoke({ kind: 'invoke', f: 'publish', stream: stream.stream, subset, body: digest })
  let published: Published
  try {
    published = await issuer.attest({ subset, body })
  } catch (error) {
    refuseStrange(error)
    const code = codeOf(error)
    // Anything but this says that the entry is not, and will not be, published.
    recorder.write(op, { kind: code === 'stream.unconfirmed' ? 'info' : 'fail', f: 'publish', code })
    return pause(250, part.stopped)
  }
  const { sequence, uid, digest: bytes } = check(stream, published.item)
  const signers = signersOf(writer, published)
  recorder.write(op, { kind: 'ok', f: 'publish', sequence, uid, digest: bytes, signers })
}

/** Home anchors that signed the receipt, checked beside the SDK; 0 when it does not hold for this entry. */
function signersOf({ smartLayer, check, stream }: Writer, { item, receipt }: Published): number {
  const { crypto, network } = smartLayer.site
  const { sequence, uid } = check(stream, item)
  const entry = { stream: stream.stream, sequence: BigInt(sequence), uid: uid as Bytes32 }
  const home = homeOf(stream.stream, network.membership, crypto.keccak)
  const verdict = checkReceipt(receipt, entry, { home, domain: network.domain, crypto })
  return accepted(verdict) ? new Set(receipt.signatures).size : 0
}

/** Sends what was signed before until it has its receipt. */
async function settle({ issuer }: Writer, limitMs: number): Promise<boolean> {
  for (const started = performance.now(); ; ) {
    try {
      await issuer.settle()
      part.recorder.write(0, { kind: 'info', f: 'life', state: 'settled' })
      return true
    } catch (error) {
      refuseStrange(error)
      if (performance.now() - started > limitMs) return false
      await pause(250)
    }
  }
}

/** The network may be away; what is not for that reason must not happen to an honest issuer. */
function refuseStrange(error: unknown): void {
  const isAway = isSmartLayerError(error) && error.kind === 'unavailable'
  if (isAway) return
  const detail = error instanceof Error ? `${codeOf(error)}: ${error.message}` : String(error)
  part.recorder.write(0, { kind: 'info', f: 'wrong', detail: `${part.name} was refused: ${detail}` })
}

function factOf({ draw }: Writer, size: number): Fact {
  const subset = SUBSETS[draw() < 0.2 ? 0 : 1 + Math.floor(draw() * (SUBSETS.length - 1))]!
  return { subset, body: { n: `${part.life}.${++made}`, pad: 'x'.repeat(size) } }
}
