/** What other packages use of nodes: services with their ports for the simulator, keys and crypto for tools. */

export { contextOf } from './access/secret-service.ts'
export { encodeHeader, type RpcHeader } from './adapters/block-header.ts'
export { fastCrypto } from './adapters/fast-crypto.ts'
export { type RegistryLog, registryEventOf } from './adapters/registry-events.ts'
export { storeLog } from './adapters/store-log.ts'
export {
  identityKey,
  nextTransportIdentity,
  promoteTransport,
  transportIdentity,
  transportKeyOf,
} from './adapters/transport-identity.ts'
export { AnchoringNode } from './anchoring-node.ts'
export * from './context.ts'
export { Standings } from './directory/standings.ts'
export type { Secrets } from './execution/effect-performer.ts'
export { InputBuffer } from './execution/input-buffer.ts'
export type { Chain } from './ports/chain.ts'
export type { Clock } from './ports/clock.ts'
export type { Egress, OutboundRequest, OutboundResult } from './ports/egress.ts'
export type { Network, TrafficClass } from './ports/network.ts'
export type { Ports } from './ports/ports.ts'
export type { Random } from './ports/random.ts'
export type { CallResult, Sandbox } from './ports/sandbox.ts'
export type { Key, Store, Write } from './ports/store.ts'
export type { LogEntry, LogPlace, StreamLog } from './ports/stream-log.ts'
export type { Level, Telemetry } from './ports/telemetry.ts'
export { ServiceNode } from './service-node.ts'
export { EntryDoor } from './stream/entry-door.ts'
export { pack, unpack } from './stream/packing.ts'
export { RevocationBook } from './stream/revocation-book.ts'
export type { StreamReader } from './stream/stream-reader.ts'
export { StreamService } from './stream/stream-service.ts'
export { type Sink, Subscription } from './stream/subscription.ts'
export { SubscriptionPages } from './stream/subscription-pages.ts'
export { PostOffice } from './wire/post-office.ts'
