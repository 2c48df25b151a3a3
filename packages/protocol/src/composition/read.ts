/** Reads of other tokens inside one answer: of which token, how far they lead, and what may stand together (docs/spec/composition.md). */
import { type Attestation, uidOf } from '../attestation/envelope.ts'
import { formatTokenRef, parseTokenRef, type TokenRef } from '../directory/ids.ts'
import { isSmartLayerError } from '../errors/smart-layer-error.ts'
import type { Json } from '../execution/instance.ts'
import { type Address, type Bytes32, concat, toHex, utf8, ZERO_32 } from '../primitives/bytes.ts'
import type { Hasher } from '../primitives/crypto.ts'
import { bytes32, string, struct } from '../primitives/struct.ts'
import { accept, ignore, reject, type Verdict } from '../primitives/verdict.ts'

/** Tokens that reads may lead over, one reading the next. */
export const READ_DEPTH_LIMIT = 3
/** Reads of one query. */
export const READ_FAN_OUT_LIMIT = 16
/** Parts of one answer, those of its parts included, and the characters of their results together. */
export const READ_PARTS_LIMIT = 64
export const READ_UNITS_LIMIT = 131_072
/** All reads of one answer together, in milliseconds; each step down has a little less. */
export const READ_TOTAL_MS = 2_000
export const READ_STEP_MS = 200
/** Characters of the facts behind a refused read. */
export const READ_FACTS_LIMIT = 1_024
const PATH_DEPTH_LIMIT = 8
const TOKEN_ID = /^(0|[1-9]\d{0,77})$/

/** Where a script's own data say which token is meant: always this one, or what stands at a dotted path. */
export type TokenSource = { readonly value: string } | { readonly state: string } | { readonly attribute: string }

/** One declared read: a query for everybody of a token of one of these contracts, with these arguments (canonical JSON). */
export type ReadRule = {
  readonly name: string
  readonly contracts: readonly Address[]
  readonly token: TokenSource
  readonly method: string
  readonly args: string
  /** The answer may be given without it. */
  readonly optional: boolean
}

/** What a script gets to see of one read. `time` is when the place was last known to be the newest, in ms. */
export type ReadValue =
  | {
      readonly ok: true
      readonly value: Json
      readonly token: string
      readonly n: string
      readonly stateRoot: Bytes32
      readonly time: number
    }
  | { readonly ok: false; readonly code: string }

/** An answer with its parts, as far as the rules look at it. */
export type AnswerTree = {
  readonly attestation: Attestation
  readonly instance: Bytes32
  readonly result: string
  readonly n: bigint
  readonly stateRoot: Bytes32
  readonly asOf: bigint
  readonly reads?: readonly PartOf[] | undefined
}
/** What the rules ask of a tree; the outermost answer may not be attested yet. */
type TreeRoot = Pick<AnswerTree, 'instance' | 'n' | 'stateRoot' | 'reads'>
/** One part: the answer of another token, or the code of why it is missing. */
export type PartOf = {
  readonly name: string
  readonly token: string
  readonly method: string
  readonly args: string
  readonly code: string
  readonly answer?: AnswerTree | undefined
}

/** How a part enters what the answering node signs: the part's own attestation binds everything below it. */
const Read = struct('Read', {
  name: string(64),
  token: string(200),
  method: string(64),
  args: bytes32,
  code: string(64),
  answer: bytes32,
})

/** The token that a read is of, by the reading token's state and its own name on the chain. */
export function targetOf(rule: ReadRule, { data, ref }: { data: Json; ref: TokenRef }): Verdict<TokenRef> {
  const { token, contracts } = rule
  const missing = (detail: string) => ignore('read.no_target', { name: rule.name, detail })
  const found = 'value' in token ? token.value : 'state' in token ? at(data, token.state) : attributeOf(ref, token)
  const text = typeof found === 'number' && Number.isSafeInteger(found) ? String(found) : found
  if (typeof text !== 'string' || text === '') return missing('the path leads to no text and no whole number')
  const named = tokenNamed(text, { contracts, chainId: ref.chainId })
  return typeof named === 'string' ? missing(named) : accept(named)
}

/** The token that a script names: by its CAIP-19 id, or by its token id where there is one contract only. Else why not. */
export function tokenNamed(
  text: string,
  { contracts, chainId }: { contracts: readonly Address[]; chainId: bigint },
): TokenRef | string {
  if (TOKEN_ID.test(text)) {
    const [contract] = contracts
    if (contracts.length !== 1 || !contract) return 'a token id does not tell of which contract it is'
    const tokenId = BigInt(text)
    return tokenId < 1n << 256n ? { chainId, contract, tokenId } : 'a token id has at most 256 bits'
  }
  const named = tokenRefOf(text)
  if (!named) return 'the text is neither a token id nor a CAIP-19 id'
  return named.chainId === chainId && contracts.includes(named.contract)
    ? named
    : `${text.slice(0, 120)} is of no contract that the declaration names`
}

