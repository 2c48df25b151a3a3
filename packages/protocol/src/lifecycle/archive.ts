/** An archive of an instance: everything that proves where it stands, and when it proves it (docs/spec/lifecycle.md). */
import { canonicalJson } from '../attestation/content.ts'
import type { Home } from '../directory/home.ts'
import { instanceOf, networkIdOf, parseTokenRef, tokenOf } from '../directory/ids.ts'
import { quorumOf } from '../directory/membership.ts'
import { epochOfTerm } from '../directory/terms.ts'
import { SmartLayerError } from '../errors/smart-layer-error.ts'
import type { InstanceState } from '../execution/instance.ts'
import { checkCertificate, checkCommit, checkPlacement, type Door } from '../journal/certify.ts'
import { checkJournalCheckpoint, snapshotRoot, stateOf } from '../journal/checkpoint.ts'
import { type CommitProof, entryHash, GENESIS, type Head, type JournalCheckpoint } from '../journal/messages.ts'
import type { Bytes32 } from '../primitives/bytes.ts'
import { integer, listOf, optional, record, type ShapeOf, text } from '../primitives/shape.ts'
import { address, bytes32, uint } from '../primitives/struct.ts'
import { accept, accepted, ignore, reject, type Verdict } from '../primitives/verdict.ts'
import { keptCheckpointShape } from '../wire/messages.ts'
import { certifiedPlacementShape, commitProofShape, journaledEntryShape, TOKEN_TEXT_LIMIT } from '../wire/shapes.ts'
import { headOfCheckpoint } from './incarnation.ts'

export const ARCHIVE_FORMAT = 1
/** Entries after the checkpoint that one archive holds; the next checkpoint makes room. */
export const ARCHIVE_ENTRIES = 64
const HOME_SETS = 64
const HOME_SIZE = 31

export const archiveShape = record({
  format: integer(ARCHIVE_FORMAT, ARCHIVE_FORMAT),
  chainId: uint(64),
  registry: address,
  token: text(TOKEN_TEXT_LIMIT),
  scriptHash: bytes32,
  /** The newest checkpoint, with its state; left out while there is none. */
  kept: optional(keptCheckpointShape),
  /** Committed entries after it, in order; `proof` commits the last. */
  entries: listOf(journaledEntryShape, ARCHIVE_ENTRIES),
  proof: optional(commitProofShape),
  placement: optional(certifiedPlacementShape),
  /** The home sets whose signatures are in it, as the exporting anchor knows them. */
  homes: listOf(record({ epoch: uint(64), anchors: listOf(address, HOME_SIZE) }), HOME_SETS),
})
export type Archive = ShapeOf<typeof archiveShape>

/** What an archive proves, by the home sets that it was checked against. */
export type ProvenArchive = {
  readonly networkId: Bytes32
  readonly token: Bytes32
  readonly instance: Bytes32
  readonly incarnation: bigint
  /** The checkpoint and its state. */
  readonly base: { readonly checkpoint: JournalCheckpoint; readonly state: InstanceState } | undefined
  /** The last committed entry. */
  readonly head: Head
  /** Every place that it proves, from the checkpoint on. */
  readonly places: readonly Head[]
  /** Nothing can have been committed after it: the instance ended there. */
  readonly isFinal: boolean
}

/** The home set of an epoch; undefined when it is not known. */
export type HomeOf = (epoch: bigint) => Home | undefined

/** The canonical JSON of an archive: the same bytes for the same content, whoever writes it. */
export function formatArchive(archive: Archive): string {
  return canonicalJson(archiveShape.toJson(archive))
}

/** Throws `archive.malformed`, `message.malformed`. */
export function parseArchive(json: string): Archive {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw SmartLayerError.of('archive.malformed', { detail: 'it is not JSON' })
  }
  return archiveShape.parse(value, 'archive')
}

/** The home sets that an archive names itself: they say that it holds together, not that they were the right ones. */
export function namedHomes({ homes }: Archive): HomeOf {
  return (epoch) => {
    const named = homes.find((home) => home.epoch === epoch)
    return named && { anchors: named.anchors, quorum: quorumOf(named.anchors.length) }
  }
}

