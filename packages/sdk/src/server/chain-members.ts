/** The membership as the chain has it: what makes a server independent of what anchors say. */
import { nodeRegistryAbi } from '@smartlayer/contracts'
import { type Address, type Member, SmartLayerError } from '@smartlayer/protocol'
import { createPublicClient, http } from 'viem'

const PAGE = 100n
const TIMEOUT_MS = 5_000

/** Reads all registered nodes, sorted by address. Throws `chain.unreachable`. */
export async function readMembers({
  rpcUrl,
  registry,
}: {
  rpcUrl: string
  registry: Address
}): Promise<readonly Member[]> {
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

function lower(address: Address): Address {
  return address.toLowerCase() as Address
}
