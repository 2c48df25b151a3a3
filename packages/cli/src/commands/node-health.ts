/** `sl node status` and `sl node drain`: how anchors judge service nodes and why, and planned maintenance of one of them. */
import {
  type Address,
  drainInfoShape,
  type JudgedWindowInfo,
  type NodeHealth,
  type NodeInfo,
  nodeHealthShape,
  nodePageShape,
  SHARE_PARTS,
  SmartLayerError,
  statusShape,
} from '@smartlayer/protocol'
import type { Command } from 'commander'
import { type NodePlace, nodesOf, readNode, tellNode } from '../command-line/connection.ts'
import { type CommonOptions, define } from '../command-line/options.ts'
import { type Output, printable, table } from '../command-line/output.ts'

const WINDOWS_SHOWN = 12
const PAGES = 64
const DAY_MS = 86_400_000
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 }
const DEFAULT_FOR = '10m'

/** A service node with the name it has here, where it is in the registry's order or in the local network. */
export type NamedNode = { readonly name: string; readonly info: NodeInfo }
export type Running = NodePlace & { readonly node: Address | undefined; readonly tokens: readonly string[] }

export function addNodeStatus(node: Command): void {
  const command = node
    .command('status')
    .description('show how anchors judge the service nodes, and why')
    .option('--node <name>', 'all about one node, by name or address')
  const examples = ['node status', 'node status --node service-2 --json'] as const
  define<{ node?: string }>(command, examples, async ({ options, output }) => {
    const running = await Promise.all((await nodesOf(options)).map(look))
    if (options.node !== undefined) return showOne(output, running, options.node)
    const nodes = namedNodes(await judgements(running), running)
    output.data(
      nodes.map(({ name, info }) => ({ name, ...info })),
      headed(output, statusRows(nodes)),
    )
  })
}

export function addNodeDrain(node: Command): void {
  const command = node
    .command('drain')
    .description('plan maintenance of a node of a development network: it hands over what it hosts, without penalty')
    .argument('<name>', 'name or address of a service node')
    .option('--for <duration>', 'how long: 90s, 10m, 2h', durationOf, durationOf(DEFAULT_FOR))
    .option('--cancel', 'take back what is planned', false)
  const examples = ['node drain service-2 --for 30m', 'node drain service-2 --cancel'] as const
  define<{ for: number; cancel: boolean }, [string]>(command, examples, async ({ options, output }, wanted) => {
    const place = await placeOf(options, wanted)
    const forMs = options.cancel ? 0 : options.for
    const { drain } = drainInfoShape.parse(await tellNode(`${place.api}/v1/development/drain`, { forMs }), 'drain')
    const until = new Date(Number(drain.until)).toISOString()
    output.data(drain, [options.cancel ? `${place.name} takes part again` : `${place.name} drains until ${until}`])
  })
}

/** `90s`, `10m` or `2h` in milliseconds. Throws `cli.usage`. */
export function durationOf(text: string): number {
  const [, amount, unit] = /^([1-9]\d{0,4})([smh])$/.exec(text) ?? []
  const ms = Number(amount) * (UNIT_MS[unit ?? ''] ?? Number.NaN)
  if (ms <= DAY_MS) return ms
  throw SmartLayerError.of('cli.usage', { detail: '--for takes a duration of at most a day, such as 90s, 10m or 2h' })
}

/** Of what several anchors say of a node the judgement in the middle: no lying anchor can move it far. */
export function middleOf(pages: readonly (readonly NodeInfo[])[]): readonly NodeInfo[] {
  const byNode = new Map<Address, NodeInfo[]>()
  for (const info of pages.flat()) byNode.set(info.node, [...(byNode.get(info.node) ?? []), info])
  return [...byNode.values()].map((said) => said.toSorted((a, b) => a.score - b.score)[said.length >> 1]!)
}

/** The table of `sl node status`. */
export function statusRows(nodes: readonly NamedNode[]): readonly (readonly string[])[] {
  const rows = nodes.map(({ name, info }) => [
    name,
    stateOf(info),
    percent(info.score),
    percent(info.weight),
    `${info.instances} of ${info.limit}`,
    reasonsOf(info),
    outlookOf(info),
  ])
  return [['NODE', 'STATE', 'SCORE', 'READS', 'PLACED', 'LAST MISSED', 'NEXT'], ...rows]
}

function stateOf({ alive, state, until, drain }: NodeInfo): string {
  if (drain) return `maintenance until ${clockTime(drain.until)}`
  if (!alive) return `${state}, silent`
  return state === 'penalised' ? `penalised until ${clockTime(until)}` : state
}

function reasonsOf({ reasons }: Pick<NodeInfo, 'reasons'>): string {
  return reasons.map(({ objective, measured, wanted }) => reasonText(objective, measured, wanted)).join('; ') || '–'
}

/** `latency 900 ms, wanted 512 ms`. */
function reasonText(objective: string, measured: number, wanted: number): string {
  const names: Record<string, string> = { latencyMs: 'latency', stalenessMs: 'staleness', failedCalls: 'failed calls' }
  const show = (value: number) => (objective.endsWith('Ms') ? `${value} ms` : percent(value))
  return `${names[objective] ?? printable(objective)} ${show(measured)}, wanted ${show(wanted)}`
}

/** What would happen if it missed its objectives from now on. */
function outlookOf({ state, outlook, drain }: NodeInfo): string {
  if (drain) return 'nothing: maintenance is excused'
  if (state === 'penalised') return 'on probation after its penalty'
  const steps = [
    outlook.draining > 0 ? `drained after ${windows(outlook.draining)}` : '',
    outlook.penalty > 0 ? `penalised after ${windows(outlook.penalty)}` : 'a penalty is due',
  ]
  return steps.filter(Boolean).join(', ')
}

