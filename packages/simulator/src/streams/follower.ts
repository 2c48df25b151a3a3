/** A node that follows subsets: it applies entries in order, each once, as a journal of the home anchors lets it. */
import type { EntryDoor, InputBuffer, Ports, RevocationBook, StreamService } from '@smartlayer/node'
import {
  type Address,
  type Bytes32,
  encodeItem,
  faultsTolerated,
  type Hasher,
  type StreamItem,
  uidOf,
} from '@smartlayer/protocol'
import type { Disk } from '../store.ts'
import type { StreamCheckers } from './checkers.ts'
import type { Made } from './writer.ts'

/** What is followed; for the whole of a stream `subset` is the stream's own id. */
export type FollowedSubset = { readonly stream: Bytes32; readonly subset: Bytes32 }

const ARRIVAL_MS = 1
const TICK_MS = 60
const REFUSED_PAUSE_MS = 100
/** Entries of one subset that a node may keep ahead of its cursor. */
const AHEAD_LIMIT = 256

type Anchor = { readonly signer: { readonly address: Address }; readonly service: StreamService | undefined }
type Options = {
  readonly name: string
  readonly follows: readonly FollowedSubset[]
  /** Keeps the cursors: what was applied and how far is one write. */
  readonly disk: Disk
  readonly door: EntryDoor
  readonly revocations: RevocationBook
  readonly inputs: (onArrival: () => void) => InputBuffer
  readonly anchors: () => readonly Anchor[]
  readonly byzantine: ReadonlySet<Address>
  readonly keccak: Hasher
  readonly checkers: StreamCheckers
  readonly note: (text: string) => void
}

export class FollowerNode {
  readonly revocations: RevocationBook
  readonly #ports: Pick<Ports, 'clock'>
  readonly #options: Options
  readonly #inputs: InputBuffer
  readonly #pausedUntil = new Map<string, number>()
  #isScheduled = false

  constructor(ports: Pick<Ports, 'clock'>, options: Options) {
    this.#ports = ports
    this.#options = options
    this.revocations = options.revocations
    this.#inputs = options.inputs(() => this.#soon())
    for (const { stream, subset } of options.follows)
      this.#inputs.follow(stream, subset, cursorOn(options.disk, { stream, subset }))
    this.#tick()
  }

  /** True while the next entry here is one that is not certified at its place: a liar brought it, and no journal takes it. */
  holdsRival({ stream, subset }: FollowedSubset): boolean {
    const { disk, checkers } = this.#options
    const after = cursorOn(disk, { stream, subset })
    const item = this.#inputs.next(stream, subset, after)
    const made = item && checkers.chains.signed(encodeItem(item))
    return made !== undefined && checkers.chains.at(stream, after + 1n, subset) !== made.uid
  }

  #tick(): void {
    this.#work()
    this.#ports.clock.after(TICK_MS, () => this.#tick())
  }

  #soon(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#ports.clock.after(ARRIVAL_MS, () => {
      this.#isScheduled = false
      this.#work()
    })
  }

  #work(): void {
    const { name, checkers, follows } = this.#options
    for (const followed of follows) while (this.#applyNext(followed));
    for (const { waiting } of this.#inputs.status(follows.length)) {
      if (waiting > AHEAD_LIMIT) checkers.fail('INV-BOUNDED', `${name} keeps ${waiting} entries ahead of its cursor`)
    }
  }

  /** True when an entry was applied. */
  #applyNext(followed: FollowedSubset): boolean {
    const { stream, subset } = followed
    const { name, disk, checkers, note } = this.#options
    const now = this.#ports.clock.monotonic()
    if (now < (this.#pausedUntil.get(`${stream}/${subset}`) ?? 0)) return false
    const after = cursorOn(disk, followed)
    const item = this.#inputs.next(stream, subset, after)
    if (!item) return false
    const made = checkers.chains.signed(encodeItem(item))
    if (!made) this.#checkUnsigned(item)
    const answer = made ? this.#journal(made) : 'other' // no journal takes what its issuer did not sign
    if (answer !== 'yes' || !made) {
      this.#pausedUntil.set(`${stream}/${subset}`, now + REFUSED_PAUSE_MS)
      if (answer === 'other') this.#inputs.discard(stream, subset, after + 1n)
      return false
    }
    checkers.applied(name, { ...followed, after }, made)
    note(`${name} applies ${after + 1n}`)
    moveCursor(disk, followed, after + 1n)
    this.#inputs.follow(stream, subset, after + 1n)
    return true
  }

  /** A liar may change the signature of what a checkpoint proves, but nothing of what was signed. */
  #checkUnsigned({ attestation }: StreamItem): void {
    const { checkers, name, keccak } = this.#options
    if (!checkers.chains.made(uidOf(attestation.message, keccak))) {
      checkers.fail('INV-ATTESTED', `${name} hands out an entry that its issuer never signed`)
    }
  }

  /** What 2f + 1 home anchors would say to a journal entry with this input; a liar says yes to everything. */
  #journal({ uid, data: { stream, sequence } }: Made): 'yes' | 'waiting' | 'other' {
    const { anchors, byzantine, checkers, name } = this.#options
    const isCertified = checkers.chains.at(stream, sequence) === uid
    const answers = anchors().map(({ signer, service }) => {
      if (byzantine.has(signer.address)) return 'yes'
      const answer = service?.hasReceipt({ stream, sequence, uid }, () => this.#soon()) ?? 'waiting'
      if (answer === 'yes' && !isCertified) {
        checkers.fail('INV-COMMIT', `an anchor lets ${name} journal ${sequence}, which has no receipt`)
      }
      return answer
    })
    const count = (answer: string) => answers.filter((each) => each === answer).length
    const faults = faultsTolerated(answers.length)
    if (count('other') > faults) return 'other'
    return count('yes') > 2 * faults ? 'yes' : 'waiting'
  }
}

/** How far a node applied what it follows. */
export function cursorOn(disk: Disk, { stream, subset }: FollowedSubset): bigint {
  const value = disk.get(`cursor/${stream}/${subset}`)
  return value ? new DataView(value.buffer, value.byteOffset).getBigUint64(0) : 0n
}

function moveCursor(disk: Disk, { stream, subset }: FollowedSubset, cursor: bigint): void {
  const value = new Uint8Array(8)
  new DataView(value.buffer).setBigUint64(0, cursor)
  disk.put(`cursor/${stream}/${subset}`, value)
}
