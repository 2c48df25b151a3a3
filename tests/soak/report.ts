/** The report of a soak as text. */
import type { Finding } from './checker.ts'
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
    ['clients killed', `${about.clientKills}; lives: ${list(figures.lives)}`],
    ['faults', list(figures.faults)],
    ['full disk by', about.disks],
    ['codes', list(figures.codes) || 'none'],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  const table = rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`)
  return ['', ...table, '', ...findings.flatMap(printFinding), ''].join('\n')
}

function printFinding({ name, looked, faults }: Finding): readonly string[] {
  const isHeld = faults.length === 0
  return [`  ${isHeld ? '✔' : '✖'} ${name} (${looked})`, ...faults.map((fault) => `      ${fault}`)]
}

function latencyOf({ p50, p99, most }: Latency): string {
  return `p50 ${p50}, p99 ${p99}, most ${most}`
}

function list(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(' · ')
}
