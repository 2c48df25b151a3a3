/** Smart Layer's protocol: messages and rules, pure and synchronous. */
export * from './access/grant.ts'
export * from './access/messages.ts'
export * from './api/health.ts'
export * from './api/lifecycle.ts'
export * from './api/messages.ts'
export * from './attestation/batch.ts'
export * from './attestation/body.ts'
export * from './attestation/content.ts'
export * from './attestation/envelope.ts'
export * from './attestation/schemas.ts'
export * from './attestation/verify.ts'
export * from './composition/message.ts'
export * from './composition/read.ts'
export * from './directory/home.ts'
export * from './directory/homes.ts'
export * from './directory/ids.ts'
export * from './directory/membership.ts'
export * from './directory/membership-log.ts'
export * from './directory/parameters.ts'
export {
  byAddress,
  type Contenders,
  contendersOf,
  precedes,
  rankInto,
  rendezvousOrder,
  type SaltKey,
  saltKeyOf,
  saltOf,
  ticketOf,
  ticketUnder,
  WEIGHT_LIMIT,
  weightOf,
} from './directory/rendezvous.ts'
export * from './directory/schedule.ts'
export * from './directory/service-order.ts'
export * from './directory/shard.ts'
export * from './directory/shard-table.ts'
export * from './directory/terms.ts'
export * from './election/hand-over.ts'
export * from './election/lease.ts'
export * from './election/messages.ts'
export * from './election/record.ts'
export * from './election/replicas.ts'
export * from './election/vote.ts'
export * from './errors/catalogue.ts'
export * from './errors/kind.ts'
export * from './errors/smart-layer-error.ts'
export * from './execution/answer-proof.ts'
export * from './execution/effects.ts'
export * from './execution/instance.ts'
export * from './execution/messages.ts'
export * from './execution/reads.ts'
export * from './execution/rules.ts'
export * from './health/drain.ts'
export * from './health/judge.ts'
export * from './health/latency.ts'
export * from './health/measure.ts'
export * from './health/messages.ts'
export * from './health/parameters.ts'
export * from './health/penalty.ts'
export * from './health/probers.ts'
export * from './health/replace.ts'
export * from './health/sample.ts'
export * from './health/weights.ts'
export * from './journal/accept.ts'
export * from './journal/certify.ts'
export * from './journal/checkpoint.ts'
export * from './journal/input.ts'
export * from './journal/messages.ts'
export * from './journal/propose.ts'
export * from './lifecycle/archive.ts'
export * from './lifecycle/expiry.ts'
export * from './lifecycle/incarnation.ts'
export * from './lifecycle/messages.ts'
export * from './lifecycle/restore.ts'
export * from './lifecycle/widening.ts'
export * from './overlay/gossip.ts'
export * from './primitives/bytes.ts'
export * from './primitives/crypto.ts'
export * from './primitives/domain.ts'
export * from './primitives/merkle.ts'
export * from './primitives/quorum.ts'
export * from './primitives/shape.ts'
export * from './primitives/shared-signature.ts'
export {
  address,
  bool,
  bytes,
  bytes32,
  list,
  type Struct,
  string,
  struct,
  type TypeOf,
  uint,
} from './primitives/struct.ts'
export * from './primitives/verdict.ts'
export * from './stream/admit.ts'
export * from './stream/entry.ts'
export * from './stream/follow.ts'
export * from './stream/fork.ts'
export * from './stream/item.ts'
export * from './stream/messages.ts'
export {
  append as appendMountain,
  leafOf,
  type MountainProof,
  type Mountains,
  NO_MOUNTAINS,
  nodeOf,
  prove as proveMountain,
  proves as mountainProves,
  rootOf as mountainRoot,
} from './stream/mountains.ts'
export * from './stream/range.ts'
export * from './stream/receipt.ts'
export * from './stream/repair.ts'
export * from './stream/retention.ts'
export * from './wire/messages.ts'
export * from './wire/shapes.ts'
