/** `sl status`: what every node of a network says of itself. */
import { formatTerm, type NodeStatus, SmartLayerError, statusShape } from '@smartlayer/protocol'
import type { Command } from 'commander'
import { type NodePlace, nodesOf, readNode } from '../command-line/connection.ts'
import { define } from '../command-line/options.ts'
import { type Output, printable, table } from '../command-line/output.ts'

type Seen = NodePlace & { readonly status: NodeStatus | undefined }

export function addStatus(program: Command): void {
  const command = program.command('status').description('show all nodes, and where every token runs')
  define(command, ['status', 'status --network http://127.0.0.1:7801 --json'], async ({ options, output }) => {
    const nodes = await Promise.all((await nodesOf(options)).map(look))
    if (nodes.every(({ status }) => !status))
      throw SmartLayerError.of('network.unreachable', { peer: `any of the ${nodes.length} nodes` })
    output.data(
      nodes.map(({ status, ...place }) => ({ ...place, status: status && statusShape.toJson(status) })),
      [...nodeLines(nodes, output), '', ...tokenLines(nodes)],
    )
  })
}

async function look(place: NodePlace): Promise<Seen> {
  try {
    return { ...place, status: statusShape.parse(await readNode(`${place.api}/v1/status`), 'status') }
  } catch {
    return { ...place, status: undefined } // shown as down
  }
}

function nodeLines(nodes: readonly Seen[], output: Output): readonly string[] {
  const rows = nodes.map(({ name, api, status }) => {
    if (!status) return [name, 'down', '', '', '', api]
    const connected = status.peers.filter((peer) => peer.connected).length
    const state = status.ready ? 'ready' : `not ready: ${printable(status.reason)}`
    return [name, state, String(status.epoch), String(connected), String(status.instances.length), api]
  })
  const [head, ...lines] = table([['NODE', 'STATE', 'EPOCH', 'PEERS', 'TOKENS', 'API'], ...rows])
  return [output.style('bold', head ?? ''), ...lines]
}

/** One line per token and replica, so that differences between replicas are seen. */
function tokenLines(nodes: readonly Seen[]): readonly string[] {
  const rows = nodes.flatMap(({ name, status }) =>
    (status?.role === 'service' ? status.instances : []).map((instance) => [
      printable(instance.token),
      name,
      instance.executor === status?.node ? 'executor' : 'replica',
      formatTerm(instance.term),
      String(instance.confirmed ?? '–'),
      instance.stateRoot?.slice(0, 10) ?? '–',
      instance.disputed ? `disputed: ${printable(instance.disputed)}` : '',
    ]),
  )
  if (rows.length === 0) return ['No token runs.']
  return table([
    ['TOKEN', 'NODE', 'ROLE', 'TERM', 'N', 'STATE', ''],
    ...rows.toSorted((a, b) => (a[0]! < b[0]! ? -1 : 1)),
  ])
}
