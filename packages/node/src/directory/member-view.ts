/** The membership as this node sees it: read at its start for decisions, kept fresh for who may connect. */
import {
  type Bytes32,
  type Hasher,
  type Homes,
  homesOver,
  LOCAL_DIRECTORY,
  type Member,
  type Membership,
  saltOf,
} from '@smartlayer/protocol'
import type { Chain } from '../ports/chain.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Telemetry } from '../ports/telemetry.ts'

const REFRESH_MS = 5_000

type ViewPorts = { readonly chain: Chain; readonly clock: Clock; readonly telemetry: Telemetry }

export class MemberView {
  readonly #ports: ViewPorts
  /** Home sets and quorums rest on this; it stays as it is until the next start. */
  readonly homes: Homes
  #members: readonly Member[]
  #block = 0n
  #timer: Cancel = () => {}

  private constructor(ports: ViewPorts, homes: Homes) {
    this.#ports = ports
    this.homes = homes
    this.#members = homes.membership.members
  }

  /** Reads the registry. The only epoch so far is 1; its beacon is fixed by the network. */
  static async open(
    ports: ViewPorts,
    { networkId, keccak }: { networkId: Bytes32; keccak: Hasher },
  ): Promise<MemberView> {
    const members = await ports.chain.members()
    const membership: Membership = {
      epoch: 1n,
      members,
      beacon: saltOf('beacon', networkId, networkId, keccak),
      earlierBeacons: [],
      directory: LOCAL_DIRECTORY,
    }
    const view = new MemberView(ports, homesOver([membership], keccak))
    await view.#refresh()
    return view
  }

  get membership(): Membership {
    return this.homes.membership
  }

  /** Everybody who is registered now. */
  get members(): readonly Member[] {
    return this.#members
  }

  /** The last block that was seen. */
  get block(): bigint {
    return this.#block
  }

  stop(): void {
    this.#timer()
  }

  async #refresh(): Promise<void> {
    try {
      const [{ number }, members] = await Promise.all([this.#ports.chain.finalized(), this.#ports.chain.members()])
      this.#block = number
      this.#members = members
    } catch (error) {
      this.#ports.telemetry.log('warn', 'chain.not_read', { error })
    }
    this.#timer = this.#ports.clock.after(REFRESH_MS, () => void this.#refresh())
  }
}
