/** Where another token lives, as a service node learns it: asked of its home anchors, believed by their votes. */
import {
  type Address,
  accepted,
  faultsTolerated,
  formatTokenRef,
  instanceOf,
  judgePlacement,
  leaseEnd,
  type PlacementInfo,
  SmartLayerError,
  type TokenRef,
  type TrustedNetwork,
  tokenOf,
} from '@smartlayer/protocol'
import type { NodeContext } from '../context.ts'
import type { Ports } from '../ports/ports.ts'
import type { PostOffice } from '../wire/post-office.ts'

/** Placements that are remembered, and searches under way. */
const KNOWN_LIMIT = 10_000
const SEARCH_LIMIT = 1_024
/** Home anchors are asked again after this pause: an executor may be elected just now. */
const ASK_AGAIN_MS = 200

type Said = { readonly info: PlacementInfo | undefined; readonly code: string }
type Search = { readonly said: Map<Address, Said>; readonly look: Set<() => void> }
type ServicePorts = Pick<Ports, 'clock' | 'identity'>

export class PlacementFinder {
  readonly #ports: ServicePorts
  readonly #context: NodeContext
  readonly #post: PostOffice
  readonly #network: () => TrustedNetwork
  readonly #known = new Map<string, PlacementInfo>()
  readonly #searches = new Map<string, Search>()

  constructor(
    ports: ServicePorts,
    context: NodeContext,
    { post, network }: { post: PostOffice; network: () => TrustedNetwork },
  ) {
    this.#ports = ports
    this.#context = context
    this.#post = post
    this.#network = network
    post.on('place-answer', (from, { token, info, code }) => this.#heard(from, token, { info, code }))
  }

  /**
   * The placement in force, newest term first, of what f + 1 home anchors said: one of them is honest. Throws `placement.none`
   * when there is none within the time, what f + 1 refused with alike, and `queue.full`.
   */
  async find(ref: TokenRef, until: number, { anew = false } = {}): Promise<PlacementInfo> {
    const token = formatTokenRef(ref)
    const known = anew ? undefined : this.#known.get(token)
    if (known && this.#inForce(known)) return known
    const { clock, identity } = this.#ports
    const home = this.#context.homes().of(tokenOf(ref, identity.crypto.keccak))
    const needed = faultsTolerated(home.anchors.length) + 1
    for (;;) {
      const said = await this.#ask(token, { anchors: home.anchors, needed, until })
      const valid = said.flatMap(({ info }) => (info ? (this.#verified(ref, info) ?? []) : []))
      const newest = valid.filter((info) => this.#inForce(info)).sort(byTermThenLease)[0]
      if (newest && said.length >= needed) return this.#keep(token, newest)
      const refusal = said.find(({ code }) => code !== '' && code !== 'placement.none')
      const agreed = said.filter(({ code }) => code === refusal?.code).length >= needed
      if (refusal && agreed) throw SmartLayerError.fromData(refusal.code, { token, what: token })
      if (clock.monotonic() >= until) throw SmartLayerError.of('placement.none', { token })
    }
  }

  /** What home anchors said within a moment: at once when enough of them named one. */
  #ask(
    token: string,
    { anchors, needed, until }: { anchors: readonly Address[]; needed: number; until: number },
  ): Promise<readonly Said[]> {
    const { clock } = this.#ports
    const search = this.#searches.get(token) ?? { said: new Map(), look: new Set() }
    if (!this.#searches.has(token)) {
      if (this.#searches.size >= SEARCH_LIMIT)
        throw SmartLayerError.of('queue.full', { queue: 'placements', limit: SEARCH_LIMIT })
      this.#searches.set(token, search)
      this.#post.sendAll(anchors, { type: 'place-request', token })
    }
    return new Promise((resolve) => {
      const end = () => {
        cancel()
        search.look.delete(look)
        if (search.look.size === 0) this.#searches.delete(token)
        resolve([...search.said].filter(([anchor]) => anchors.includes(anchor)).map(([, said]) => said))
      }
      const look = () => {
        if ([...search.said.values()].filter(({ info }) => info).length >= needed) end()
      }
      const waitMs = Math.max(1, Math.min(ASK_AGAIN_MS, until - clock.monotonic()))
      const cancel = clock.after(waitMs, end)
      search.look.add(look)
    })
  }

  #heard(from: Address, token: string, said: Said): void {
    const search = this.#searches.get(token)
    if (!search) return
    search.said.set(from, said)
    for (const look of [...search.look]) look()
  }

  /** With what counts of it: a renewal that lacks votes must not make an old placement look alive. */
  #verified(ref: TokenRef, info: PlacementInfo): PlacementInfo | undefined {
    const { crypto } = this.#ports.identity
    const token = tokenOf(ref, crypto.keccak)
    const { certified, lease, instance, scriptHash } = info
    const isOf = instance === instanceOf(token, scriptHash, crypto.keccak) && certified.placement.instance === instance
    if (!isOf) return undefined
    const network = this.#network()
    if (lease && accepted(judgePlacement({ token, certified, lease }, network, crypto))) return info
    const alone = { certified, lease: undefined }
    return accepted(judgePlacement({ token, ...alone }, network, crypto)) ? { ...info, ...alone } : undefined
  }

  #inForce(info: PlacementInfo): boolean {
    return this.#ports.clock.now() <= leaseEnd(info) + BigInt(this.#context.parameters.epsilonMs)
  }

  #keep(token: string, info: PlacementInfo): PlacementInfo {
    this.#known.delete(token)
    this.#known.set(token, info)
    const [oldest] = this.#known.keys()
    if (this.#known.size > KNOWN_LIMIT && oldest !== undefined) this.#known.delete(oldest)
    return info
  }
}

function byTermThenLease(a: PlacementInfo, b: PlacementInfo): number {
  const terms = b.certified.placement.term - a.certified.placement.term
  return terms !== 0n ? Number(terms) : Number(leaseEnd(b) - leaseEnd(a))
}