/** `chain` are the tokens that led here, the one that reads last. */
export function admitRead(target: string, chain: readonly string[]): Verdict<readonly string[]> {
  const next = [...chain, target]
  const told = next.join(' > ')
  if (chain.includes(target)) return reject('read.cycle', { chain: told })
  if (chain.length > READ_DEPTH_LIMIT) return reject('read.too_deep', { chain: told, limit: READ_DEPTH_LIMIT })
  return accept(next)
}

/**
 * What may stand together in one answer: within the bounds, no token below itself, and every instance at one place only,
 * however often and by whichever way it was read.
 */
export function checkTree(root: TreeRoot): Verdict<{ readonly parts: number }> {
  const places = new Map<Bytes32, { readonly n: bigint; readonly root: Bytes32 }>()
  let parts = 0
  let units = 0
  const walk = (tree: TreeRoot, chain: readonly string[]): Verdict<never> | undefined => {
    const known = places.get(tree.instance)
    if (known && (known.n !== tree.n || known.root !== tree.stateRoot))
      return ignore('read.torn', { instance: tree.instance, n: known.n, other: tree.n })
    places.set(tree.instance, { n: tree.n, root: tree.stateRoot })
    for (const part of tree.reads ?? []) {
      if (++parts > READ_PARTS_LIMIT) return reject('read.too_large', { what: 'parts', limit: READ_PARTS_LIMIT })
      if (!part.answer) continue
      units += part.answer.result.length
      if (units > READ_UNITS_LIMIT) return reject('read.too_large', { what: 'characters', limit: READ_UNITS_LIMIT })
      const admitted = admitRead(part.answer.instance, chain)
      if (admitted.verdict !== 'accept') return admitted
      const refusal = walk(part.answer, admitted.value)
      if (refusal) return refusal
    }
    return undefined
  }
  return walk(root, [root.instance]) ?? accept({ parts })
}

/** Some part is missing, here or further down. */
export function isPartial({ reads = [] }: Pick<AnswerTree, 'reads'>): boolean {
  return reads.some(({ answer }) => !answer || isPartial(answer))
}

/** What the attestation of an answer says of its parts; undefined without parts, so that it stands as it would without reads. */
export function readsHash(parts: readonly PartOf[] | undefined, keccak: Hasher): Bytes32 | undefined {
  if (!parts || parts.length === 0) return undefined
  const hashes = parts.map(({ name, token, method, args, code, answer }) => {
    const bound = answer ? uidOf(answer.attestation.message, keccak) : ZERO_32
    return Read.hash({ name, token, method, args: toHex(keccak(utf8(args))), code, answer: bound }, keccak)
  })
  return toHex(keccak(concat(...hashes)))
}

/** What the script gets to see, by the names of the reads. */
export function readValues(parts: readonly PartOf[]): Readonly<Record<string, ReadValue>> {
  return Object.fromEntries(parts.map((part) => [part.name, readValue(part)]))
}

function readValue({ answer, token, code }: PartOf): ReadValue {
  if (!answer) return { ok: false, code }
  const { n, stateRoot, asOf } = answer
  return { ok: true, value: JSON.parse(answer.result), token, n: String(n), stateRoot, time: Number(asOf) }
}

/** What stands at a dotted path of own members. */
function at(data: Json, path: string): Json | undefined {
  const names = path.split('.')
  if (names.length > PATH_DEPTH_LIMIT) return undefined
  return names.reduce<Json | undefined>((value, name) => {
    const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isRecord && Object.hasOwn(value, name) ? (value as Readonly<Record<string, Json>>)[name] : undefined
  }, data)
}

function attributeOf(
  { chainId, contract, tokenId }: TokenRef,
  { attribute }: { attribute: string },
): string | undefined {
  const attributes = new Map([
    ['chainId', String(chainId)],
    ['contract', contract],
    ['tokenId', String(tokenId)],
  ])
  return attributes.get(attribute)
}

/** Only the form that is written counts: one token has one name. */
function tokenRefOf(text: string): TokenRef | undefined {
  try {
    const ref = parseTokenRef(text)
    return formatTokenRef(ref) === text ? ref : undefined
  } catch (error) {
    if (isSmartLayerError(error)) return undefined
    throw error
  }
}
