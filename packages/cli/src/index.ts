/** What demos and tests use of the tools: local networks, and building and publishing tokens. */

export { Anvil } from './local-network/anvil.ts'
export { bundleNode, type Patch } from './local-network/bundle.ts'
export {
  type Addresses,
  ChainAccount,
  deployContracts,
  deployFlightTicket,
  mintTicket,
  publishScript,
  registerNode,
} from './local-network/deploy.ts'
export { Gateway } from './local-network/gateway.ts'
export { keyFile, readJson, writeDurably } from './local-network/keys.ts'
export { DEFAULT_PORT_BASE, type Layout, layoutOf, PORT_SPAN } from './local-network/layout.ts'
export { LocalNetwork, type LocalNetworkOptions, resetNetwork } from './local-network/local-network.ts'
export { ManagedProcess } from './local-network/processes.ts'
export { type BuiltToken, buildToken } from './token/build.ts'
export { publishToken } from './token/publish.ts'
export { setSecret } from './token/secrets.ts'
