/** The membership as the chain has it: what makes a server independent of what anchors say. */
import { nodeRegistryAbi } from '@smartlayer/contracts'
import { type Address, type Member, SmartLayerError } from '@smartlayer/protocol'
import { createPublicClient, http } from 'viem'

const PAGE = 100n
const TIMEOUT_MS = 5_000

type Registry = { readonly rpcUrl: string; readonly registry: Address }

/** In which roles nodes are members of an epoch, as the registry judges it; a node that is none is left out. Throws `chain.unreachable`. */
export async function rolesIn(
  epoch: bigint,
  nodes: readonly Address[],
  { rpcUrl, registry }: Registry,
): Promise<ReadonlyMap<Address, Member['role']>> {
  const client = createPublicClient({ transport: http(rpcUrl, { timeout: TIMEOUT_MS, retryCount: 1 }) })
  const contract = { address: registry, abi: nodeRegistryAbi, functionName: 'memberIn' } as const
  try {
    const found = await Promise.all(nodes.map((node) => client.readContract({ ...contract, args: [node, epoch] })))
    const roles = nodes.map((node, i) => [node, roleOf(found[i]![0])] as const)
    return new Map(roles.filter((each): each is readonly [Address, Member['role']] => each[1] !== undefined))
  } catch (error) {
    throw SmartLayerError.because(error, 'chain.unreachable', { url: rpcUrl })
  }
}

/** Reads all registered nodes, sorted by address. Throws `chain.unreachable`. */
export async function readMembers({ rpcUrl, registry }: Registry): Promise<readonly Member[]> {
  const client = createPublicClient({ transport: http(rpcUrl, { timeout: TIMEOUT_MS, retryCount: 1 }) })
  const contract = { address: registry, abi: nodeRegistryAbi } as const
  try {
    const count = await client.readContract({ ...contract, functionName: 'nodeCount' })
    const members: Member[] = []
    for (let from = 0n; from < count; from += PAGE) {
      const page = await client.readContract({ ...contract, functionName: 'nodesPage', args: [from, PAGE] })
      members.push(
        ...page.map(
          ({ node, role, ...rest }) =>
            ({ ...rest, node: lower(node), role: role === 1 ? 'anchor' : 'service' }) as const,
        ),
      )
    }
    return members.sort((a, b) => (a.node < b.node ? -1 : 1))
  } catch (error) {
    throw SmartLayerError.because(error, 'chain.unreachable', { url: rpcUrl })
  }
}

function roleOf(role: number): Member['role'] | undefined {
  return role === 1 ? 'anchor' : role === 2 ? 'service' : undefined
}

function lower(address: Address): Address {
  return address.toLowerCase() as Address
}
