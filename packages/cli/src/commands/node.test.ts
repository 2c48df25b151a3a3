/** Changing a node's TLS key on a real chain. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeRegistryAbi } from '@smartlayer/contracts'
import { identityKey, nextTransportIdentity, transportIdentity } from '@smartlayer/node'
import { type Address, type Bytes32, type Hex, keccakText, nobleCrypto } from '@smartlayer/protocol'
import { beforeAll, beforeEach, expect, it } from 'vitest'
import { Anvil } from '../local-network/anvil.ts'
import { ChainAccount, deployContracts, registerNode } from '../local-network/deploy.ts'
import { rotateKey } from './node.ts'

const CHAIN_ID = 31_998
const NEVER_MS = 3_600_000
const PLACES = { overlay: '127.0.0.1:7001', api: 'http://127.0.0.1:8001' }

let base: string
let chain: Anvil
let operator: ChainAccount
let registry: Address
let folder: string
let count = 0

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'rotate-key-'))
  const port = await freePort()
  const stateFile = join(base, 'chain.json')
  chain = await Anvil.start({ port, stateFile, chainId: CHAIN_ID, snapshotEveryMs: NEVER_MS })
  operator = await accountOf(1)
  return async () => {
    await chain.stop()
    rmSync(base, { recursive: true, force: true })
  }
})

beforeEach(async () => {
  const contracts = await deployContracts(operator)
  registry = contracts.nodeRegistry
  folder = join(base, `node-${++count}`)
  const identity = new ChainAccount({ url: chain.url, chainId: CHAIN_ID, privateKey: identityKey(folder) })
  const { transportKey } = await transportIdentity(folder)
  const word = keccakText(nobleCrypto.keccak, 'operator')
  await registerNode(operator, contracts, {
    identity,
    role: 'anchor',
    transportKey,
    ...PLACES,
    operator: word,
    platform: word,
  })
})

it('names the next key in the registry, keeps the place, and leaves both keys with the node', async () => {
  const present = await transportIdentity(folder)
  const { from, to } = await rotateKey({ folder, account: operator, registry })
  const next = await nextTransportIdentity(folder)
  expect([from, to]).toEqual([present.transportKey, next.transportKey])
  expect(await registered()).toMatchObject({ transportKey: next.transportKey, ...PLACES })
  expect(await transportIdentity(folder)).toEqual(present)
})

it('makes the last next key the present one when it is called again', async () => {
  const first = await rotateKey({ folder, account: operator, registry })
  const second = await rotateKey({ folder, account: operator, registry })
  expect(second.from).toBe(first.to)
  expect((await transportIdentity(folder)).transportKey).toBe(first.to)
  expect(await registered()).toMatchObject({ transportKey: second.to })
})

it('registers the key that a call made which did not get as far', async () => {
  const made = await nextTransportIdentity(folder)
  expect((await rotateKey({ folder, account: operator, registry })).to).toBe(made.transportKey)
})

it('is refused to another account, and nothing is lost by it', async () => {
  const present = await transportIdentity(folder)
  const other = await accountOf(9)
  await expect(rotateKey({ folder, account: other, registry })).rejects.toMatchObject({
    code: 'chain.reverted',
    facts: { reason: expect.stringContaining('NotAccount') },
  })
  expect(await registered()).toMatchObject({ transportKey: present.transportKey })
  expect(await transportIdentity(folder)).toEqual(present)
})

it('says so when the node is not registered', async () => {
  const { nodeRegistry } = await deployContracts(operator)
  await expect(rotateKey({ folder, account: operator, registry: nodeRegistry })).rejects.toMatchObject({
    code: 'network.peer_unknown',
  })
})

it('takes no folder without an identity, and leaves none there', async () => {
  const empty = join(base, 'empty')
  await expect(rotateKey({ folder: empty, account: operator, registry })).rejects.toMatchObject({
    code: 'file.unreadable',
  })
  expect(existsSync(empty)).toBe(false)
})

async function accountOf(key: number): Promise<ChainAccount> {
  const privateKey: Hex = `0x${key.toString(16).padStart(64, '0')}`
  const account = new ChainAccount({ url: chain.url, chainId: CHAIN_ID, privateKey })
  await chain.rpc('anvil_setBalance', [account.address, '0x56bc75e2d63100000'])
  return account
}

function registered(): Promise<{ transportKey: Bytes32; overlay: string; api: string }> {
  const node = new ChainAccount({
    url: chain.url,
    chainId: CHAIN_ID,
    privateKey: readFileSync(join(folder, 'identity.key'), 'utf8').trim() as Hex,
  }).address
  const call = { address: registry, abi: nodeRegistryAbi, functionName: 'nodeOf', args: [node] } as const
  return operator.publicClient.readContract(call)
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
