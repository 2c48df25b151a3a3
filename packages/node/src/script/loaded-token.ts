/** What a checked script means for the nodes that order and run its tokens. */
import {
  type Address,
  type Bytes32,
  canonicalJson,
  type Expiry,
  type Hasher,
  instanceOf,
  type JournalInput,
  KEEP_ALL,
  laneOf,
  longest,
  parseRetention,
  type ReadRule,
  type Refusal,
  type Retention,
  reject,
  type TokenRef,
  type TokenRules,
  tokenOf,
  tokenTypeOf,
} from '@smartlayer/protocol'
import { checkValue, type Declaration, type JsonSchema, parseOutsideRequest } from '@smartlayer/tokenscript'
import type { LoadedToken } from '../context.ts'

/** A contract's script after hash, signature and owner were checked and its code was loaded. */
export type LoadedScript = {
  readonly contract: Address
  readonly chainId: bigint
  readonly scriptHash: Bytes32
  readonly declaration: Declaration
  /** The owner of the contract, who signed the script. */
  readonly owner: Address
}

export function typeRules(
  { contract, chainId, scriptHash, declaration, owner }: LoadedScript,
  keccak: Hasher,
): Omit<TokenRules, 'token'> {
  return {
    tokenType: tokenTypeOf({ chainId, contract }, keccak),
    scriptHash,
    owner,
    expiry: expiryOf(declaration),
    inputs: mapped(declaration.inputs, ({ issuer }) => {
      const { address, lane } = declaration.issuers[issuer]!
      return { issuer: address, lane: laneOf(lane, keccak), retention: retentionOf(declaration, { address, lane }) }
    }),
    actions: mapped(declaration.actions, ({ scope }) => ({ scope })),
    effects: mapped(declaration.effects, ({ attempts, timeoutMs, idempotent, attestedBy }) => ({
      attempts,
      timeoutMs,
      idempotent,
      attestedBy: attestedBy === null ? undefined : (declaration.outside[attestedBy]?.signer ?? undefined),
    })),
    messages: mapped(declaration.messages ?? {}, ({ from }) => ({ from: addressesOf(declaration, from) })),
    sends: mapped(declaration.sends ?? {}, ({ to }) => ({ to: addressesOf(declaration, to) })),
  }
}

function expiryOf({ expiry }: Declaration): Expiry | undefined {
  if (!expiry) return undefined
  if ('at' in expiry) return { by: 'time', at: BigInt(expiry.at) }
  return 'ttlS' in expiry ? { by: 'age', afterMs: BigInt(expiry.ttlS) * 1_000n } : { by: 'state', member: expiry.state }
}

/** A stream that stands under several names keeps what the longest of them says. */
function retentionOf({ issuers }: Declaration, { address, lane }: { address: Address; lane: string }): Retention {
  return Object.values(issuers)
    .filter((issuer) => issuer.address === address && issuer.lane === lane)
    .map(({ retention }) => parseRetention(retention) ?? KEEP_ALL)
    .reduce(longest)
}

export function loadedToken(script: LoadedScript, ref: TokenRef, keccak: Hasher): LoadedToken {
  const { declaration } = script
  const token = tokenOf(ref, keccak)
  const { input, action, outcome, init, query, load } = declaration.gas
  return {
    ref,
    token,
    instance: instanceOf(token, script.scriptHash, keccak),
    rules: { ...typeRules(script, keccak), token },
    engine: declaration.engineId,
    gas: { update: BigInt(Math.max(input, action, outcome, init)), query: BigInt(query), load: BigInt(load) },
    checkBody: (journaled) => checkBody(declaration, journaled),
    queryScope: (method) => own(declaration.queries, method)?.scope,
    readsOf: (method) => readRules(declaration, own(declaration.queries, method)?.reads ?? []),
    effectTarget: (effect) => {
      const host = own(declaration.effects, effect)?.host
      return Object.values(declaration.outside).find((outside) => outside.host === host)?.url
    },
    timeoutMs: (effect) => own(declaration.effects, effect)?.timeoutMs ?? 0,
    publicQuery: Object.entries(declaration.queries).find(isProbe)?.[0],
    checkRequest: (request) => parseOutsideRequest(request, declaration),
  }
}

/** Everybody may ask it, it takes no arguments, and no other token is asked for it. */
function isProbe([, { scope, args, reads }]: [string, Declaration['queries'][string]]): boolean {
  return scope === '' && args === null && reads.length === 0
}

function addressesOf({ contracts }: Pick<Declaration, 'contracts'>, keys: readonly string[]): readonly Address[] {
  return keys.map((key) => contracts[key]!.address)
}

function readRules({ reads, contracts }: Declaration, names: readonly string[]): readonly ReadRule[] {
  return names.map((name) => {
    const { from, token, query, args, optional } = reads[name]!
    return {
      name,
      contracts: addressesOf({ contracts }, from),
      token,
      method: query,
      args: canonicalJson(args),
      optional,
    }
  })
}

/** A fact must fit an input that its issuer and lane may give; it is refused before it enters the stream. */
export function checkFact(
  { declaration }: LoadedScript,
  { issuer, lane }: { issuer: Address; lane: Bytes32 },
  { body, keccak }: { body: string; keccak: Hasher },
): Refusal | undefined {
  const inputs = Object.entries(declaration.inputs).filter(([, declared]) => {
    const by = declaration.issuers[declared.issuer]
    return by?.address === issuer && laneOf(by.lane, keccak) === lane
  })
  const refusals = inputs.map(([name, { schema }]) => misfit(schema, body, name))
  return refusals.some((refusal) => refusal === undefined) ? undefined : refusals[0]
}

/**
 * Arguments of actions are checked before they are journaled. Facts were checked when they entered their stream; one that
 * does not fit the input it is taken for is journaled and refused by the script, so that what follows it is not held up.
 */
function checkBody(declaration: Declaration, input: JournalInput): Refusal | undefined {
  if (input.kind === 'action')
    return misfit(own(declaration.actions, input.action.name)?.args ?? undefined, input.args, 'args')
  return undefined
}

function misfit(schema: JsonSchema | undefined, text: string, at: string): Refusal | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return reject('query.arguments', { at, detail: 'not JSON' })
  }
  const problem = schema && checkValue(schema, value, at)
  return problem && reject('query.arguments', { at: problem.at, detail: problem.detail })
}

function own<T>(from: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(from, key) ? from[key] : undefined
}

function mapped<T, R>(from: Readonly<Record<string, T>>, to: (value: T) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(from).map(([key, value]) => [key, to(value)]))
}
