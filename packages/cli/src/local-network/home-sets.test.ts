/** A real chain and the directory rules come to the same: membership out of events, beacons out of headers, homes out of both. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { homeSetsAbi, homeSetsBytecode, nodeRegistryAbi } from '@smartlayer/contracts'
import { encodeHeader, type RegistryLog, type RpcHeader, registryEventOf } from '@smartlayer/node'
import {
  type Address,
  beaconOf,
  closesAt,
  type DirectoryView,
  type Hex,
  homeOfShard,
  keccakText,
  LOCAL_DIRECTORY,
  LOCAL_EPOCHS,
  type Member,
  membersAt,
  nobleCrypto,
  type PlacedEvent,
  viewOf,
  ZERO_ADDRESS,
} from '@smartlayer/protocol'
import { type Abi, numberToHex } from 'viem'
import { beforeAll, describe, expect, it } from 'vitest'
import { Anvil } from './anvil.ts'
import { type Addresses, ChainAccount, deployContracts, registerNode } from './deploy.ts'

const { keccak } = nobleCrypto
const CHAIN_ID = 31_997
const NEVER_MS = 3_600_000
const LEAVER = 5
const PARAMETERS = { ...LOCAL_DIRECTORY, shardCount: 16 }

let chain: Anvil
let deployer: ChainAccount
let addresses: Addresses
let homeSets: Address
let schedule: { genesisS: bigint; lengthS: bigint; closingS: bigint }

beforeAll(async () => {
  const base = mkdtempSync(join(tmpdir(), 'home-sets-'))
  const port = await freePort()
  chain = await Anvil.start({ port, stateFile: join(base, 'chain.json'), chainId: CHAIN_ID, snapshotEveryMs: NEVER_MS })
  deployer = account(1)
  await chain.rpc('anvil_setBalance', [deployer.address, '0x56bc75e2d63100000'])
  addresses = await deployContracts(deployer)
  const { weight, ...counts } = PARAMETERS
  const parameters = { ...counts, weightUnit: weight.unit, weightCap: BigInt(weight.cap) }
  homeSets = await deployer.deploy(homeSetsAbi as Abi, homeSetsBytecode, [addresses.nodeRegistry, parameters])
  for (let key = 2; key < 9; key++) await register(key)
  const { timestamp } = await deployer.publicClient.getBlock()
  schedule = { genesisS: timestamp + 100n, ...LOCAL_EPOCHS }
  await send('begin', [schedule.genesisS])
  return async () => {
    await chain.stop()
    rmSync(base, { recursive: true, force: true })
  }
})

describe('two epochs on a real chain', () => {
  let second: DirectoryView

  it('has beacons that anybody records from two headers, and that nodes compute alike', async () => {
    const first = await beaconFrom(await mineAfter(closesAt(schedule, 1n)), 1n)
    expect(await read('beaconOf', [1n])).toBe(first)
    await register(9)
    await mineAt(closesAt(schedule, 2n) - 10n)
    await send('unbond', [account(LEAVER).address])
    const snapshot = await lastBlock()
    const beacons = new Map([[1n, first]])
    beacons.set(2n, await beaconFrom(await mineAfter(closesAt(schedule, 2n)), 2n))
    expect(await read('beaconOf', [2n])).toBe(beacons.get(2n))
    second = viewOf({ epoch: 2n, members: await membersOf(snapshot, 2n) }, { beacons, parameters: PARAMETERS }, keccak)
  })

  it('has the members of each epoch in its events: who left is in the first, who came in the second', async () => {
    const block = await lastBlock()
    const inEpoch = async (epoch: bigint) => (await membersOf(block, epoch)).map(({ node }) => node)
    const nodes = (...keys: number[]) => keys.map((key) => account(key).address).sort()
    expect(await inEpoch(1n)).toEqual(nodes(2, 3, 4, LEAVER, 6, 7, 8))
    expect(await inEpoch(2n)).toEqual(nodes(2, 3, 4, 6, 7, 8, 9))
  })

  it('refutes a wrong home on chain, and no right one', async () => {
    for (let shard = 0; shard < PARAMETERS.shardCount; shard++) {
      const { anchors } = homeOfShard(shard, second, keccak)
      const outsider = second.anchors.find(({ node }) => !anchors.includes(node))!.node
      expect(await refutes(shard, anchors, outsider)).toBe(false)
      expect(await refutes(shard, [anchors[1]!, anchors[0]!, ...anchors.slice(2)], ZERO_ADDRESS)).toBe(true)
      expect(await refutes(shard, [...anchors.slice(0, 3), outsider], anchors[3]!)).toBe(true)
    }
  })
})

it('says so when a header does not come to its hash', async () => {
  const block = await header(1n)
  expect(() => encodeHeader({ ...block, gasUsed: '0x1' })).toThrow(expect.objectContaining({ code: 'chain.header' }))
})

function refutes(shard: number, anchors: readonly Address[], outsider: Address): Promise<unknown> {
  return read('refutes', [{ epoch: 2n, shard, anchors }, outsider])
}

/** Records the beacon of an epoch from its first block, and computes it. */
async function beaconFrom(block: RpcHeader, epoch: bigint): Promise<Hex> {
  const parent = await header(BigInt(block.number) - 1n)
  await deployer.call(homeSets, homeSetsAbi as Abi, 'record', [epoch, encodeHeader(block), encodeHeader(parent)])
  return beaconOf(epoch, block.mixHash, keccak)
}

