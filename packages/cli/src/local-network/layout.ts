/** Where everything of a local network is: ports, folders and names. */
import { join } from 'node:path'

export const ANCHOR_COUNT = 4
export const SERVICE_COUNT = 6
export const DEFAULT_PORT_BASE = 7_700
/** Between this and the port base lie all ports of one network. */
export const PORT_SPAN = 900

export type NodePlace = {
  readonly name: string
  readonly role: 'anchor' | 'service'
  readonly folder: string
  readonly overlay: string
  readonly apiPort: number
  readonly api: string
}

export type Layout = {
  readonly folder: string
  readonly chainPort: number
  readonly chainState: string
  readonly controlPort: number
  readonly rentalPort: number
  readonly consentPort: number
  readonly airlinePort: number
  readonly hotelPort: number
  readonly nodes: readonly NodePlace[]
}

/** The place of one node, counted from 1; there is room for ten anchors and forty service nodes. */
export function placeOf(folder: string, portBase: number, role: NodePlace['role'], number: number): NodePlace {
  const apiPort = portBase + (role === 'anchor' ? 100 : 110) + number
  const name = `${role}-${number}`
  return {
    name,
    role,
    folder: join(folder, 'nodes', name),
    overlay: `127.0.0.1:${apiPort + 50}`,
    apiPort,
    api: `http://127.0.0.1:${apiPort}`,
  }
}

/** Ports as in the documentation for the default base; another base shifts all of them. */
export function layoutOf(folder: string, portBase: number): Layout {
  const places = (role: NodePlace['role'], count: number) =>
    Array.from({ length: count }, (_, i) => placeOf(folder, portBase, role, i + 1))
  return {
    folder,
    chainPort: portBase + 845,
    chainState: join(folder, 'chain.json'),
    controlPort: portBase,
    rentalPort: portBase + 10,
    consentPort: portBase + 20,
    airlinePort: portBase + 30,
    hotelPort: portBase + 40,
    nodes: [...places('anchor', ANCHOR_COUNT), ...places('service', SERVICE_COUNT)],
  }
}
