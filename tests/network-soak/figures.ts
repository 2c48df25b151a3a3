/** What a soak of the network measured, from its histories alone. */
import { counted } from '../soak-kit/verdict.ts'
import type { Line } from './history.ts'

export type Figures = {
  readonly facts: { readonly published: number; readonly acknowledged: number }
  readonly actions: { readonly taken: number; readonly acknowledged: number }
  readonly queries: { readonly asked: number; readonly answered: number; readonly stale: number }
  readonly entries: number
  /** Highest term of each token's journal. */
  readonly terms: readonly number[]
  readonly requests: Readonly<Record<string, number>>
  readonly effects: { readonly charges: number; readonly calls: number; readonly lost: number }
  readonly faults: Readonly<Record<string, number>>
  /** Processes that were killed or stopped. */
  readonly struck: number
  readonly wholeMs: { readonly p50: number; readonly most: number }
  readonly rssMb: { readonly first: number; readonly last: number; readonly most: number }
  readonly codes: Readonly<Record<string, number>>
}

export function figures(lines: readonly Line[]): Figures {
  const of = <F extends Line['f']>(f: F, kind?: Line['kind']) =>
    lines.filter((line): line is Extract<Line, { f: F }> => line.f === f && (!kind || line.kind === kind))
  const played = of('fault').flatMap((line) => (line.kind === 'invoke' ? [] : [line]))
  const whole = played.map(({ wholeMs }) => wholeMs).sort((a, b) => a - b)
  const entries = of('entry')
  const terms = new Map<string, number>()
  for (const { token, term } of entries) terms.set(token, Math.max(term, terms.get(token) ?? 0))
  const requests = of('request')
  const done = (api: string) => requests.filter((line) => line.step === 'executed' && line.api === api).length
  const memory = of('memory')
  const at = (which: number) => memory.at(which)?.rssMb ?? 0
  return {
    facts: { published: of('publish', 'invoke').length, acknowledged: of('publish', 'ok').length },
    actions: { taken: of('act', 'invoke').length, acknowledged: of('act', 'ok').length },
    queries: {
      asked: of('query', 'invoke').length,
      answered: of('query', 'ok').length,
      stale: of('query').filter((line) => line.kind === 'ok' && line.stale).length,
    },
    entries: entries.length,
    terms: [...terms.values()],
    requests: counted(requests.map(({ api, step }) => `${api} ${step}`)),
    effects: {
      charges: done('bank'),
      calls: done('phone'),
      lost: entries.filter(({ input }) => input.kind === 'outcome' && input.end === 'lost').length,
    },
    faults: counted(played.map(({ name }) => name)),
    struck: played.reduce((sum, { struck }) => sum + struck, 0),
    wholeMs: { p50: Math.round(whole[Math.floor(whole.length / 2)] ?? 0), most: Math.round(whole.at(-1) ?? 0) },
    rssMb: {
      first: Math.round(at(0)),
      last: Math.round(at(-1)),
      most: Math.round(Math.max(0, ...memory.map(({ rssMb }) => rssMb))),
    },
    codes: counted(lines.flatMap((line) => ('code' in line ? [`${line.f} ${line.code}`] : []))),
  }
}