async function membersOf(block: bigint, epoch: bigint): Promise<readonly Member[]> {
  const range = { fromBlock: 0n, toBlock: block }
  const logs = await deployer.publicClient.getContractEvents({
    address: addresses.nodeRegistry,
    abi: nodeRegistryAbi,
    strict: true,
    ...range,
  })
  return membersAt(logs.flatMap(placed), { block, epoch })
}

function placed(log: RegistryLog): readonly PlacedEvent[] {
  const event = registryEventOf(log)
  return event ? [{ block: log.blockNumber, logIndex: log.logIndex, event }] : []
}

/** One block on the last second that counts, and the first one after it. */
async function mineAfter(timeS: bigint): Promise<RpcHeader> {
  await mineAt(timeS)
  await mineAt(timeS + 1n)
  return header('latest')
}

async function mineAt(timeS: bigint): Promise<void> {
  await chain.rpc('evm_setNextBlockTimestamp', [numberToHex(timeS)])
  await chain.rpc('evm_mine', [])
}

async function header(block: bigint | 'latest'): Promise<RpcHeader> {
  const tag = block === 'latest' ? block : numberToHex(block)
  return (await chain.rpc('eth_getBlockByNumber', [tag, false])) as RpcHeader
}

async function lastBlock(): Promise<bigint> {
  return BigInt((await header('latest')).number)
}

async function register(key: number): Promise<void> {
  const word = keccakText(keccak, `node ${key}`)
  await registerNode(deployer, addresses, {
    identity: account(key),
    role: 'anchor',
    transportKey: word,
    overlay: `127.0.0.1:${7_000 + key}`,
    api: `http://127.0.0.1:${8_000 + key}`,
    operator: word,
    platform: word,
  })
}

function send(functionName: string, args: readonly unknown[]): Promise<void> {
  return deployer.call(addresses.nodeRegistry, nodeRegistryAbi as Abi, functionName, args)
}

function read(functionName: string, args: readonly unknown[]): Promise<unknown> {
  return deployer.publicClient.readContract({ address: homeSets, abi: homeSetsAbi as Abi, functionName, args })
}

function account(key: number): ChainAccount {
  return new ChainAccount({ url: chain.url, chainId: CHAIN_ID, privateKey: numberToHex(key, { size: 32 }) })
}

function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
