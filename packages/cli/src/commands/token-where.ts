/** `sl token where`: which anchors keep a token, who executes it until when, and how fit its nodes are. */
import {
  type Address,
  formatTerm,
  isSmartLayerError,
  type NodeInfo,
  type PlacementInfo,
  SHARE_PARTS,
  SmartLayerError,
} from '@smartlayer/protocol'
import { resolve } from '@smartlayer/sdk/server'
import type { Command } from 'commander'
import { define } from '../command-line/options.ts'
import { type Output, table } from '../command-line/output.ts'
import { placeOfToken, type TokenPlace } from '../command-line/token-place.ts'
import { judgements } from './node-health.ts'

export function addTokenWhere(token: Command): void {
  const command = token
    .command('where')
    .description('show where a token lives: home anchors, executor, replicas, lease')
    .argument('<token>', 'CAIP-19 id of the token')
  const examples = [
    'token where eip155:7000001/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/454',
    'token where eip155:1/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/454 --network https://a1.example --json',
  ] as const
  define<object, [string]>(command, examples, async ({ options, output }, text) => {
    const place = await placeOfToken(options, text)
    const info = await placementOf(place)
    const health = await healthOf(place)
    output.data(whereJson(place, info, health), whereLines(place, info, { health, output }))
  })
}

/** The verified placement; undefined while an executor is being elected. */
async function placementOf({ site, token }: TokenPlace): Promise<PlacementInfo | undefined> {
  try {
    return await resolve(site, token)
  } catch (error) {
    if (isSmartLayerError(error) && error.code === 'placement.none') return undefined
    throw error
  }
}

/** What anchors say of service nodes, when any of them answers. */
async function healthOf({ anchors }: TokenPlace): Promise<ReadonlyMap<Address, NodeInfo>> {
  const asked = anchors.map(({ node, api }) => ({ name: node, api, node, tokens: [] }))
  const infos = await judgements(asked).catch((error) => {
    if (error instanceof SmartLayerError) return [] // shown without
    throw error
  })
  return new Map(infos.map((info) => [info.node, info]))
}

function whereJson(
  { token, shard, home, epoch }: TokenPlace,
  info: PlacementInfo | undefined,
  health: ReadonlyMap<Address, NodeInfo>,
) {
  const placement = info?.certified.placement
  return {
    token,
    shard,
    epoch,
    homeAnchors: home.anchors,
    quorum: home.quorum,
    instance: info?.instance,
    scriptHash: info?.scriptHash,
    placement: placement && {
      ...placement,
      term: formatTerm(placement.term),
      headTerm: formatTerm(placement.headTerm),
    },
    lease: info && { expires: leaseEnd(info) },
    health: placement?.replicas.map((node) => ({
      node,
      state: health.get(node)?.state,
      score: health.get(node)?.score,
    })),
  }
}

function whereLines(
  { token, shard, home, epoch, anchors }: TokenPlace,
  info: PlacementInfo | undefined,
  { health, output }: { health: ReadonlyMap<Address, NodeInfo>; output: Output },
): readonly string[] {
  const lines = [
    output.style('bold', token),
    `shard       ${shard}, epoch ${epoch}`,
    `home        ${home.quorum} of ${anchors.length} anchors decide`,
    ...anchors.map(({ node, api }) => `            ${node}  ${api}`),
  ]
  if (!info) return [...lines, 'placement   none: its home anchors are electing an executor']
  const { term, incarnation, executor, replicas, proposer, headN } = info.certified.placement
  const rows = replicas.map((node) => [node, node === executor ? 'executor' : 'replica', stateOf(health.get(node))])
  return [
    ...lines,
    `instance    ${info.instance}`,
    `script      ${info.scriptHash}`,
    `incarnation ${incarnation}`,
    `term        ${formatTerm(term)}, proposed by ${proposer}, from entry ${headN} on`,
    `lease       until ${new Date(Number(leaseEnd(info))).toISOString()}`,
    '',
    ...table([['NODE', 'ROLE', 'HEALTH'], ...rows]),
  ]
}

function stateOf(info: NodeInfo | undefined): string {
  if (!info) return 'not known'
  const score = Math.round((info.score * 100) / SHARE_PARTS)
  return `${info.alive ? info.state : `${info.state}, silent`} (${score} %)`
}

function leaseEnd({ certified, lease }: PlacementInfo): bigint {
  return lease?.renew.expires ?? certified.placement.expires
}
