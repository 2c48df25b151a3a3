/** What an anchor shows of health: the ledger in the shapes of the API, with weights that it signs. */
import {
  type Address,
  isHex,
  type JudgedWindowInfo,
  type Member,
  memberOf,
  type NodeHealth,
  type NodeInfo,
  type NodePage,
  type Objectives,
  type ObjectivesInfo,
  outlookOf,
  ReadWeights,
  type Reason,
  readWeightOf,
  SHARE_PARTS,
  type SignedSample,
  SmartLayerError,
  serviceNodesOf,
  sharesOf,
  WEIGHTS_LIMIT,
} from '@smartlayer/protocol'
import type { Clock } from '../ports/clock.ts'
import type { HealthService } from './health-service.ts'
import type { JudgedWindow } from './ledger.ts'

export class HealthView {
  readonly #clock: Clock
  readonly #service: HealthService

  constructor({ clock }: { clock: Clock }, service: HealthService) {
    this.#clock = clock
    this.#service = service
  }

  /** Service nodes in order of address, after a given one. */
  page({ after, limit }: { readonly after: Address | undefined; readonly limit: number }): NodePage {
    const { parts } = this.#service
    const all = serviceNodesOf(parts.context.membership()).toSorted((a, b) => (a.node < b.node ? -1 : 1))
    const rest = all.filter(({ node }) => after === undefined || node > after)
    const shown = rest.slice(0, Math.min(limit, WEIGHTS_LIMIT))
    const shares = sharesOf(shown.map(({ node }) => this.#weight(node)))
    const weights: ReadWeights = {
      anchor: parts.self,
      time: this.#clock.now(),
      nodes: shown.map(({ node }) => node),
      weights: shares.map(BigInt),
    }
    return {
      time: weights.time,
      windowMs: BigInt(parts.health.windowMs),
      objectives: inParts(parts.health.objectives.standard),
      nodes: shown.map((member, i) => this.#info(member, shares[i] ?? 0)),
      weights,
      signature: parts.sign(ReadWeights, weights),
      next: shown.length < rest.length ? shown.at(-1)?.node : undefined,
    }
  }

  /** Throws `health.node_unknown`. */
  node(text: string): NodeHealth {
    const member = this.#find(text)
    const { ledger, parts } = this.#service
    const { node } = member
    const all = serviceNodesOf(parts.context.membership())
    const shares = sharesOf(all.map((each) => this.#weight(each.node)))
    return {
      time: this.#clock.now(),
      windowMs: BigInt(parts.health.windowMs),
      objectives: inParts(parts.health.objectives.standard),
      node: this.#info(member, shares[all.indexOf(member)] ?? 0),
      windows: ledger.windows(node).map(shown),
      periods: ledger.periods(node),
      penalties: ledger.penalties(node),
      drains: ledger.drains(node).map(({ signed }) => signed),
    }
  }

  /** What probers signed of the last windows. Throws `health.node_unknown`. */
  samples(text: string): readonly SignedSample[] {
    return this.#service.ledger.samples(this.#find(text).node)
  }

  #find(text: string): Member {
    const member = isHex(text, 20) ? memberOf(this.#service.parts.context.membership(), text) : undefined
    if (member?.role !== 'service') throw SmartLayerError.of('health.node_unknown', { node: text.slice(0, 80) })
    return member
  }

  #info({ node, operator, platform }: Member, weight: number): NodeInfo {
    const { ledger, heartbeats } = this.#service
    const standing = ledger.standing(node)
    const windows = ledger.windows(node)
    return {
      node,
      operator,
      platform,
      alive: heartbeats.isAlive(node),
      state: standing.state,
      score: Math.round(standing.score * SHARE_PARTS),
      weight,
      reasons: (windows.findLast(({ verdict }) => verdict === 'missed')?.reasons ?? []).map(reasonInfo),
      missed: windows.filter(({ verdict }) => verdict === 'missed').length,
      outlook: outlookOf(standing),
      until: standing.state === 'penalised' ? standing.until : 0n,
      drain: ledger.drainOf(node),
      ...heartbeats.loadOf(node),
    }
  }

  #weight(node: Address): number {
    const { ledger, heartbeats } = this.#service
    return readWeightOf(ledger.standing(node), heartbeats.isAlive(node) && !ledger.isPlanned(node))
  }
}

function shown({ start, verdict, probers, score, measure, reasons }: JudgedWindow): JudgedWindowInfo {
  return {
    start,
    verdict,
    probers,
    score: Math.round(score * SHARE_PARTS),
    measure: measure && inParts(measure),
    reasons: reasons.map(reasonInfo),
  }
}

function reasonInfo({ objective, measured, wanted }: Reason) {
  return { objective, measured: whole(objective, measured), wanted: whole(objective, wanted) }
}

function inParts(values: Objectives): ObjectivesInfo {
  return {
    availability: whole('availability', values.availability),
    latencyMs: whole('latencyMs', values.latencyMs),
    stalenessMs: whole('stalenessMs', values.stalenessMs),
    failedCalls: whole('failedCalls', values.failedCalls),
  }
}

/** Shares become parts of 10,000; milliseconds stay what they are. */
function whole(objective: keyof Objectives, value: number): number {
  return Math.round(objective === 'availability' || objective === 'failedCalls' ? value * SHARE_PARTS : value)
}
