/** A home anchor's part in exports and restores: it hands out what proves an instance, and takes it back only where a rule lets it. */
import {
  type Archive,
  accepted,
  agreeToIncarnation,
  type Bytes32,
  checkArchive,
  type Domain,
  digestOf,
  domainOf,
  Export,
  type ExportRequest,
  epochOfTerm,
  formatTokenRef,
  type Hex,
  type HomeOf,
  JournalCheckpoint,
  judgeRestore,
  type KeptCheckpoint,
  namedHomes,
  networkIdOf,
  type PlaceReached,
  type ProvenArchive,
  parseTokenRef,
  Restore,
  type RestoreAnswer,
  type RestoreRequest,
  type RestoreStep,
  SmartLayerError,
  type TokenRef,
  type Verdict,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { QuorumDoor } from '../directory/quorum-door.ts'
import type { RecordBook } from '../election/record-book.ts'
import { JOURNAL_PAGE_LIMIT, type JournalService } from '../journal/journal-service.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'

/** A request may be this far from our clock, in ms. */
const WINDOW_MS = 300_000n
/** So long an export waits for a checkpoint of where the instance stands; after that it takes the one before. */
const CHECKPOINT_WAIT_MS = 2_000
const LOOK_MS = 50
/** Exports and restores at a time: each holds a whole instance in memory. */
const AT_ONCE = 8

type ServicePorts = Pick<Ports, 'chain' | 'clock' | 'identity' | 'telemetry'>
type Parts = {
  readonly post: PostOffice
  readonly book: RecordBook
  readonly door: QuorumDoor
  readonly journals: JournalService
  /** Loads a token and takes it up; throws as TokenBook. */
  readonly activate: (text: string) => Promise<LoadedToken>
  /** As `activate`, but nobody is elected for it: what is restored must come before the first entry. */
  readonly keep: (text: string) => Promise<LoadedToken>
}

export class LifecycleService {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #parts: Parts
  readonly #registry: { readonly chainId: bigint; readonly registry: Hex }
  #running = 0

  constructor(ports: ServicePorts, context: NodeContext, parts: Parts) {
    this.#ports = ports
    this.#context = context
    this.#parts = parts
    const { chainId, verifyingContract } = context.domain
    this.#registry = { chainId, registry: verifyingContract }
  }

  /** Everything that proves where an instance stands. Throws `request.expired`, `attestation.signer`, `archive.nothing`, `queue.full`. */
  async export(text: string, asked: ExportRequest): Promise<Archive> {
    return this.#alone(async () => {
      const ref = parseTokenRef(text)
      const token = await this.#parts.activate(text)
      await this.#admit(ref, token, asked)
      await this.#checkpointNow(token)
      return this.#archive(token)
    })
  }

  /** Takes an archive. Throws what `checkArchive` and `judgeRestore` refuse with, and `queue.full`. */
  async restore(text: string, { archive, order }: RestoreRequest): Promise<RestoreAnswer> {
    return this.#alone(async () => {
      const token = await this.#parts.keep(text)
      const proven = orThrow(this.#proven(token, archive, { byOwner: order !== undefined }))
      if (proven.instance !== token.instance)
        throw SmartLayerError.of('archive.malformed', { detail: `it is not of ${text} under its present script` })
      const step = orThrow(await this.#decide(token, proven, order))
      if (step.step === 'endorse') return this.#endorsed(step.checkpoint)
      this.#parts.journals.learn(token.instance, archive)
      return { step: 'learnt', ...(await this.#reached(token.instance)) }
    })
  }

  /** Begins the incarnation of a checkpoint that 2f + 1 home anchors endorsed. Throws what is wrong with it. */
  async begin(text: string, kept: KeptCheckpoint): Promise<PlaceReached> {
    const token = await this.#parts.keep(text)
    const { checkpoint } = kept.certified
    if (checkpoint.instance !== token.instance)
      throw SmartLayerError.of('archive.malformed', { detail: `it is not of ${text} under its present script` })
    orThrow(this.#parts.door.checkpoint(token, kept.certified))
    this.#parts.journals.learn(token.instance, { kept, entries: [], proof: undefined })
    const reached = await this.#reached(token.instance)
    await this.#parts.activate(text)
    this.#ports.telemetry.log('info', 'instance.restored', { instance: token.instance, ...reached })
    return reached
  }

  /** The owner of the contract may have everything, and so may the holder of the token. */
  async #admit(ref: TokenRef, token: LoadedToken, { request, signature }: ExportRequest): Promise<void> {
    const now = this.#ports.clock.now()
    if (request.time < now - WINDOW_MS || request.time > now + WINDOW_MS)
      throw SmartLayerError.of('request.expired', { time: request.time, now })
    const { keccak, recover } = this.#ports.identity.crypto
    const signer = recover(digestOf(Export, request, this.#context.domain, keccak), signature)
    if (request.instance === token.instance && signer) {
      if (signer === token.rules.owner) return
      if (signer === (await this.#ports.chain.ownerOf(ref)).owner) return
    }
    const role = 'owner of the contract or holder of the token'
    throw SmartLayerError.of('attestation.signer', { signer: signer ?? 'nobody', role })
  }

  /** Asks the executor for a checkpoint of the last committed entry, and waits for it within a bound. */
  async #checkpointNow({ instance }: LoadedToken): Promise<void> {
    const { book, journals, post } = this.#parts
    const wanted = book.get(instance).committed.n
    const until = this.#ports.clock.monotonic() + CHECKPOINT_WAIT_MS
    const hasIt = () => (journals.checkpoint(instance)?.certified.checkpoint.n ?? 0n) >= wanted
    const executor = journals.placement(instance)?.certified.placement.executor
    if (!executor || hasIt()) return
    post.send(executor, { type: 'checkpoint-wanted', instance })
    while (!hasIt() && this.#ports.clock.monotonic() < until)
      await new Promise<void>((look) => this.#ports.clock.after(LOOK_MS, look))
  }

  #archive(token: LoadedToken): Archive {
    const { journals } = this.#parts
    const { instance, ref, rules } = token
    const kept = journals.checkpoint(instance)
    const after = kept?.certified.checkpoint.n ?? 0n
    const { entries, proof } = journals.page(instance, after + 1n, JOURNAL_PAGE_LIMIT)
    if (!kept && entries.length === 0) throw SmartLayerError.of('archive.nothing', { token: formatTokenRef(ref) })
    const placement = journals.placement(instance)?.certified
    const { chainId, registry } = this.#registry
    const terms = [kept?.certificate?.entry.term, entries.at(-1)?.entry.term, placement?.placement.term]
    const epochs = terms.flatMap((term) => (term === undefined ? [] : [epochOfTerm(term)]))
    return {
      format: 1,
      chainId,
      registry,
      token: formatTokenRef(ref),
      scriptHash: rules.scriptHash,
      kept,
      entries,
      proof: proof as Archive['proof'],
      placement: placement && { placement: placement.placement, votes: [...placement.votes] },
      homes: this.#homes(token, [...epochs, ...(kept ? [kept.certified.checkpoint.homeEpoch] : [])]),
    }
  }

  #homes({ token }: LoadedToken, epochs: readonly bigint[]): Archive['homes'] {
    return [...new Set(epochs)].flatMap((epoch) => {
      const home = this.#context.homes().at(token, epoch)
      return home ? [{ epoch, anchors: home.anchors }] : []
    })
  }

  /** On the word of its owner an archive has to hold together; without it, by the home sets that this anchor knows. */
  #proven({ token }: LoadedToken, archive: Archive, { byOwner }: { byOwner: boolean }): Verdict<ProvenArchive> {
    const { crypto } = this.#ports.identity
    const { chainId, registry } = archive
    const isNative = networkIdOf(chainId, registry, crypto.keccak) === this.#context.networkId
    const known: HomeOf = (epoch) => this.#context.homes().at(token, epoch)
    return checkArchive(archive, byOwner || !isNative ? namedHomes(archive) : known, {
      domain: isNative ? this.#context.domain : domainOfNetwork({ chainId, registry }, crypto.keccak),
      crypto,
    })
  }

  /** Decides alone for the instance; what an anchor agrees to is on disk before it says so. */
  async #decide(
    { instance, rules }: LoadedToken,
    proven: ProvenArchive,
    order: RestoreRequest['order'],
  ): Promise<Verdict<RestoreStep>> {
    const { keccak, recover } = this.#ports.identity.crypto
    const said = order && {
      statement: order.statement,
      signer: recover(digestOf(Restore, order.statement, this.#context.domain, keccak), order.signature),
    }
    let decision: Verdict<RestoreStep> | undefined
    await this.#parts.book.changed(instance, (record, { epoch }) => {
      if (epoch === undefined) {
        decision = { verdict: 'ignore', code: 'home.epoch', facts: { epoch: 0n, standing: 0n } }
        return undefined
      }
      const { networkId } = this.#context
      decision = judgeRestore(record, proven, { order: said, owner: rules.owner, networkId, homeEpoch: epoch })
      if (!accepted(decision) || decision.value.step === 'learn') return undefined
      return { record: agreeToIncarnation(record, decision.value.checkpoint) }
    })
    return decision!
  }

  #endorsed(checkpoint: JournalCheckpoint): RestoreAnswer {
    const { signer, crypto } = this.#ports.identity
    const signature = signer.sign(digestOf(JournalCheckpoint, checkpoint, this.#context.domain, crypto.keccak))
    return { step: 'endorsed', checkpoint, signature }
  }

  async #reached(instance: Bytes32): Promise<PlaceReached> {
    const { committed, incarnation } = await this.#parts.book.settled(instance)
    return { n: committed.n, incarnation }
  }

  async #alone<T>(run: () => Promise<T>): Promise<T> {
    if (this.#running >= AT_ONCE) throw SmartLayerError.of('queue.full', { queue: 'archives', limit: AT_ONCE })
    this.#running++
    try {
      return await run()
    } finally {
      this.#running--
    }
  }
}

/** The domain in which the nodes of a network sign. */
function domainOfNetwork(
  { chainId, registry }: Pick<Archive, 'chainId' | 'registry'>,
  keccak: Parameters<typeof domainOf>[1],
): Domain {
  return domainOf({ name: 'SmartLayer', version: '1', chainId, verifyingContract: registry }, keccak)
}

function orThrow<T>(verdict: Verdict<T>): T {
  if (accepted(verdict)) return verdict.value
  throw SmartLayerError.fromData(verdict.code, verdict.facts)
}
