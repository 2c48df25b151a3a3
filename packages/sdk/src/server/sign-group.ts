/** Signs entries that follow each other: one alone by itself, more under one batch root. Nothing is sent. */
import {
  attestBatch,
  attestMessage,
  type BatchItem,
  type Bytes32,
  type Delegation,
  type Signer,
  SLInput,
  type StreamItem,
  type SubsetState,
  uidOf,
} from '@smartlayer/protocol'
import { type EntryParameters, type StreamParameters, writeEntry } from '../publish.ts'
import { nonce, type Site } from '../site.ts'

/** Entries of one request, and the most bytes that their JSON may take. */
export const GROUP_LIMIT = 64
export const GROUP_BYTES = 400_000
/** Attestation, proof and root of an entry as JSON, at most. */
const ENVELOPE_BYTES = 3_600

/** Where a group begins. `heads` has the head of every subset that its entries are in. */
export type GroupStart = {
  readonly epoch: bigint
  readonly stream: SubsetState
  readonly heads: ReadonlyMap<Bytes32, SubsetState>
}

export type GroupSigner = {
  readonly signer: Signer
  /** What entitles another key than the issuer's own. */
  readonly delegation: Delegation | undefined
}

/** The head of the stream after the group, and those of the subsets in it. */
export type SignedGroup = { readonly items: readonly StreamItem[]; readonly end: GroupStart }

export function signGroup(
  site: Site,
  stream: StreamParameters,
  { entries, start, by }: { entries: readonly EntryParameters[]; start: GroupStart; by: GroupSigner },
): SignedGroup {
  const { keccak } = site.crypto
  const heads = new Map(start.heads)
  let head = start.stream
  const written = entries.map((entry): BatchItem => {
    const { data, about } = writeEntry(site, stream, entry, {
      epoch: start.epoch,
      stream: head,
      subset: heads.get(entry.subset)!,
    })
    const uid = uidOf(attestMessage(SLInput, data, about, keccak), keccak)
    head = { sequence: data.sequence, head: uid }
    heads.set(entry.subset, { sequence: data.subSequence, head: uid })
    return { schema: SLInput, data, ...about }
  })
  const attestations = attestBatch(written, {
    signer: by.signer,
    domain: site.network.easDomain,
    keccak,
    time: site.clock.now() / 1000n,
    firstSequence: start.stream.sequence + 1n,
    salt: nonce(site),
  })
  const items = attestations.map((attestation, i) => itemOf(attestation, entries[i]!.body, by.delegation))
  return { items, end: { epoch: start.epoch, stream: head, heads } }
}

/** Bytes that an entry takes in a request, at most. */
export function weightOf({ body }: Pick<EntryParameters, 'body'>, delegation: Delegation | undefined): number {
  const own = Buffer.byteLength(JSON.stringify(body)) + ENVELOPE_BYTES
  return delegation ? own + delegation.body.length + ENVELOPE_BYTES : own
}

function itemOf(attestation: StreamItem['attestation'], body: string, delegation: Delegation | undefined): StreamItem {
  return delegation ? { attestation, body, delegation } : { attestation, body }
}
