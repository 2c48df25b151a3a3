/** `sl streams`: where every stream stands, who lags and who follows; one of them in detail; and its entries as they come. */
import {
  type Bytes32,
  type CertifiedCheckpoint,
  certifiedCheckpointShape,
  type ForkProof,
  forkProofShape,
  networkInfoShape,
  nobleCrypto,
  SmartLayerError,
  type StreamHead,
  streamHeadShape,
  subsetOf,
  uidOf,
} from '@smartlayer/protocol'
import { networkOf } from '@smartlayer/sdk'
import type { Command } from 'commander'
import { type NodePlace, nodesOf, readNode } from '../command-line/connection.ts'
import { onlyCandidate, shortId } from '../command-line/ids.ts'
import { type CommonOptions, define } from '../command-line/options.ts'
import { type Output, printable, table } from '../command-line/output.ts'
import { lookAt, type StreamView, viewsOf } from '../command-line/stream-status.ts'
import { type TailedEntry, tailLive, tailPages } from '../command-line/stream-tail.ts'

type TailOptions = {
  readonly subset?: string
  readonly after?: string
  readonly lane?: string
  readonly limit?: string
}

export function addStreams(program: Command): void {
  const command = program
    .command('streams')
    .description('show where every stream stands: entries, receipts, lag, followers, and why')
  define(command, ['streams', 'streams --network http://127.0.0.1:7801 --json'], async ({ options, output }) => {
    const views = await viewsAt(await nodesOf(options))
    output.data(views, listLines(views, output))
  })
  addShow(command)
  addTail(command)
}

function addShow(streams: Command): void {
  const command = streams
    .command('show')
    .description('show one stream at every anchor, with its checkpoint, its fork if there is one, and who follows it')
    .argument('<stream>', 'id of the stream, or its unique beginning')
  const examples = ['streams show 0x5b8e2c', 'streams show 0x5b8e2c --json'] as const
  define<object, [string]>(command, examples, async ({ options, output }, prefix) => {
    const nodes = await nodesOf(options)
    const views = await viewsAt(nodes)
    const stream = streamBy(prefix, views)
    const anchors = await anchorsOfNodes(nodes)
    const at = await Promise.all(anchors.map((anchor) => detailsAt(anchor, stream)))
    const view = views.find((each) => each.stream === stream)
    output.data({ stream, view, anchors: at.map(toJson) }, showLines(stream, view, at, output))
  })
}

