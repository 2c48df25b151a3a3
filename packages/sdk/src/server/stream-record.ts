/** What an issuer reads of its own stream when its outbox does not say: which entries arrived, and what entitles its key. */
import {
  type Address,
  accepted,
  type Bytes32,
  checkContent,
  type Delegation,
  EPOCH_SUBSET,
  faultsTolerated,
  parseEpoch,
  quorumOf,
  readData,
  SmartLayerError,
  type StreamHead,
  type StreamItem,
  streamPageShape,
  subsetOf,
  uidOf,
  verifyAttestation,
} from '@smartlayer/protocol'
import { askAll, notReached, valuesOf } from '../ask.ts'
import { get } from '../http.ts'
import { readSubsetHead } from '../publish.ts'
import type { Site } from '../site.ts'
import type { Basis, Pending } from './outbox-state.ts'

/**
 * How many of these entries, from the first on, stand in the stream with a receipt, as f + 1 anchors show. Throws
 * `quorum.not_reached` while too few answer, or while their answers differ.
 */
export async function countArrived(site: Site, stream: Bytes32, pending: readonly Pending[]): Promise<number> {
  let low = 0
  let high = pending.length
  while (low < high) {
    const middle = (low + high) >> 1 // what follows an entry that did not arrive did not arrive either
    if (await hasArrived(site, stream, pending[middle]!)) low = middle + 1
    else high = middle
  }
  return low
}

export async function hasArrived(site: Site, stream: Bytes32, { uid, data }: Pending): Promise<boolean> {
  const read = async (anchor: string): Promise<boolean> => {
    const item = await entryAfter(`${anchor}/v1/streams/${stream}/entries`, data.sequence - 1n)
    return item !== undefined && uidOf(item.attestation.message, site.crypto.keccak) === uid
  }
  const asked = await askAll(site.anchors, read, () => false)
  const answers = valuesOf(asked)
  const shown = answers.filter((isThere) => isThere).length
  const enough = faultsTolerated(site.anchors.length) + 1
  if (shown >= enough) return true
  const needed = quorumOf(site.anchors.length)
  if (shown > 0 || answers.length < needed) throw notReached(asked, { got: answers.length, needed })
  return false
}

/** The place that the network names, with the delegation of the key that signs there. */
export async function basisOf(site: Site, issuer: Address, head: StreamHead): Promise<Basis> {
  const { stream, epoch, sequence, head: uid, key } = head
  const delegation = key && key !== issuer ? await readDelegation(site, { stream, epoch, key, issuer }) : undefined
  return { epoch, sequence, head: uid, key, delegation }
}

type Delegated = { readonly stream: Bytes32; readonly epoch: bigint; readonly key: Address; readonly issuer: Address }

/** The entry that opened the epoch; one anchor is enough, for the issuer signed it. */
async function readDelegation(site: Site, delegated: Delegated): Promise<Delegation> {
  const subset = subsetOf(EPOCH_SUBSET, site.crypto.keccak)
  const { sequence } = await readSubsetHead(site, { stream: delegated.stream, subset })
  const read = (anchor: string) =>
    entryAfter(`${anchor}/v1/streams/${delegated.stream}/subsets/${subset}/entries`, sequence - 1n)
  const asked = await askAll(site.anchors, read, (items) => items.some((item) => entitles(site, item, delegated)))
  const found = valuesOf(asked).find((item) => entitles(site, item, delegated))
  if (!found) throw notReached(asked, { got: 0, needed: 1 })
  return { attestation: found.attestation, body: found.body }
}

function entitles(site: Site, item: StreamItem | undefined, { stream, epoch, key, issuer }: Delegated): boolean {
  const data = item && readData(item)
  if (!data || data.stream !== stream || data.epoch !== epoch || parseEpoch(item.body)?.key !== key) return false
  if (!accepted(checkContent(item.body, data.contentHash, site.crypto.keccak))) return false
  const options = { domain: site.network.easDomain, crypto: site.crypto }
  return item.attestation.attester === issuer && accepted(verifyAttestation(item.attestation, options))
}

async function entryAfter(url: string, after: bigint): Promise<StreamItem | undefined> {
  try {
    return (await get(`${url}?after=${after}&limit=1`, streamPageShape)).items[0]
  } catch (error) {
    if (error instanceof SmartLayerError && error.kind === 'missing') return undefined // pruned, or never there
    throw error
  }
}
