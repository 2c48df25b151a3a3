/** Publishes facts as an issuer: one stream per token type and lane, in sequence, safe to send again. */
import {
  type Address,
  type AttestOptions,
  accepted,
  attest,
  type Bytes32,
  canonicalJson,
  checkReceipt,
  faultsTolerated,
  homeOf,
  INPUT_KINDS,
  type InputData,
  inputContext,
  laneOf,
  publishRequestShape,
  quorumOf,
  type ReceiptInfo,
  readData,
  receiptInfoShape,
  type Signer,
  SLInput,
  SmartLayerError,
  type StreamHead,
  type StreamItem,
  type SubsetHead,
  type SubsetState,
  streamHeadShape,
  streamOf,
  subsetHeadShape,
  subsetOf,
  textHash,
  tokenTypeOf,
  uidOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { type Asked, askAll, notReached, valuesOf } from './ask.ts'
import { type CallOptions, get, post } from './http.ts'
import { nonce, type Site } from './site.ts'

const PUBLISH_TIMEOUT_MS = 8_000

export type IssuerParameters = {
  readonly issuer: Signer
  readonly contract: Address
  readonly chainId: bigint
  readonly lane: string
}
/** What names a stream: the issuer's address is enough. */
export type StreamParameters = Omit<IssuerParameters, 'issuer'> & { readonly issuer: { readonly address: Address } }

export type FactParameters = {
  /** Readable key of what the fact concerns: `flight-status/LH454/2026-11-12`. */
  readonly subset: string
  readonly body: unknown
  /** Seconds until it no longer counts; 0 or left out means that it stands. */
  readonly lifeS?: bigint
}

/** Any entry of a stream before it has a place: `body` is canonical JSON text. */
export type EntryParameters = {
  readonly kind: 'fact' | 'revocation' | 'epoch'
  readonly subset: Bytes32
  readonly body: string
  readonly lifeS: bigint
}

/** Where the issuer's stream and one of its subsets stand, as most anchors say. */
export type Place = { readonly stream: StreamHead; readonly subset: SubsetHead }

/** What an entry follows: the epoch, and the heads of its stream and of its subset. */
export type Predecessor = { readonly epoch: bigint; readonly stream: SubsetState; readonly subset: SubsetState }

/** `refused`: f + 1 anchors said the same; `unsettled`: nobody can be believed, or nobody answered. */
export type Offered =
  | { readonly end: 'receipt'; readonly receipt: ReceiptInfo }
  | { readonly end: 'refused' | 'unsettled'; readonly error: SmartLayerError }

/**
 * The furthest place that f + 1 anchors have reached, and the head that most of those standing there name: no single
 * anchor can send the issuer to a wrong place, and with at most f of them lost or lying nothing receipted is overlooked.
 * Throws `quorum.not_reached` with fewer than 2f + 1 answers.
 */
export async function readPlace(
  site: Site,
  issuer: StreamParameters,
  subsetKey: string,
  options: CallOptions = {},
): Promise<Place> {
  const { stream } = idsOf(site, issuer)
  const subset = subsetOf(subsetKey, site.crypto.keccak)
  const read = async (anchor: string): Promise<Place> => ({
    stream: await readHeadAt(anchor, stream, options),
    subset: await readSubsetAt(anchor, { stream, subset }, options),
  })
  return furthest(site, read, {
    reach: (place) => place.stream.sequence,
    key: (place) => `${headKey(place.stream)}/${place.subset.head}`,
  })
}

/** The same for the stream alone. It counts as frozen when f + 1 anchors say so. */
export async function readHead(site: Site, stream: Bytes32, options: CallOptions = {}): Promise<StreamHead> {
  const heads: StreamHead[] = []
  const read = async (anchor: string) => {
    const head = await readHeadAt(anchor, stream, options)
    heads.push(head)
    return head
  }
  const reached = await furthest(site, read, { reach: ({ sequence }) => sequence, key: headKey })
  const frozen = heads.filter(({ frozenAfter }) => frozenAfter !== undefined)
  const isFrozen = frozen.length > faultsTolerated(site.anchors.length)
  return { ...reached, frozenAfter: isFrozen ? (reached.frozenAfter ?? frozen[0]?.frozenAfter) : undefined }
}

/** The same for one subset of it. */
export function readSubsetHead(
  site: Site,
  place: { readonly stream: Bytes32; readonly subset: Bytes32 },
  options: CallOptions = {},
): Promise<SubsetHead> {
  const read = (anchor: string) => readSubsetAt(anchor, place, options)
  return furthest(site, read, { reach: ({ sequence }) => sequence, key: ({ head }) => head })
}

/** What the furthest of f + 1 anchors say, and most of those standing there say alike. */
async function furthest<T>(
  site: Site,
  read: (anchor: string) => Promise<T>,
  { reach, key }: { reach: (value: T) => bigint; key: (value: T) => string },
): Promise<T> {
  const asked: readonly Asked<T>[] = await askAll(site.anchors, read, () => false)
  const values = valuesOf(asked)
  const byReach = [...values].sort((a, b) => (reach(a) > reach(b) ? -1 : 1))
  const least = byReach[faultsTolerated(site.anchors.length)]
  const needed = quorumOf(site.anchors.length)
  if (values.length < needed || least === undefined) throw notReached(asked, { got: values.length, needed })
  const there = values.filter((value) => reach(value) === reach(least))
  const support = (value: T) => there.filter((other) => key(other) === key(value)).length
  return there.sort((a, b) => support(b) - support(a))[0]!
}

async function readHeadAt(anchor: string, stream: Bytes32, options: CallOptions): Promise<StreamHead> {
  const head = await get(`${anchor}/v1/streams/${stream}`, streamHeadShape, options)
  return head.stream === stream ? head : misplaced(anchor)
}

async function readSubsetAt(
  anchor: string,
  { stream, subset }: { readonly stream: Bytes32; readonly subset: Bytes32 },
  options: CallOptions,
): Promise<SubsetHead> {
  const head = await get(`${anchor}/v1/streams/${stream}/subsets/${subset}`, subsetHeadShape, options)
  return head.stream === stream && head.subset === subset ? head : misplaced(anchor)
}

function misplaced(peer: string): never {
  throw SmartLayerError.of('answer.malformed', { peer, detail: 'it is about another stream or subset' })
}

function headKey({ epoch, head, key }: StreamHead): string {
  return `${epoch}/${head}/${key}`
}

/** Signs the fact that follows a place; nothing is sent. */
export function signFact(
  site: Site,
  issuer: IssuerParameters,
  { fact, place }: { fact: FactParameters; place: Place },
): StreamItem {
  const entry = factEntry(site, fact)
  const { data, about } = writeEntry(site, issuer, entry, { ...place, epoch: place.stream.epoch })
  const signing = { signer: issuer.issuer, domain: site.network.easDomain, keccak: site.crypto.keccak }
  return { attestation: attest(SLInput, data, about, signing), body: entry.body }
}

export function factEntry({ crypto }: Site, { subset, body, lifeS = 0n }: FactParameters): EntryParameters {
  return { kind: 'fact', subset: subsetOf(subset, crypto.keccak), body: canonicalJson(body), lifeS }
}

/** What an entry says at its place, ready to be signed. */
export function writeEntry(
  site: Site,
  issuer: StreamParameters,
  { kind, subset, body, lifeS }: EntryParameters,
  before: Predecessor,
): { readonly data: InputData; readonly about: AttestOptions } {
  const { tokenType, lane, stream } = idsOf(site, issuer)
  const time = site.clock.now() / 1000n
  const data = {
    token: subset,
    stream,
    epoch: before.epoch,
    sequence: before.stream.sequence + 1n,
    subset,
    subSequence: before.subset.sequence + 1n,
    subPrevious: before.subset.head,
    context: inputContext(site.network.networkId, tokenType, lane, site.crypto.keccak),
    contentHash: textHash(body, site.crypto),
    kind: BigInt(INPUT_KINDS.indexOf(kind)),
    validFrom: time,
    origin: ZERO_32,
  }
  const about = {
    recipient: issuer.contract,
    time,
    expirationTime: lifeS ? time + lifeS : 0n,
    refUID: before.stream.head,
    salt: nonce(site),
  }
  return { data, about }
}

/** Sends a signed fact to one anchor after another until 2f + 1 home anchors signed its receipt. Sending twice is safe. */
export async function publish(site: Site, item: StreamItem, options: CallOptions = {}): Promise<ReceiptInfo> {
  const offered = await offer(site, [item], options)
  if (offered.end === 'receipt') return offered.receipt
  throw offered.error
}

export type OfferOptions = CallOptions & {
  /** Told of anchors that did not answer. */
  readonly onSilent?: (anchor: string) => void
}

/** Sends consecutive entries of one stream the same way; the receipt is for the last of them. */
export async function offer(site: Site, items: readonly StreamItem[], options: OfferOptions = {}): Promise<Offered> {
  const { chainId, eas } = site.network.info
  const body = publishRequestShape.toJson({ items, domain: { chainId, verifyingContract: eas } })
  const refusals: SmartLayerError[] = []
  for (const anchor of site.anchors) {
    try {
      const url = `${anchor}/v1/attestations`
      const receipt = await post(url, body, receiptInfoShape, { timeoutMs: PUBLISH_TIMEOUT_MS, ...options })
      return { end: 'receipt', receipt: checkedReceipt(site, items.at(-1)!, receipt) }
    } catch (error) {
      if (!(error instanceof SmartLayerError)) throw error
      refusals.push(error)
      if (error.code === 'network.unreachable') options.onSilent?.(anchor)
      // One anchor may be wrong about an entry; f + 1 that say the same are not.
      const same = refusals.filter(({ code }) => code === error.code).length
      if (isRefusal(error) && same > faultsTolerated(site.anchors.length)) return { end: 'refused', error }
    }
  }
  const telling = refusals.findLast(({ code }) => code !== 'network.unreachable') ?? refusals.at(-1)
  return { end: 'unsettled', error: telling ?? SmartLayerError.of('stream.no_quorum', { got: 0, needed: 1, of: 0 }) }
}

/** About the entry, not about the anchor that was asked. */
function isRefusal({ kind, code }: SmartLayerError): boolean {
  return kind !== 'unavailable' && kind !== 'bug' && code !== 'answer.malformed'
}

function checkedReceipt(site: Site, item: StreamItem, info: ReceiptInfo): ReceiptInfo {
  const { network, crypto } = site
  const stream = readData(item)?.stream ?? ZERO_32
  const entry = {
    stream,
    sequence: readData(item)?.sequence ?? 0n,
    uid: uidOf(item.attestation.message, crypto.keccak),
  }
  const home = homeOf(stream, network.membership, crypto.keccak)
  const verdict = checkReceipt(info, entry, { home, domain: network.domain, crypto })
  if (accepted(verdict)) return info
  const facts = { got: 0, needed: home.quorum, of: home.anchors.length, ...verdict.facts }
  throw SmartLayerError.of('stream.no_quorum', facts)
}

export function idsOf({ crypto }: Site, { issuer, contract, chainId, lane: laneName }: StreamParameters) {
  const { keccak } = crypto
  const tokenType = tokenTypeOf({ chainId, contract }, keccak)
  const lane = laneOf(laneName, keccak)
  return { tokenType, lane, stream: streamOf(issuer.address, tokenType, lane, keccak) }
}
