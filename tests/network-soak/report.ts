/** The report of a soak of the network as text. */
import { listed, printVerdict } from '../soak-kit/verdict.ts'
import type { SoakResult } from './run.ts'

export function printReport({ findings, figures, ...about }: SoakResult): string {
  const { facts, actions, queries, effects, wholeMs, rssMb } = figures
  const rows: readonly (readonly [string, string])[] = [
    ['seed', `${about.seed}, ${about.seconds} s under way; ready after ${about.readyMs} ms`],
    ['facts', `${facts.published} published, ${facts.acknowledged} acknowledged at once`],
    ['actions', `${actions.taken} taken, ${actions.acknowledged} acknowledged`],
    ['queries', `${queries.asked} asked, ${queries.answered} answered and verified, ${queries.stale} of them stale`],
    ['journals', `${figures.entries} entries; terms ${figures.terms.join(', ')}`],
    ['outside', `${effects.charges} charges, ${effects.calls} calls made; ${effects.lost} outcomes lost`],
    ['requests', listed(figures.requests)],
    ['struck', `${figures.struck} processes killed or stopped`],
    ['faults', listed(figures.faults)],
    ['whole again', `p50 ${wholeMs.p50} ms, most ${wholeMs.most} ms`],
    ['memory', `${rssMb.first} MB a node at first, ${rssMb.last} MB in the end, most ${rssMb.most} MB`],
    ['codes', listed(figures.codes) || 'none'],
  ]
  return printVerdict(rows, findings)
}
