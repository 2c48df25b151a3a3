/** What a soak measured, from its histories alone: how much was published and read, how fast, and what was done to it. */
import { counted } from '../soak-kit/verdict.ts'
import type { Line } from './history.ts'

export type Figures = {
  readonly published: {
    readonly asked: number
    readonly acknowledged: number
    readonly refused: number
    readonly open: number
  }
  readonly acknowledgedPerS: number
  /** From the call to the receipt, in ms: of all, and of those that met no fault. */
  readonly latencyMs: { readonly all: Latency; readonly calm: Latency }
  /** The longest time in which nobody was acknowledged anything. */
  readonly longestSilenceMs: number
  readonly read: { readonly entries: number; readonly pages: number; readonly subscriptions: number }
  readonly lives: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
  /** Why calls failed, with how often. */
  readonly codes: Readonly<Record<string, number>>
}
export type Latency = { readonly p50: number; readonly p99: number; readonly most: number }

type Span = { readonly from: number; readonly to: number }

export function figures(lines: readonly Line[]): Figures {
  const faults = spansOf(lines, 'fault')
  const publications = spansOf(lines, 'publish')
  const ends = lines.filter(({ f, kind }) => f === 'publish' && kind !== 'invoke')
  const acknowledged = publications.filter(({ kind }) => kind === 'ok')
  const calm = acknowledged.filter((span) => !faults.some((fault) => fault.from < span.to && fault.to > span.from))
  const count = (kind: Line['kind']) => ends.filter((line) => line.kind === kind).length
  const asked = lines.filter(({ f, kind }) => f === 'publish' && kind === 'invoke').length
  const times = acknowledged.map(({ to }) => to).sort((a, b) => a - b)
  const lasted = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1_000
  const reads = lines.filter((line) => line.f === 'read')
  const invoked = reads.filter((line) => line.kind === 'invoke')
  return {
    published: { asked, acknowledged: count('ok'), refused: count('fail'), open: asked - count('ok') - count('fail') },
    acknowledgedPerS: round(lasted > 0 ? acknowledged.length / lasted : 0),
    latencyMs: { all: latencyOf(acknowledged), calm: latencyOf(calm) },
    longestSilenceMs: round(Math.max(0, ...times.slice(1).map((time, i) => time - times[i]!))),
    read: {
      entries: reads.reduce((sum, line) => sum + (line.kind === 'ok' ? line.entries.length : 0), 0),
      pages: invoked.filter(({ reader }) => reader === undefined).length,
      subscriptions: invoked.filter(({ reader }) => reader !== undefined).length,
    },
    lives: counted(lines.flatMap((line) => (line.f === 'life' && line.state === 'began' ? [line.process] : []))),
    faults: counted(lines.flatMap((line) => (line.f === 'fault' && line.kind === 'ok' ? [line.name] : []))),
    codes: counted(lines.flatMap((line) => ('code' in line && line.code !== 'left' ? [`${line.f} ${line.code}`] : []))),
  }
}

/** From call to end. What never ended lasts for ever. */
function spansOf(lines: readonly Line[], f: 'publish' | 'fault'): readonly (Span & { readonly kind: Line['kind'] })[] {
  const began = new Map<string, number>()
  const spans: (Span & { kind: Line['kind'] })[] = []
  for (const line of lines) {
    if (line.f !== f) continue
    const key = `${line.process}/${line.life}/${line.op}`
    if (line.kind === 'invoke') began.set(key, line.mono)
    else if (began.has(key)) {
      spans.push({ from: began.get(key)!, to: line.mono, kind: line.kind })
      began.delete(key)
    }
  }
  for (const from of began.values()) spans.push({ from, to: Number.POSITIVE_INFINITY, kind: 'invoke' })
  return spans
}

function latencyOf(spans: readonly Span[]): Latency {
  const sorted = spans.map(({ from, to }) => to - from).sort((a, b) => a - b)
  const share = (part: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0)
  return { p50: share(0.5), p99: share(0.99), most: share(1) }
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
