/** `sl node`: health and maintenance of service nodes, and another TLS key for a node while it runs. */
import { join } from 'node:path'
import { nodeRegistryAbi } from '@smartlayer/contracts'
import { nextTransportIdentity, promoteTransport, transportIdentity } from '@smartlayer/node'
import { type Address, type Bytes32, nobleSigner, SmartLayerError } from '@smartlayer/protocol'
import type { Command } from 'commander'
import { type Abi, BaseError, ContractFunctionRevertedError } from 'viem'
import { chainUrl, clientOf } from '../command-line/connection.ts'
import { readKey } from '../command-line/files.ts'
import { define } from '../command-line/options.ts'
import { ChainAccount } from '../local-network/deploy.ts'
import { addNodeDrain, addNodeStatus } from './node-health.ts'

export type Rotation = { readonly node: Address; readonly from: Bytes32; readonly to: Bytes32 }

export function addNode(program: Command): void {
  const node = program.command('node').description('care for one node')
  addNodeStatus(node)
  addNodeDrain(node)
  const command = node
    .command('rotate-key')
    .description('give a node another TLS key; it takes it up within seconds, without a restart')
    .argument('<data-folder>', "the node's data folder")
    .requiredOption('--key <file>', 'file with the key of the account that registered the node')
    .option('--rpc <url>', 'chain, when the network is not local')
  const examples = [
    'node rotate-key .smartlayer/nodes/anchor-1 --key .smartlayer/keys/deployer.key',
    'node rotate-key /var/lib/smart-layer --key operator.key --network https://a1.example --rpc https://rpc.example',
  ] as const
  define<{ key: string; rpc?: string }, [string]>(command, examples, async ({ options, output }, folder) => {
    const privateKey = readKey(options.key)
    const url = chainUrl(options, options.rpc)
    const { registry, chainId } = (await clientOf(options, privateKey)).site.network.info
    const account = new ChainAccount({ url, chainId: Number(chainId), privateKey })
    const rotation = await rotateKey({ folder, account, registry })
    output.data(rotation, [`${rotation.node}  ${rotation.from} → ${rotation.to}`])
  })
}

/**
 * Makes the next key of a data folder and has the registry name it. The node holds both until it starts again, so it is
 * heard by those who read the registry early and by those who read it late. Safe to repeat: a key that was made but not
 * registered is used.
 */
export async function rotateKey({
  folder,
  account,
  registry,
}: {
  folder: string
  account: ChainAccount
  registry: Address
}): Promise<Rotation> {
  const node = nobleSigner(readKey(join(folder, 'identity.key'))).address
  const registered = await registeredAs(node, account, registry)
  promoteTransport(folder, registered.transportKey)
  await transportIdentity(folder)
  const { transportKey } = await nextTransportIdentity(folder)
  const { overlay, api } = registered
  await account.call(registry, nodeRegistryAbi as Abi, 'update', [node, transportKey, overlay, api])
  return { node, from: registered.transportKey, to: transportKey }
}

async function registeredAs(
  node: Address,
  { publicClient }: ChainAccount,
  registry: Address,
): Promise<{ transportKey: Bytes32; overlay: string; api: string }> {
  const call = { address: registry, abi: nodeRegistryAbi, functionName: 'nodeOf', args: [node] } as const
  try {
    return await publicClient.readContract(call)
  } catch (error) {
    const isRevert = error instanceof BaseError && error.walk((cause) => cause instanceof ContractFunctionRevertedError)
    if (isRevert) throw SmartLayerError.because(error, 'network.peer_unknown', { peer: node })
    throw SmartLayerError.because(error, 'chain.unreachable', { url: publicClient.transport.url ?? 'the given URL' })
  }
}
