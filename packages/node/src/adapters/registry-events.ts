/** Events of the node registry as the membership log takes them. */
import type { nodeRegistryAbi } from '@smartlayer/contracts'
import type { Address, Member, RegistryEvent } from '@smartlayer/protocol'
import type { ContractEventName, GetContractEventsReturnType } from 'viem'

/** One decoded log of the registry's own address. */
export type RegistryLog = GetContractEventsReturnType<
  typeof nodeRegistryAbi,
  ContractEventName<typeof nodeRegistryAbi>,
  true
>[number]

/** What a log says about the membership; nothing for events about money, the court or the schedule. */
export function registryEventOf(log: RegistryLog): RegistryEvent | undefined {
  switch (log.eventName) {
    case 'NodeRegistered':
      return { kind: 'registered', member: memberOf(log.args.registered), since: log.args.since }
    case 'NodeUpdated': {
      const { transportKey, overlay, api } = log.args
      return { kind: 'updated', node: lower(log.args.node), transportKey, overlay, api }
    }
    case 'NodeLeaving':
      return { kind: 'leaving', node: lower(log.args.node), until: log.args.until }
    case 'NodeJailed':
      return { kind: 'jailed', node: lower(log.args.node), since: log.args.since, until: log.args.until }
    case 'NodeReleased':
      return { kind: 'released', node: lower(log.args.node), until: log.args.until }
    default:
      return undefined
  }
}

function memberOf({ node, role, ...rest }: Omit<Member, 'role'> & { readonly role: number }): Member {
  return { ...rest, node: lower(node), role: role === 1 ? 'anchor' : 'service' }
}

function lower(address: Address): Address {
  return address.toLowerCase() as Address
}
