/** Publishes facts as an issuer: one stream per token type and lane, in sequence, safe to send again. */
import {
  type Address,
  attest,
  canonicalJson,
  digestOf,
  faultsTolerated,
  homeOf,
  INPUT_KINDS,
  inputContext,
  laneOf,
  quorumOf,
  Receipt,
  type ReceiptInfo,
  receiptInfoShape,
  type Signer,
  SLInput,
  SmartLayerError,
  type StreamHead,
  type StreamItem,
  type SubsetHead,
  signersAmong,
  streamHeadShape,
  streamItemShape,
  streamOf,
  subsetHeadShape,
  subsetOf,
  textHash,
  tokenTypeOf,
  uidOf,
  ZERO_32,
} from '@smartlayer/protocol'
import { askAll, notReached, valuesOf } from './ask.ts'
import { type CallOptions, get, post } from './http.ts'
import { nonce, type Site } from './site.ts'

const PUBLISH_TIMEOUT_MS = 8_000

export type IssuerParameters = {
  readonly issuer: Signer
  readonly contract: Address
  readonly chainId: bigint
  readonly lane: string
}

export type FactParameters = {
  /** Readable key of what the fact concerns: `flight-status/LH454/2026-11-12`. */
  readonly subset: string
  readonly body: unknown
  /** Seconds until it no longer counts; 0 or left out means that it stands. */
  readonly lifeS?: bigint
}

/** Where the issuer's stream and one of its subsets stand, as most anchors say. */
export type Place = { readonly stream: StreamHead; readonly subset: SubsetHead }

/**
 * The furthest place that f + 1 anchors have reached, and the head that most of those standing there name: no single
 * anchor can send the issuer to a wrong place, and with at most f of them lost or lying nothing receipted is overlooked.
 * Throws `quorum.not_reached` with fewer than 2f + 1 answers.
 */
export async function readPlace(
  site: Site,
  issuer: IssuerParameters,
  subsetKey: string,
  options: CallOptions = {},
): Promise<Place> {
  const { stream, subset } = idsOf(site, issuer, subsetKey)
  const read = async (anchor: string): Promise<Place> => ({
    stream: await get(`${anchor}/v1/streams/${stream}`, streamHeadShape, options),
    subset: await get(`${anchor}/v1/streams/${stream}/subsets/${subset}`, subsetHeadShape, options),
  })
  const asked = await askAll(site.anchors, read, () => false)
  const places = valuesOf(asked).filter((place) => place.stream.stream === stream && place.subset.subset === subset)
  const needed = quorumOf(site.anchors.length)
  const reached = furthestOf(places, faultsTolerated(site.anchors.length) + 1)
  if (places.length < needed || !reached) throw notReached(asked, { got: places.length, needed })
  return reached
}

function furthestOf(places: readonly Place[], confirmations: number): Place | undefined {
  const byReach = [...places].sort((a, b) => (a.stream.sequence > b.stream.sequence ? -1 : 1))
  const least = byReach[confirmations - 1]
  const there = places.filter((place) => place.stream.sequence === least?.stream.sequence)
  const support = (place: Place) => there.filter((other) => samePlace(place, other)).length
  return there.sort((a, b) => support(b) - support(a))[0]
}

function samePlace(a: Place, b: Place): boolean {
  return a.stream.head === b.stream.head && a.stream.epoch === b.stream.epoch && a.subset.head === b.subset.head
}

/** Signs the fact that follows a place; nothing is sent. */
export function signFact(
  site: Site,
  issuer: IssuerParameters,
  { fact, place }: { fact: FactParameters; place: Place },
): StreamItem {
  const { keccak } = site.crypto
  const { stream, subset, lane, tokenType } = idsOf(site, issuer, fact.subset)
  const body = canonicalJson(fact.body)
  const time = site.clock.now() / 1000n
  const data = {
    token: subset,
    stream,
    epoch: place.stream.epoch,
    sequence: place.stream.sequence + 1n,
    subset,
    subSequence: place.subset.sequence + 1n,
    subPrevious: place.subset.head,
    context: inputContext(site.network.networkId, tokenType, lane, keccak),
    contentHash: textHash(body, site.crypto),
    kind: BigInt(INPUT_KINDS.indexOf('fact')),
    validFrom: time,
    origin: ZERO_32,
  }
  const about = {
    recipient: issuer.contract,
    time,
    expirationTime: fact.lifeS ? time + fact.lifeS : 0n,
    refUID: place.stream.head,
    salt: nonce(site),
  }
  return {
    attestation: attest(SLInput, data, about, { signer: issuer.issuer, domain: site.network.easDomain, keccak }),
    body,
  }
}

/** Sends a signed fact to one anchor after another until 2f + 1 home anchors signed its receipt. Sending twice is safe. */
export async function publish(site: Site, item: StreamItem, options: CallOptions = {}): Promise<ReceiptInfo> {
  const refusals: SmartLayerError[] = []
  for (const anchor of site.anchors) {
    try {
      const body = streamItemShape.toJson(item)
      const receipt = await post(`${anchor}/v1/attestations`, body, receiptInfoShape, {
        timeoutMs: PUBLISH_TIMEOUT_MS,
        ...options,
      })
      return checkReceipt(site, item, receipt)
    } catch (error) {
      if (!(error instanceof SmartLayerError) || error.kind === 'conflict') throw error
      refusals.push(error)
      // One anchor may be wrong about a fact; f + 1 that say the same are not.
      const same = refusals.filter(({ code }) => code === error.code).length
      if (!error.retryable && same > faultsTolerated(site.anchors.length)) throw error
    }
  }
  throw refusals.at(-1) ?? SmartLayerError.of('stream.no_quorum', { got: 0, needed: 1, of: 0 })
}

function checkReceipt(site: Site, { attestation }: StreamItem, info: ReceiptInfo): ReceiptInfo {
  const { receipt, signatures } = info
  const { keccak } = site.crypto
  const home = homeOf(receipt.stream, site.network.membership, keccak)
  const digest = digestOf(Receipt, receipt, site.network.domain, keccak)
  const got = signersAmong(home.anchors, { digest, signatures }, site.crypto).length
  const fits = receipt.uid === uidOf(attestation.message, keccak)
  if (!fits || got < home.quorum) {
    throw SmartLayerError.of('stream.no_quorum', { got: fits ? got : 0, needed: home.quorum, of: home.anchors.length })
  }
  return info
}

function idsOf(site: Site, { issuer, contract, chainId, lane: laneName }: IssuerParameters, subsetKey: string) {
  const { keccak } = site.crypto
  const tokenType = tokenTypeOf({ chainId, contract }, keccak)
  const lane = laneOf(laneName, keccak)
  return {
    tokenType,
    lane,
    stream: streamOf(issuer.address, tokenType, lane, keccak),
    subset: subsetOf(subsetKey, keccak),
  }
}
