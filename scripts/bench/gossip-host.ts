/** What a side of the gossip benchmark provides: nodes in this process that spread an issuer's facts to all others. */
import type { fastCrypto } from '@smartlayer/node'
import type { StreamItem } from '@smartlayer/protocol'
import type { FactsContext } from './gossip-facts.ts'

export type Layout = {
  readonly nodes: number
  /** Nodes are dealt out to these in turn. */
  readonly processes: number
  /** The first of the nodes; they are the homes of the stream where a side knows such a thing. */
  readonly anchors: number
}

/** The node that the issuer talks to; an anchor. */
export const DOOR = 0

export type HostOptions = {
  readonly layout: Layout
  /** The numbers of the nodes that run in this process. */
  readonly mine: readonly number[]
  readonly crypto: Awaited<ReturnType<typeof fastCrypto>>
  readonly context: FactsContext
  /** Of this process, empty, removed after the run. */
  readonly folder: string
  /** To be called once per node and fact, when the node has checked it and would act on it. */
  readonly delivered: (node: number, sequence: number) => void
}

export type GossipHost = {
  /** For each node of this process, in the order of `mine`, the text that others need to reach it. */
  readonly addresses: readonly string[]
  /** Gets the addresses of all nodes by number. Resolves once all of this process's nodes hear what is published. */
  join(addresses: readonly string[]): Promise<void>
  /** Gives the next facts to a node of this process, as their issuer would: one, or a whole batch. The node checks them too. */
  publish(node: number, items: readonly StreamItem[]): Promise<void>
  /** From now on this share of the messages between nodes is lost, in this process where they arrive. */
  lose(share: number): void
  stop(): Promise<void>
}

/** The export of a side's module. */
export type StartHost = (options: HostOptions) => Promise<GossipHost>

/** A side by its name in the table and the module that exports `startHost`. */
export type GossipSide = { readonly name: string; readonly module: string }

export function nodesOf(process: number, { nodes, processes }: Layout): readonly number[] {
  return Array.from({ length: nodes }, (_, node) => node).filter((node) => node % processes === process)
}
