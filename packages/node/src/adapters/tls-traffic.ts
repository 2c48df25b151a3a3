/** Counters of what goes between nodes, by class and by message type: per peer, and for the node as a whole. */
import { TRAFFIC_CLASSES, type TrafficClass } from '../ports/network.ts'
import type { Frame } from './frames.ts'

/** Types that are counted by name; peers may make up any number of them. */
const TYPE_LIMIT = 64
const OTHERS = 'other'

export type ClassTraffic = { sent: number; sentBytes: number; dropped: number; droppedBytes: number }
export type Traffic = {
  readonly classes: Readonly<Record<TrafficClass, ClassTraffic>>
  readonly sentByType: Map<string, number>
  readonly receivedByType: Map<string, number>
}

export function newTraffic(): Traffic {
  const none = (): ClassTraffic => ({ sent: 0, sentBytes: 0, dropped: 0, droppedBytes: 0 })
  return {
    classes: Object.fromEntries(TRAFFIC_CLASSES.map((name) => [name, none()])) as Traffic['classes'],
    sentByType: new Map(),
    receivedByType: new Map(),
  }
}

export function noteSent(all: readonly Traffic[], { bytes, type, trafficClass }: Frame): void {
  for (const { classes, sentByType } of all) {
    classes[trafficClass].sent++
    classes[trafficClass].sentBytes += bytes.length
    addTo(sentByType, type, bytes.length)
  }
}

export function noteDropped(all: readonly Traffic[], { bytes, trafficClass }: Frame): void {
  for (const { classes } of all) {
    classes[trafficClass].dropped++
    classes[trafficClass].droppedBytes += bytes.length
  }
}

export function noteReceived(all: readonly Traffic[], type: string, bytes: number): void {
  for (const { receivedByType } of all) addTo(receivedByType, type, bytes)
}

function addTo(counts: Map<string, number>, type: string, bytes: number): void {
  const name = counts.has(type) || counts.size < TYPE_LIMIT ? type : OTHERS
  counts.set(name, (counts.get(name) ?? 0) + bytes)
}

/** The counters of a node in Prometheus text format. */
export function trafficMetrics({ classes, sentByType, receivedByType }: Traffic): string {
  const lines = TRAFFIC_CLASSES.flatMap((name) => {
    const { sent, sentBytes, dropped, droppedBytes } = classes[name]
    return [
      `smartlayer_network_sent_frames_total{class="${name}"} ${sent}`,
      `smartlayer_network_sent_class_bytes_total{class="${name}"} ${sentBytes}`,
      `smartlayer_network_dropped_frames_total{class="${name}"} ${dropped}`,
      `smartlayer_network_dropped_bytes_total{class="${name}"} ${droppedBytes}`,
    ]
  })
  for (const [type, bytes] of sentByType) lines.push(`smartlayer_network_sent_bytes_total{type="${type}"} ${bytes}`)
  for (const [type, bytes] of receivedByType)
    lines.push(`smartlayer_network_received_bytes_total{type="${type}"} ${bytes}`)
  return lines.map((line) => `${line}\n`).join('')
}
