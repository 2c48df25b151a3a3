/** The report of a soak as text. */
import { listed, printVerdict } from '../soak-kit/verdict.ts'
import type { Latency } from './figures.ts'
import type { SoakResult } from './run.ts'

export function printReport({ findings, figures, ...about }: SoakResult): string {
  const { published, latencyMs, read } = figures
  const rows: readonly (readonly [string, string])[] = [
    ['seed', `${about.seed}, ${about.seconds} s; ready after ${about.readyMs} ms`],
    [
      'published',
      `${published.asked} asked, ${published.acknowledged} acknowledged (${figures.acknowledgedPerS}/s), ${published.open} never answered, ${published.refused} refused`,
    ],
    ['receipt after', `${latencyOf(latencyMs.calm)} ms without a fault; ${latencyOf(latencyMs.all)} ms with all`],
    ['longest silence', `${(figures.longestSilenceMs / 1_000).toFixed(1)} s without any receipt`],
    ['read', `${read.entries} entries in ${read.subscriptions} subscriptions and ${read.pages} pages`],
    ['clients killed', `${about.clientKills}; lives: ${listed(figures.lives)}`],
    ['faults', listed(figures.faults)],
    ['full disk by', about.disks],
    ['codes', listed(figures.codes) || 'none'],
  ]
  return printVerdict(rows, findings)
}

function latencyOf({ p50, p99, most }: Latency): string {
  return `p50 ${p50}, p99 ${p99}, most ${most}`
}
