/** Which network a command talks to: the one in the folder, checked against its chain, or the one of a node's URL. */
import { join } from 'node:path'
import { fastCrypto } from '@smartlayer/node'
import {
  anchorsOf,
  type Hex,
  isSmartLayerError,
  type NetworkInfo,
  networkInfoShape,
  SmartLayerError,
} from '@smartlayer/protocol'
import { connect, createSite, SmartLayer } from '@smartlayer/sdk/server'
import { readJson } from '../local-network/keys.ts'
import { layoutOf } from '../local-network/layout.ts'
import type { NetworkFile } from '../local-network/local-network.ts'
import type { CommonOptions } from './options.ts'

const TIMEOUT_MS = 5_000

/** Nodes by name, with the base URL of their API. */
export type NodePlace = { readonly name: string; readonly api: string }

/** A client with this key. A network by URL is believed as far as f + 1 of its anchors agree. */
export async function clientOf(options: CommonOptions, key: Hex): Promise<SmartLayer> {
  const crypto = await fastCrypto()
  if (!options.network) {
    const { file, layout } = localNetwork(options)
    const anchors = layout.nodes.filter(({ role }) => role === 'anchor').map(({ api }) => api)
    const chain = { id: file.chainId, rpcUrl: rpcUrlOf(layout), registry: file.contracts.nodeRegistry }
    return connect({ anchors, chain, key, crypto })
  }
  const info = await networkAt(options.network)
  const site = await createSite({
    anchors: anchorsOf(info).map(({ api }) => api),
    trust: { chainId: info.chainId, registry: info.registry },
    signer: crypto.signer(key),
    crypto: crypto.crypto,
  })
  return new SmartLayer(site)
}

/** Every node of the network, whether it runs or not. */
export async function nodesOf(options: CommonOptions): Promise<readonly NodePlace[]> {
  if (!options.network) return localNetwork(options).layout.nodes
  const { members } = await networkAt(options.network)
  const named = new Map<string, number>()
  return members.map(({ role, api }) => {
    const number = (named.get(role) ?? 0) + 1
    named.set(role, number)
    return { name: `${role}-${number}`, api }
  })
}

/** The RPC URL of the chain: of the local network, unless one is given. */
export function chainUrl(options: CommonOptions, rpc: string | undefined): string {
  if (rpc) return rpc
  if (!options.network) return rpcUrlOf(localNetwork(options).layout)
  throw SmartLayerError.of('cli.usage', { detail: 'with --network, name its chain too: --rpc URL' })
}

/** Reads JSON from a node. Throws what the node refuses with, or `network.unreachable`. */
export async function readNode(url: string, timeoutMs: number = TIMEOUT_MS): Promise<unknown> {
  return askNode(url, { method: 'GET' }, timeoutMs)
}

/** Sends JSON to a node and reads its answer. Throws as `readNode`. */
export async function tellNode(url: string, body: unknown): Promise<unknown> {
  const headers = { 'content-type': 'application/json' }
  return askNode(url, { method: 'POST', headers, body: JSON.stringify(body) }, TIMEOUT_MS)
}

async function askNode(url: string, request: RequestInit, timeoutMs: number): Promise<unknown> {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(timeoutMs), redirect: 'error' })
    const json = (await response.json()) as { code?: unknown; facts?: Readonly<Record<string, unknown>> } | null
    if (response.ok) return json
    if (typeof json?.code === 'string') throw SmartLayerError.fromData(json.code, json.facts ?? {})
    throw new Error(`status ${response.status}`)
  } catch (error) {
    if (isSmartLayerError(error)) throw error
    throw SmartLayerError.because(error, 'network.unreachable', { peer: url })
  }
}

function localNetwork({ folder, portBase }: CommonOptions) {
  const path = join(folder, 'network.json')
  const file = readJson<NetworkFile>(path)
  if (file) return { file, layout: layoutOf(folder, portBase) }
  throw SmartLayerError.of('file.unreadable', {
    path,
    reason: 'no network ran there; start one with npm start or sl dev',
  })
}

function rpcUrlOf({ chainPort }: { chainPort: number }): string {
  return `http://127.0.0.1:${chainPort}`
}

async function networkAt(url: string): Promise<NetworkInfo> {
  if (!URL.canParse(url)) throw SmartLayerError.of('cli.usage', { detail: '--network takes a URL' })
  return networkInfoShape.parse(await readNode(new URL('/v1/network', url).href), 'network')
}
