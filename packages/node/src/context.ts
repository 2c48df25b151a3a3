/** What every service of a node knows of its network and of the tokens it has loaded. */
import type {
  Address,
  Bytes32,
  Domain,
  HealthParameters,
  Homes,
  JournalInput,
  Json,
  Membership,
  ReadRule,
  Refusal,
  TokenRef,
  TokenRules,
} from '@smartlayer/protocol'

/** Parameters that all nodes of a network share. Times in milliseconds. */
export type NetworkParameters = {
  readonly leaseMs: number
  readonly epsilonMs: number
  readonly heartbeatMs: number
  /** Service nodes per instance. */
  readonly replicas: number
  /** How long to wait before a message without answer is sent again. */
  readonly retryMs: number
  /** Entries after which the state of an instance is kept as a checkpoint, and what led to the one before is cut. */
  readonly checkpointEvery: number
  /** How long after the end of a lease reads go on, marked stale. */
  readonly staleReadsMs: number
  /** How long nothing happens before an instance goes to sleep. */
  readonly idleMs: number
  /** Seconds for which every entry of every stream is kept, whatever its class; a week by default. */
  readonly hotS?: bigint | undefined
  /** What is asked of service nodes, and how it is measured; what suits one machine by default. */
  readonly health?: HealthParameters | undefined
}

export const LOCAL_PARAMETERS: NetworkParameters = {
  leaseMs: 3_000,
  epsilonMs: 200,
  heartbeatMs: 500,
  replicas: 3,
  retryMs: 250,
  checkpointEvery: 64,
  idleMs: 600_000,
  staleReadsMs: 60_000,
}

/** What an effect wants to send. */
export type EffectCall = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly json?: Json | undefined
}

/** Gas caps of a script's handlers (docs/spec/token.md). */
export type GasCaps = { readonly query: bigint; readonly update: bigint; readonly load: bigint }

/** A smart token whose script was fetched, checked and loaded: everything a node needs to order and run it. */
export type LoadedToken = {
  readonly ref: TokenRef
  readonly token: Bytes32
  readonly instance: Bytes32
  readonly rules: TokenRules
  /** The script engine that runs it: another one may compute another result. */
  readonly engine: Bytes32
  readonly gas: GasCaps
  /** Checks a body against the declared schema before it is journaled; undefined when it fits. */
  readonly checkBody: (input: JournalInput) => Refusal | undefined
  /** The scope that a query needs; empty for public ones, undefined for unknown methods. */
  readonly queryScope: (method: string) => string | undefined
  /** What a query reads of other tokens before it runs; nothing when left out. */
  readonly readsOf?: ((method: string) => readonly ReadRule[]) | undefined
  /** Where an effect's requests may go, as base URL; undefined when the token does not declare the effect. */
  readonly effectTarget: (effect: string) => string | undefined
  readonly timeoutMs: (effect: string) => number
  /** A query that anybody may ask and that takes no arguments: for probes that look like a client. */
  readonly publicQuery?: string | undefined
  /** Checks the request that a script wants sent. Throws `sandbox.output_invalid`. */
  readonly checkRequest: (request: Json) => EffectCall
}

/** What holds for every token of one contract. */
export type LoadedType = {
  readonly contract: Address
  readonly rules: Omit<TokenRules, 'token'>
  /** Refuses a fact of this issuer and lane that fits none of the inputs declared for them. */
  readonly checkFact: (by: { readonly issuer: Address; readonly lane: Bytes32 }, body: string) => Refusal | undefined
}

/** The tokens this node has loaded. Loading may ask chain and network; look-ups never do. */
export type TokenBook = {
  byInstance(instance: Bytes32): LoadedToken | undefined
  /** The rules of a contract whose script was loaded: they name issuers and lanes of the whole type. */
  byContract(contract: Address): LoadedType | undefined
  /** Loads the script of a contract. Throws as `load`. */
  loadType(contract: Address): Promise<LoadedType>
  /** Loads the script of a token by chain, content hash and signature. Throws `token.*`, `script.*`, `chain.*`. */
  load(ref: TokenRef): Promise<LoadedToken>
}

export type NodeContext = {
  readonly networkId: Bytes32
  readonly domain: Domain
  readonly easDomain: Domain
  readonly parameters: NetworkParameters
  /** The members of the current epoch. */
  readonly membership: () => Membership
  /** Whose votes count for what, in this epoch and those before. */
  readonly homes: () => Homes
  readonly tokens: TokenBook
}
