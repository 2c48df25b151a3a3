/** Where a token lives, for an anchor that is not home of it: asked of those that are, believed by their votes alone. */
import {
  accepted,
  type CertifiedPlacement,
  type CertifiedRenewal,
  formatTokenRef,
  type WireMessage,
} from '@smartlayer/protocol'
import type { LoadedToken, NodeContext } from '../context.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'
import type { QuorumDoor } from './quorum-door.ts'

/** Placements of other home sets that are remembered. */
const KNOWN_LIMIT = 10_000
/** Tokens that are asked for at a time. */
const ASKED_LIMIT = 4_096
const TIMEOUT_MS = 2_500

export type Placed = { readonly certified: CertifiedPlacement; readonly lease: CertifiedRenewal | undefined }
type Found = Extract<WireMessage, { type: 'placement-found' }>
type Asked = { readonly loaded: LoadedToken; readonly tell: (placed: Placed | undefined) => void }

export class Lookup {
  readonly #ports: Pick<Ports, 'clock'>
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #door: QuorumDoor
  readonly #known = new Map<string, Placed>()
  readonly #asked = new Map<string, { readonly found: Promise<Placed | undefined>; readonly asked: Asked }>()

  constructor(
    ports: Pick<Ports, 'clock'>,
    context: NodeContext,
    { post, door }: { post: PostOffice; door: QuorumDoor },
  ) {
    this.#ports = ports
    this.#context = context
    this.#post = post
    this.#door = door
    post.on('placement-found', (_, found) => this.#take(found))
  }

  /** The placement in force, remembered while its lease runs; undefined when nobody names one in time. */
  find(loaded: LoadedToken): Promise<Placed | undefined> {
    const token = formatTokenRef(loaded.ref)
    const known = this.#known.get(token)
    if (known && this.#runs(known)) return Promise.resolve(known)
    const before = this.#asked.get(token)
    if (before) return before.found
    if (this.#asked.size >= ASKED_LIMIT) return Promise.resolve(undefined)
    let cancel: Cancel = () => {}
    let tell: Asked['tell'] = () => {}
    const found = new Promise<Placed | undefined>((resolve) => {
      tell = (placed) => {
        cancel()
        this.#asked.delete(token)
        resolve(placed)
      }
      cancel = this.#ports.clock.after(TIMEOUT_MS, () => tell(undefined))
    })
    this.#asked.set(token, { found, asked: { loaded, tell } })
    this.#post.sendAll(this.#door.home(loaded).anchors, { type: 'placement-request', token })
    return found
  }

  #take({ token, certified, lease }: Found): void {
    const asked = this.#asked.get(token)?.asked
    if (!asked || certified.placement.instance !== asked.loaded.instance) return
    const hash = this.#door.placement(asked.loaded, certified)
    if (!accepted(hash)) return
    const renewed =
      lease?.renew.placement === hash.value && accepted(this.#door.renewal(asked.loaded, lease, certified.placement))
    const placed = { certified, lease: renewed ? lease : undefined }
    if (!this.#runs(placed)) return
    this.#known.delete(token)
    this.#known.set(token, placed)
    const [oldest] = this.#known.keys()
    if (this.#known.size > KNOWN_LIMIT) this.#known.delete(oldest!)
    asked.tell(placed)
  }

  #runs({ certified, lease }: Placed): boolean {
    const until = lease?.renew.expires ?? certified.placement.expires
    return this.#ports.clock.now() <= until + BigInt(this.#context.parameters.epsilonMs)
  }
}
