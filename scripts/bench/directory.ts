/** Finding the home of a token in a node's own shard table, and building that table. */
import { fastCrypto } from '@smartlayer/node'
import {
  buildShards,
  carryShards,
  changeOf,
  emptyTable,
  type Hasher,
  homeIn,
  keccakText,
  type Member,
  NETWORK_DIRECTORY,
  type ShardTable,
  shardOf,
  type TokenRef,
  toHex,
  tokenOf,
  tokenTypeOf,
  typeSaltOf,
  uintWord,
  viewOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { cpuNowS, median, type Row, row } from './row.ts'

const NODES = 200
const LARGE_NODES = 10_000
const TOKENS = 100_000
const ROUNDS = 5
const EPOCH = 40
const CONTRACT = `0x${'c0'.repeat(20)}` as const

export async function benchDirectory(): Promise<readonly Row[]> {
  const { crypto } = await fastCrypto()
  const { keccak } = crypto
  const members = Array.from({ length: NODES + 1 }, (_, n) => memberNumber(n, keccak))
  const shards = { from: 0, to: NETWORK_DIRECTORY.shardCount }
  const table = emptyTable(view(members.slice(0, NODES), keccak))
  const builtS = secondsOf(() => buildShards(table, shards, keccak))
  const change = changeOf(table, view(members, keccak))
  const joinedS = secondsOf(() => carryShards(change, shards, keccak))
  const perScoreNs = (builtS * 1e9) / NETWORK_DIRECTORY.shardCount / NODES
  const perS = (look: (n: number) => void) => median(Array.from({ length: ROUNDS }, () => ratePerS(look)))
  const type = typeSaltOf(tokenTypeOf({ chainId: 1n, contract: CONTRACT }, keccak), ZERO_32, keccak)
  const refs = Array.from(
    { length: TOKENS },
    (_, n): TokenRef => ({ chainId: 1n, contract: CONTRACT, tokenId: BigInt(n) }),
  )
  const tokens = refs.map((ref) => tokenOf(ref, keccak))
  const find = (token: (typeof tokens)[number]) =>
    homeIn(table, shardOf(token, type, NETWORK_DIRECTORY.shardCount, keccak))
  const known = perS((n) => find(tokens[n]!))
  const whole = perS((n) => find(tokenOf(refs[n]!, keccak)))
  return [
    row('directory-lookup', 'per CPU s', { ours: known, target: { of: 'ours', at: 'least', value: 500_000 } }),
    row('directory-lookup, from a CAIP-19 id already parsed', 'per CPU s', { ours: whole }),
    row('directory table, one score of a build', 'ns', {
      ours: perScoreNs,
      target: { of: 'ours', at: 'most', value: 150 },
    }),
    row(`directory table, 2^18 shards x ${NODES} nodes built`, 'CPU s', { ours: builtS }),
    row(`directory table, 2^18 shards x ${LARGE_NODES} nodes at that pace`, 'CPU s', {
      ours: (builtS * LARGE_NODES) / NODES,
    }),
    row('directory table, 2^18 shards when one node joins', 'CPU ms', { ours: joinedS * 1_000 }),
  ]
}

function view(members: readonly Member[], keccak: Hasher): ShardTable['view'] {
  const beacons = new Map(
    Array.from({ length: EPOCH }, (_, i) => [BigInt(i + 1), keccakText(keccak, `beacon ${i}`)] as const),
  )
  return viewOf({ epoch: BigInt(EPOCH), members }, { beacons, parameters: NETWORK_DIRECTORY }, keccak)
}

function ratePerS(look: (n: number) => void): number {
  return (
    TOKENS /
    secondsOf(() => {
      for (let n = 0; n < TOKENS; n++) look(n)
    })
  )
}

function secondsOf(work: () => void): number {
  const startedS = cpuNowS()
  work()
  return cpuNowS() - startedS
}

function memberNumber(n: number, keccak: Hasher): Member {
  const node = toHex(keccak(uintWord(BigInt(n))).subarray(12))
  const stake = NETWORK_DIRECTORY.weight.unit * BigInt(10 + (n % 90))
  return {
    node,
    role: 'anchor',
    transportKey: ZERO_32,
    overlay: '',
    api: '',
    operator: ZERO_32,
    platform: ZERO_32,
    stake,
  }
}
