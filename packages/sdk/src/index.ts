/** What a website imports: ask a token, act on it, and verify what comes back. */
export { attestGrant, type GrantParameters, signGrant } from './grant.ts'
export { createIntegration, createSite, type Integration, type IntegrationOptions } from './integration.ts'
export { loadNetwork, type Network, networkOf, type Trust } from './network.ts'
export type { SignedRequest, Tried } from './on-replicas.ts'
export { type FactParameters, type IssuerParameters, publish, readPlace, signFact } from './publish.ts'
export {
  type ActParameters,
  act,
  type FreshnessParameters,
  type PublicParameters,
  type QueryParameters,
  query,
  queryPublic,
  type Result,
} from './query.ts'
export { type BoardOptions, ReplicaBoard } from './replica-board.ts'
export { type ResolveOptions, resolve } from './resolve.ts'
export {
  formatSavedProof,
  parseSavedProof,
  type SavedProof,
  savedProofShape,
  saveProof,
  verifySavedProof,
} from './saved-proof.ts'
export type { Site } from './site.ts'
export { type Subscribed, type SubscribeOptions, type SubscribeParameters, subscribe } from './subscribe.ts'
export {
  type AnswerProof,
  assertProof,
  type Check,
  type Expected,
  type PartProof,
  type Proof,
  verifyAnswerProof,
} from './verify.ts'
