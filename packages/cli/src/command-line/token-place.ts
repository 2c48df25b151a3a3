/** Which anchors are home of a token, and how its placement is found: the same for all commands about one instance. */
import { randomBytes } from 'node:crypto'
import {
  type Address,
  formatTokenRef,
  type Hex,
  type Home,
  type HomeSet,
  homeOf,
  homesOver,
  parseTokenRef,
  tokenOf,
} from '@smartlayer/protocol'
import type { Site } from '@smartlayer/sdk/server'
import { clientOf } from './connection.ts'
import type { CommonOptions } from './options.ts'

export type HomeAnchor = { readonly node: Address; readonly api: string }
export type TokenPlace = {
  readonly site: Site
  /** CAIP-19. */
  readonly token: string
  readonly shard: number
  readonly home: Home
  /** The epoch that this client sees. */
  readonly epoch: HomeSet['epoch']
  readonly anchors: readonly HomeAnchor[]
}

/** Throws `token.malformed`, and what the network refuses with. Reading needs no key that anybody knows. */
export async function placeOfToken(options: CommonOptions, text: string, key = randomKey()): Promise<TokenPlace> {
  const ref = parseTokenRef(text)
  const { site } = await clientOf(options, key)
  const { membership } = site.network
  const { keccak } = site.crypto
  const subject = tokenOf(ref, keccak)
  const home = homeOf(subject, membership, keccak)
  const apiOf = new Map(membership.members.map(({ node, api }) => [node, api]))
  return {
    site,
    token: formatTokenRef(ref),
    shard: homesOver([membership], keccak).shardOf(subject),
    home,
    epoch: membership.epoch,
    anchors: home.anchors.map((node) => ({ node, api: apiOf.get(node) ?? '' })),
  }
}

export function randomKey(): Hex {
  return `0x${randomBytes(32).toString('hex')}`
}
