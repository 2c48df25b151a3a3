/** What scenes share: the demo, its nodes and tickets, and how to wait for something. */
import {
  type AttestedGrant,
  type InstanceStatus,
  type NodeStatus,
  SmartLayerError,
  type StreamItem,
  statusShape,
} from '@smartlayer/protocol'
import type { Airline } from '../airline.ts'
import { DATE, type FlightDemo } from '../demo.ts'
import type { FlightStatus } from '../rental.ts'

export type Evidence = Readonly<Record<string, unknown>>
export type Scene = { readonly name: string; readonly play: (stage: Stage) => Promise<Evidence> }

const POLL_MS = 50
const SCOPES = ['flight.status:read']

/** What scenes share: the demo, grants of tickets, and the facts that were published. */
export class Stage {
  readonly demo: FlightDemo
  readonly grants = new Map<string, AttestedGrant>()
  lastDelay: StreamItem | undefined
  #nextTicket = 100n

  constructor(demo: FlightDemo) {
    this.demo = demo
  }

  /** Issues a ticket of its own flight, so that scenes do not disturb each other. */
  async ticket(flight: string, airline: Airline = this.demo.airline): Promise<string> {
    const tokenId = this.#nextTicket++
    const booking = { id: `HTL-${tokenId}`, nights: 1 }
    const { token } = await airline.issue({ holder: this.demo.holder.address, tokenId, flight, date: DATE, booking })
    return token
  }

  async status(token: string): Promise<FlightStatus> {
    return (await this.ask(token)).value
  }

  /** Asks until there is an answer: right after a ticket was issued, what was lost on the way has to be sent again first. */
  async ask(token: string) {
    const grant = await this.grant(token)
    return eventually(`an answer about ${token}`, () => this.demo.rental.status(token, grant), 20_000)
  }

  /** The holder's grant to the car rental, asked for once per token. */
  async grant(token: string): Promise<AttestedGrant> {
    const { demo } = this
    const audience = demo.smartLayer.site.signer.address
    const known = this.grants.get(token)
    const grant = known ?? (await demo.consent.grant(token, { audience, origin: demo.urls.rental, scopes: SCOPES }))
    this.grants.set(token, grant)
    return grant
  }

  /** Waits until the ticket's status fits, or says what it was instead. */
  until(token: string, fits: (status: FlightStatus) => boolean, timeoutMs = 60_000): Promise<FlightStatus> {
    return eventually(
      `the status of ${token}`,
      async () => {
        const status = await this.status(token)
        return fits(status) ? status : undefined
      },
      timeoutMs,
    )
  }

  async nodeStatus(name: string): Promise<NodeStatus> {
    const place = this.demo.network.layout.nodes.find((node) => node.name === name)!
    const response = await fetch(`${place.api}/v1/status`, { signal: AbortSignal.timeout(3_000) })
    return statusShape.parse(await response.json(), 'status')
  }

  /** What each running service node says of a token's instance. */
  async hosts(token: string): Promise<readonly { name: string; status: InstanceStatus }[]> {
    const names = [...this.demo.network.nodes]
      .filter(([name, node]) => name.startsWith('service') && node.running)
      .map(([name]) => name)
    const all = await Promise.all(
      names.map(async (name) => ({ name, status: await this.nodeStatus(name).catch(() => undefined) })),
    )
    return all.flatMap(({ name, status }) => {
      const instance = status?.instances.find((candidate) => candidate.token === token)
      return instance ? [{ name, status: instance }] : []
    })
  }

  /** The name of the node with this address. */
  async nameOf(address: string): Promise<string> {
    for (const [name, node] of this.demo.network.nodes) {
      if (node.running && (await this.nodeStatus(name)).node === address) return name
    }
    throw SmartLayerError.of('node.unknown', { node: address })
  }
}

export async function eventually<T>(what: string, look: () => Promise<T | undefined>, timeoutMs = 30_000): Promise<T> {
  const deadline = Date.now() + timeoutMs
  let last: unknown = 'nothing'
  while (Date.now() < deadline) {
    try {
      const found = await look()
      if (found !== undefined) return found
    } catch (error) {
      last = error
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  throw new Error(
    `${what} did not come about within ${timeoutMs} ms (${last instanceof Error ? last.message : String(last)})`,
  )
}

export function expect(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(what)
}