function addTail(streams: Command): void {
  const command = streams
    .command('tail')
    .description('print the entries of a stream as they come, each checked, until Ctrl-C')
    .argument('<stream>', 'id of the stream, or its unique beginning')
    .option('--subset <key>', 'only the entries of this subset')
    .option(
      '--after <cursor>',
      'begin after this place of the stream, or of the subset; 0 is the beginning (default: now)',
    )
    .option('--lane <name>', 'lane of the stream: entries come over a live subscription, instead of being asked for')
    .option('--limit <count>', 'end after so many entries')
  const examples = [
    'streams tail 0x5b8e2c',
    'streams tail 0x5b8e2c --subset flight-status/LH454/2026-11-12 --after 0',
  ] as const
  define<TailOptions, [string]>(command, examples, async ({ options, output }, prefix) => {
    const nodes = await nodesOf(options)
    const stream = streamBy(prefix, await viewsAt(nodes))
    const stop = new AbortController()
    const end = () => stop.abort()
    process.once('SIGINT', end).once('SIGTERM', end)
    const asked = {
      stream,
      subset: options.subset,
      after: options.after === undefined ? undefined : wholeNumber(options.after, '--after'),
      signal: stop.signal,
    }
    const limit = options.limit === undefined ? undefined : wholeNumber(options.limit, '--limit')
    try {
      let count = 0n
      for await (const entry of await entriesOf(nodes, asked, options)) {
        output.data(entry, [entryLine(entry, output)])
        if (++count === limit) return
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error
    } finally {
      stop.abort()
      process.off('SIGINT', end).off('SIGTERM', end)
    }
  })
}

async function entriesOf(
  nodes: readonly NodePlace[],
  asked: { stream: Bytes32; subset: string | undefined; after: bigint | undefined; signal: AbortSignal },
  options: TailOptions & CommonOptions,
): Promise<AsyncIterable<TailedEntry>> {
  const anchors = (await anchorsOfNodes(nodes)).map(({ api }) => api)
  const subset = asked.subset === undefined ? undefined : subsetOf(asked.subset, nobleCrypto.keccak)
  const { lane } = options
  if (lane !== undefined) return tailLive(anchors, { ...asked, lane, options })
  const network = networkOf(await networkAt(anchors), nobleCrypto)
  return tailPages(anchors, { ...asked, subset, network })
}

async function networkAt(anchors: readonly string[]) {
  let last: unknown
  for (const anchor of anchors) {
    try {
      return networkInfoShape.parse(await readNode(`${anchor}/v1/network`), 'network')
    } catch (error) {
      last = error
    }
  }
  throw last ?? SmartLayerError.of('network.unreachable', { peer: 'any anchor' })
}

async function viewsAt(nodes: readonly NodePlace[]): Promise<readonly StreamView[]> {
  const seen = await Promise.all(nodes.map(lookAt))
  if (seen.every(({ status }) => !status)) {
    throw SmartLayerError.of('network.unreachable', { peer: `any of the ${nodes.length} nodes` })
  }
  return viewsOf(seen)
}

/** Nodes that keep streams: service nodes have no such routes. */
async function anchorsOfNodes(nodes: readonly NodePlace[]): Promise<readonly NodePlace[]> {
  const seen = await Promise.all(nodes.map(lookAt))
  return seen.filter(({ status }) => status?.role === 'anchor')
}

/** A whole id needs no anchor that names it. */
function streamBy(prefix: string, views: readonly StreamView[]): Bytes32 {
  const ids = views.map(({ stream }) => stream)
  return onlyCandidate(prefix.toLowerCase(), ids)
}

function listLines(views: readonly StreamView[], output: Output): readonly string[] {
  if (views.length === 0) return ['No stream has an entry yet.']
  const header = ['STREAM', 'ISSUER', 'EPOCH', 'ENTRIES', 'CERTIFIED', 'CHECKPOINT', 'FLOOR', 'FOLLOWERS', 'STATE', '']
  const rows = views.map((view) => [
    shortId(view.stream),
    view.issuer ? shortId(view.issuer) : '–',
    String(view.epoch),
    String(view.sequence),
    String(view.certified),
    String(view.checkpoint),
    String(view.floor),
    String(view.followers),
    printable(view.state),
    printable(view.reason),
  ])
  const [head, ...lines] = table([header, ...rows])
  return [output.style('bold', head ?? ''), ...lines, ...views.flatMap(differences)]
}

/** What does not stand where the others do: lag of anchors, gaps of followers. */
function differences({ stream, anchors, followed }: StreamView): readonly string[] {
  const id = shortId(stream)
  return [
    ...anchors.flatMap(({ node, status, behind }) => {
      if (!status) return [`${id}  ${node} does not say`]
      return behind > 0n ? [`${id}  ${node} lacks ${behind}: ${printable(status.reason || status.state)}`] : []
    }),
    ...followed
      .filter(({ behind, waiting }) => behind > 0n || waiting > 0)
      .map(({ node, subset, after, behind, waiting, state, reason }) => {
        const why = printable(reason || state)
        return `${id}  ${node} is at ${after} of subset ${shortId(subset)}, ${behind} behind, ${waiting} waiting: ${why}`
      }),
  ]
}

type AnchorDetails = {
  readonly name: string
  readonly head: StreamHead | undefined
  readonly checkpoint: CertifiedCheckpoint | undefined
  readonly fork: ForkProof | undefined
}

async function detailsAt({ name, api }: NodePlace, stream: Bytes32): Promise<AnchorDetails> {
  const at = async <T>(path: string, read: (json: unknown) => T): Promise<T | undefined> => {
    try {
      return read(await readNode(`${api}/v1/streams/${stream}${path}`))
    } catch {
      return undefined // there is none, or the anchor is down: the table shows a dash
    }
  }
  const [head, checkpoint, fork] = await Promise.all([
    at('', (json) => streamHeadShape.parse(json, 'head')),
    at('/checkpoint', (json) => certifiedCheckpointShape.parse(json, 'checkpoint')),
    at('/fork', (json) => forkProofShape.parse(json, 'fork')),
  ])
  return { name, head, checkpoint, fork }
}

function toJson({ name, head, checkpoint, fork }: AnchorDetails): unknown {
  return {
    name,
    head: head && streamHeadShape.toJson(head),
    checkpoint: checkpoint && certifiedCheckpointShape.toJson(checkpoint),
    fork: fork && forkProofShape.toJson(fork),
  }
}

function showLines(
  stream: Bytes32,
  view: StreamView | undefined,
  anchors: readonly AnchorDetails[],
  output: Output,
): readonly string[] {
  const header = ['NODE', 'EPOCH', 'ENTRIES', 'CERTIFIED', 'CHECKPOINT', 'FLOOR', 'KEY', 'HEAD', '']
  const rows = anchors.map(({ name, head, checkpoint }) => [
    name,
    String(head?.epoch ?? '–'),
    String(head?.sequence ?? '–'),
    String(head?.certified ?? '–'),
    String(checkpoint?.checkpoint.size ?? '–'),
    String(head?.floor ?? '–'),
    head?.key ? shortId(head.key) : '–',
    head ? shortId(head.head) : '–',
    head?.frozenAfter === undefined ? '' : `frozen after ${head.frozenAfter}`,
  ])
  const [head, ...lines] = table([header, ...rows])
  const state = view ? `${printable(view.state)}${view.reason ? `: ${printable(view.reason)}` : ''}` : 'unknown'
  return [
    `stream  ${stream}`,
    `issuer  ${view?.issuer ?? 'not known'}`,
    `state   ${state}`,
    '',
    output.style('bold', head ?? ''),
    ...lines,
    ...checkpointLines(anchors),
    ...forkLines(anchors),
    ...followerLines(view, output),
  ]
}

function checkpointLines(anchors: readonly AnchorDetails[]): readonly string[] {
  const all = anchors.flatMap(({ checkpoint }) => (checkpoint ? [checkpoint] : []))
  const newest = all.toSorted((a, b) => (a.checkpoint.size > b.checkpoint.size ? -1 : 1))[0]
  if (!newest) return []
  const { size, root, time } = newest.checkpoint
  const at = new Date(Math.min(Number(time) * 1000, 8.64e15)).toISOString()
  return ['', `checkpoint of ${size} entries, root ${shortId(root)}, ${newest.signatures.length} signatures, ${at}`]
}

function forkLines(anchors: readonly AnchorDetails[]): readonly string[] {
  const fork = anchors.find((each) => each.fork)?.fork
  if (!fork) return []
  const uid = ({ attestation }: ForkProof['first']) => uidOf(attestation.message, nobleCrypto.keccak)
  return ['', 'fork: the issuer signed two entries for one place', `  ${uid(fork.first)}`, `  ${uid(fork.second)}`]
}

function followerLines(view: StreamView | undefined, output: Output): readonly string[] {
  if (!view || view.followed.length === 0) return []
  const rows = view.followed.map(({ node, subset, after, known, waiting, state, reason }) => [
    node,
    shortId(subset),
    String(after),
    String(known),
    String(waiting),
    printable(state),
    printable(reason),
  ])
  const [head, ...lines] = table([['FOLLOWER', 'SUBSET', 'APPLIED', 'KNOWN', 'WAITING', 'STATE', ''], ...rows])
  return ['', output.style('bold', head ?? ''), ...lines]
}

function entryLine({ sequence, subset, kind, uid, body }: TailedEntry, output: Output): string {
  return `${String(sequence).padStart(8)}  ${output.style('dim', shortId(uid))}  ${shortId(subset)}  ${kind.padEnd(10)}  ${printable(body)}`
}

function wholeNumber(text: string, flag: string): bigint {
  if (/^\d{1,18}$/.test(text)) return BigInt(text)
  throw SmartLayerError.of('cli.usage', { detail: `${flag} takes a whole number` })
}