/** Judges every signature, hash and link. The domain of `door` must be that of the network which the archive names. */
export function checkArchive(archive: Archive, homeOf: HomeOf, door: Door): Verdict<ProvenArchive> {
  const { keccak } = door.crypto
  const token = tokenOf(parseTokenRef(archive.token), keccak)
  const instance = instanceOf(token, archive.scriptHash, keccak)
  const base = checkBase(archive, instance, homeOf, door)
  if (!accepted(base)) return base
  const from = base.value ? headOfCheckpoint(base.value.checkpoint) : GENESIS
  const chain = checkChain(archive, { instance, from }, homeOf, door)
  if (!accepted(chain)) return chain
  const placed = checkPlaced(archive, instance, homeOf, door)
  if (!accepted(placed)) return placed
  return accept({
    networkId: networkIdOf(archive.chainId, archive.registry, keccak),
    token,
    instance,
    incarnation: archive.entries.at(-1)?.entry.incarnation ?? base.value?.checkpoint.incarnation ?? 0n,
    base: base.value,
    head: chain.value.at(-1)!,
    places: chain.value,
    isFinal: endsIt(archive, base.value?.state),
  })
}

function checkBase({ kept }: Archive, instance: Bytes32, homeOf: HomeOf, door: Door): Verdict<ProvenArchive['base']> {
  if (!kept) return accept(undefined)
  const { checkpoint } = kept.certified
  const home = homeOf(checkpoint.homeEpoch)
  if (!home) return unknownHome(checkpoint.homeEpoch)
  const certified = checkJournalCheckpoint(kept.certified, home, door)
  if (!accepted(certified)) return certified
  if (checkpoint.instance !== instance) return broken('its checkpoint is of another instance')
  if (snapshotRoot(kept.snapshot, door.crypto.keccak) !== checkpoint.root)
    return broken('its state is not the one that the checkpoint vouches for')
  const state = readState(kept.snapshot, checkpoint)
  return state ? accept({ checkpoint, state }) : broken('its state is not that of the instance at this entry')
}

/** A snapshot whose root was checked; who signed for it may still have been of another network, so its members are looked at. */
function readState(snapshot: string, { instance, n }: JournalCheckpoint): InstanceState | undefined {
  try {
    const state = stateOf(snapshot)
    const isWhole =
      state.instance === instance &&
      state.n === String(n) &&
      /^\d{1,20}$/.test(state.incarnation) &&
      [state.topics, state.effects].every(Array.isArray) &&
      [state.cursors, state.actions].every((member) => typeof member === 'object' && member !== null)
    return isWhole && canonicalJson(state) === snapshot ? state : undefined
  } catch {
    return undefined // not JSON, or without a canonical form
  }
}

function checkChain(
  { entries, proof }: Archive,
  { instance, from }: { instance: Bytes32; from: Head },
  homeOf: HomeOf,
  door: Door,
): Verdict<readonly Head[]> {
  const places = [from]
  let head = from
  for (const { entry } of entries) {
    if (entry.instance !== instance || entry.n !== head.n + 1n || entry.previous !== head.hash)
      return broken(`entry ${entry.n} does not follow the one before it`)
    head = { term: entry.term, n: entry.n, hash: entryHash(entry, door.domain, door.crypto.keccak) }
    places.push(head)
  }
  if (entries.length === 0) return accept(places)
  const home = homeOf(epochOfTerm(head.term))
  if (!home) return unknownHome(epochOfTerm(head.term))
  const committed = proof ? checkCommit(proof as CommitProof, home, door) : broken('nothing commits its last entry')
  if (!accepted(committed)) return committed
  return committed.value.hash === head.hash ? accept(places) : broken('its proof commits another entry')
}

function checkPlaced({ placement, kept }: Archive, instance: Bytes32, homeOf: HomeOf, door: Door): Verdict<undefined> {
  const certificate = kept?.certificate
  const certifying = certificate && homeOf(epochOfTerm(certificate.entry.term))
  if (certificate && certifying) {
    const checked = checkCertificate(certificate, certifying, door)
    if (!accepted(checked)) return checked
    if (checked.value.head.hash !== kept.certified.checkpoint.entry)
      return broken('its certificate is of another entry')
  }
  if (!placement) return accept(undefined)
  if (placement.placement.instance !== instance) return broken('its placement is of another instance')
  const home = homeOf(epochOfTerm(placement.placement.term))
  const placed = home ? checkPlacement(placement, home, door) : unknownHome(epochOfTerm(placement.placement.term))
  return accepted(placed) ? accept(undefined) : placed
}

/** The last entry ends the instance, or the state says that an earlier one did. */
function endsIt({ entries }: Archive, state: InstanceState | undefined): boolean {
  const last = entries.at(-1)
  return last ? last.input.kind === 'lifecycle' : state?.ended !== undefined
}

function broken(detail: string): Verdict<never> {
  return reject('archive.malformed', { detail })
}

function unknownHome(epoch: bigint): Verdict<never> {
  return ignore('home.epoch', { epoch, standing: 0n })
}
