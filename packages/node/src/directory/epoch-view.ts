/** The epochs as this node sees them: members and beacons out of final blocks, the homes that follow, and who may connect. */
import {
  type Bytes32,
  beaconOf,
  closesAt,
  type DirectoryParameters,
  FIRST_EPOCH,
  type Hasher,
  type Homes,
  homesOver,
  type Member,
  type Membership,
  membersAt,
  openEpochAt,
  type PlacedEvent,
  type Schedule,
  SmartLayerError,
  startOf,
} from '@smartlayer/protocol'
import type { Chain } from '../ports/chain.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { RandomBlock, Registry } from '../ports/registry.ts'
import type { Telemetry } from '../ports/telemetry.ts'

const REFRESH_MS = 2_000
/** A network whose registry has not begun, or whose first beacon is not drawn yet, is waited for this long. */
const BEGIN_LIMIT_MS = 60_000
const BEGIN_POLL_MS = 250
/** Epochs whose members are remembered: older placements and receipts cannot be judged any more. */
const EPOCHS_KEPT = 128

type ViewPorts = {
  readonly chain: Pick<Chain, 'members'>
  readonly registry: Registry
  readonly clock: Clock
  readonly telemetry: Telemetry
}
type Options = { readonly directory: DirectoryParameters; readonly keccak: Hasher }
/** What the next epoch will be; in force once it has begun. */
type Prepared = { readonly membership: Membership; readonly block: bigint }

export class EpochView {
  readonly #ports: ViewPorts
  readonly #options: Options
  readonly #schedule: Schedule
  #events: readonly PlacedEvent[] = []
  #readTo = -1n
  #memberships: readonly Membership[] = []
  /** The block that drew the newest beacon. */
  #drawnAt = 0n
  #homes: Homes | undefined
  #prepared: Prepared | undefined
  #members: readonly Member[] = []
  #block = 0n
  #timer: Cancel = () => {}

  private constructor(ports: ViewPorts, options: Options, schedule: Schedule) {
    this.#ports = ports
    this.#options = options
    this.#schedule = schedule
  }

  /** Reads all epochs up to the present one. Throws `chain.unreachable`, and `directory.not_begun` when there is none in time. */
  static async open(ports: ViewPorts, options: Options): Promise<EpochView> {
    const until = ports.clock.monotonic() + BEGIN_LIMIT_MS
    for (;;) {
      const schedule = await ports.registry.schedule()
      if (schedule) {
        const view = new EpochView(ports, options, schedule)
        await view.#advance()
        if (view.#homes) {
          await view.#refresh()
          return view
        }
      }
      if (ports.clock.monotonic() > until) throw SmartLayerError.of('directory.not_begun')
      await new Promise<void>((done) => void ports.clock.after(BEGIN_POLL_MS, done))
    }
  }

  get schedule(): Schedule {
    return this.#schedule
  }

  get homes(): Homes {
    return this.#homes!
  }

  get membership(): Membership {
    return this.homes.membership
  }

  /**
   * Who may connect: the members of this epoch and of the one before, who may have to hand over, and whoever is registered for a
   * later one; each with the keys and addresses that are registered now.
   */
  get members(): readonly Member[] {
    return this.#members
  }

  /** The last final block that was seen. */
  get block(): bigint {
    return this.#block
  }

  stop(): void {
    this.#timer()
  }

  async #refresh(): Promise<void> {
    try {
      const present = await this.#ports.chain.members()
      await this.#advance()
      this.#admit(present)
    } catch (error) {
      this.#ports.telemetry.log('warn', 'chain.not_read', { error })
    }
    this.#timer = this.#ports.clock.after(REFRESH_MS, () => void this.#refresh())
  }

  /** The list stays the same while nothing changes: whoever made an index of it need not make it again. */
  #admit(present: readonly Member[]): void {
    const [now, before] = [this.#memberships.at(-1)!, this.#memberships.at(-2)]
    const lists = [before?.members ?? [], now.members, present]
    const members = [...new Map(lists.flatMap((list) => list.map((member) => [member.node, member] as const))).values()]
    const text = (list: readonly Member[]) => list.map((member) => Object.values(member).join()).join('\n')
    if (text(members) !== text(this.#members)) this.#members = members
  }

  /** Takes up every epoch that has begun, one after another. */
  async #advance(): Promise<void> {
    const { registry, clock, telemetry } = this.#ports
    const { number } = await registry.finalized()
    this.#block = number
    for (;;) {
      this.#prepared ??= await this.#prepare(number)
      const next = this.#prepared
      if (!next || clock.now() / 1_000n < startOf(this.#schedule, next.membership.epoch)) return
      this.#prepared = undefined
      this.#drawnAt = next.block
      this.#memberships = [...this.#memberships, next.membership].slice(-EPOCHS_KEPT)
      this.#homes = homesOver(this.#memberships, this.#options.keccak)
      const { epoch, members } = next.membership
      telemetry.log('info', 'epoch.begins', { epoch, members: members.length, block: next.block })
    }
  }

  /** The members and the beacon of the epoch after the newest one that is known, once its registration closed and a block drew it. */
  async #prepare(finalized: bigint): Promise<Prepared | undefined> {
    const newest = this.#memberships.at(-1)?.epoch ?? 0n
    const drawn = await this.#ports.registry.firstAfter(closesAt(this.#schedule, newest + 1n), this.#drawnAt)
    if (!drawn) return undefined
    await this.#readEvents(finalized)
    const epoch = drawnEpoch(this.#schedule, drawn)
    const snapshot = drawn.number > 0n ? drawn.number - 1n : 0n
    const members = membersAt(this.#events, { block: snapshot, epoch })
    const { directory, keccak } = this.#options
    const beacon = beaconOf(epoch, drawn.randomness, keccak)
    const earlierBeacons = this.#earlierBeacons(epoch)
    return { membership: { epoch, members, beacon, earlierBeacons, directory }, block: drawn.number }
  }

  /** The beacons of the epochs before, the latest first. An epoch in which the chain stood still has that of the one before. */
  #earlierBeacons(epoch: bigint): readonly Bytes32[] {
    const { rotation } = this.#options.directory
    const beacons: Bytes32[] = []
    for (let e = epoch - 1n; e >= FIRST_EPOCH && beacons.length < rotation - 1; e--) {
      const known = this.#memberships.findLast((membership) => membership.epoch <= e)
      if (known) beacons.push(known.beacon)
    }
    return beacons
  }

  async #readEvents(to: bigint): Promise<void> {
    if (to <= this.#readTo) return
    const events = await this.#ports.registry.events(this.#readTo + 1n, to)
    this.#events = [...this.#events, ...events]
    this.#readTo = to
  }
}

/**
 * The epoch that a block draws: the last whose registration had closed before it. Where the chain stood still for some epochs none of
 * them is drawn, and homes stay as they were: nobody could have taken anything over.
 */
function drawnEpoch(schedule: Schedule, { timestamp }: RandomBlock): bigint {
  return openEpochAt(schedule, timestamp) - 1n
}