function windows(count: number): string {
  return `${count} missed window${count === 1 ? '' : 's'}`
}

async function showOne(output: Output, running: readonly Running[], wanted: string): Promise<void> {
  const place = running.find((each) => isCalled(each, wanted))
  const address = place?.node ?? wanted
  const said = await fromAnchors(running, async ({ api }) =>
    nodeHealthShape.parse(await readNode(`${api}/v1/nodes/${encodeURIComponent(address)}/health`), 'health'),
  )
  const health = said.toSorted((a, b) => a.node.score - b.node.score)[said.length >> 1]!
  const name = place?.name ?? wanted
  output.data({ name, ...health, tokens: place?.tokens ?? [] }, [
    ...headed(output, statusRows([{ name, info: health.node }])),
    '',
    ...detailLines(health, place?.tokens ?? []),
  ])
}

function detailLines(health: NodeHealth, tokens: readonly string[]): readonly string[] {
  const { objectives, windowMs, penalties } = health
  const objectiveNames = ['availability', 'latencyMs', 'stalenessMs', 'failedCalls'] as const
  const shown = health.windows.slice(-WINDOWS_SHOWN).toReversed()
  const rows = shown.map((window) => [
    clockTime(window.start),
    window.verdict,
    String(window.probers),
    ...objectiveNames.map((name) => measured(window, name)),
  ])
  const wanted = ['wanted', '', '', ...objectiveNames.map((name) => valueText(name, objectives[name]))]
  return [
    `Windows of ${Number(windowMs) / 1_000} s, newest first:`,
    ...table([['START', 'VERDICT', 'PROBERS', 'AVAILABLE', 'LATENCY', 'STALENESS', 'FAILED'], wanted, ...rows]),
    '',
    ...(penalties.length === 0
      ? ['No penalties.']
      : penalties.map(
          ({ record }) =>
            `Penalty from ${iso(record.from)} until ${iso(record.until)}, ${record.samples.length} samples as evidence`,
        )),
    ...tokens.map((token) => `Hosts ${printable(token)}`),
  ]
}

function measured({ measure }: JudgedWindowInfo, name: keyof NonNullable<JudgedWindowInfo['measure']>): string {
  return measure ? valueText(name, measure[name]) : '–'
}

function valueText(objective: string, value: number): string {
  return objective.endsWith('Ms') ? `${value} ms` : percent(value)
}

async function look(place: NodePlace): Promise<Running> {
  try {
    const { node, instances, role } = statusShape.parse(await readNode(`${place.api}/v1/status`), 'status')
    const hosted = role === 'service' ? instances.filter(({ replicas }) => replicas.includes(node)) : []
    return { ...place, node, tokens: hosted.map(({ token }) => token) }
  } catch {
    return { ...place, node: undefined, tokens: [] } // it is down; anchors still say what they know of it
  }
}

/** What every anchor that answers says of all nodes. */
export async function judgements(running: readonly Running[]): Promise<readonly NodeInfo[]> {
  return middleOf(await fromAnchors(running, ({ api }) => allNodes(api)))
}

async function allNodes(api: string): Promise<readonly NodeInfo[]> {
  const nodes: NodeInfo[] = []
  let after: string | undefined
  for (let page = 0; page < PAGES; page++) {
    const { nodes: some, next } = nodePageShape.parse(
      await readNode(`${api}/v1/nodes${after ? `?after=${after}` : ''}`),
      'nodes',
    )
    nodes.push(...some)
    if (!next) break
    after = next
  }
  return nodes
}

/** Asks all nodes; service nodes know no such route. Throws what an anchor refused with, or `network.unreachable`. */
async function fromAnchors<T>(
  running: readonly Running[],
  ask: (place: NodePlace) => Promise<T>,
): Promise<readonly T[]> {
  const asked = await Promise.allSettled(running.map(ask))
  const said = asked.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  if (said.length > 0) return said
  const refusals = asked.flatMap((each) => (each.status === 'rejected' ? [each.reason as SmartLayerError] : []))
  const telling = refusals.find(({ code }) => code !== 'api.not_found' && code !== 'network.unreachable')
  throw telling ?? SmartLayerError.of('network.unreachable', { peer: `any of the ${running.length} nodes` })
}

function namedNodes(infos: readonly NodeInfo[], running: readonly Running[]): readonly NamedNode[] {
  const nameOf = ({ node }: NodeInfo) => running.find((each) => each.node === node)?.name ?? node
  return infos.map((info) => ({ name: nameOf(info), info })).toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

async function placeOf(options: CommonOptions, wanted: string): Promise<NodePlace> {
  const running = await Promise.all((await nodesOf(options)).map(look))
  const place = running.find((each) => isCalled(each, wanted))
  if (place) return place
  const names = running.map(({ name }) => name).join(', ')
  throw SmartLayerError.of('cli.usage', { detail: `there is no node ${printable(wanted)}; there are ${names}` })
}

function isCalled({ name, node }: Running, wanted: string): boolean {
  return name === wanted || node === wanted
}

function headed(output: Output, rows: readonly (readonly string[])[]): readonly string[] {
  const [head, ...lines] = table(rows)
  return [output.style('bold', head ?? ''), ...lines]
}

function percent(parts: number): string {
  return `${Math.round((parts * 1_000) / SHARE_PARTS) / 10} %`
}

function clockTime(ms: bigint): string {
  return iso(ms).slice(11, 19)
}

function iso(ms: bigint): string {
  return new Date(Number(ms)).toISOString()
}
