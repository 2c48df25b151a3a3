/** `sl attest`: publishes one fact, or all facts of a file, in an issuer's stream and waits for their receipts. */
import { writeFileSync } from 'node:fs'
import { receiptInfoShape, SmartLayerError, streamItemShape } from '@smartlayer/protocol'
import type { Command } from 'commander'
import { type BatchReport, openProgress, publishFile, validate } from '../command-line/batch.ts'
import { type FactFile, factFile } from '../command-line/fact-file.ts'
import { readJsonText, readText } from '../command-line/files.ts'
import { asIssuer, type IssuingOptions, required, withIssuing } from '../command-line/issuing.ts'
import { type CommonOptions, define } from '../command-line/options.ts'
import type { Output } from '../command-line/output.ts'
import { progressBar } from '../command-line/progress-bar.ts'
import { savedFactShape } from '../command-line/saved-fact.ts'
import { addAttestEpoch, addAttestResend, addAttestRevoke } from './attest-stream.ts'

type Options = IssuingOptions & {
  readonly subset?: string
  readonly body?: string
  readonly save?: string
  readonly file?: string
  readonly format?: string
  readonly subsetTemplate?: string
  readonly types?: string
  readonly resume?: string
  readonly skipBad: boolean
}

const INTERRUPTED = 130

export function addAttest(program: Command): void {
  const command = withIssuing(program.command('attest'))
    .description('publish facts as an issuer, and wait for their receipts')
    .option('--subset <key>', 'what the fact concerns')
    .option('--body <json>', 'the fact; - reads it from standard input')
    .option('--save <file>', 'keep fact and receipt, to be checked with sl verify')
    .option(
      '--file <path>',
      'publish the facts of a file: JSON lines {"subset", "body", "lifeS"}, or CSV with a header',
    )
    .option('--format <name>', 'jsonl or csv, when the name of the file does not say')
    .option('--subset-template <text>', "CSV: subset made from columns, like 'flight-status/{flight}/{date}'")
    .option('--types <list>', 'CSV: COLUMN=text|number|boolean|json, separated by commas')
    .option(
      '--resume <file>',
      'where progress is kept; a run that was cut off goes on there (default: FILE.progress.json)',
    )
    .option('--skip-bad', 'leave out lines that are no facts, instead of refusing the file', false)
  const stream = '--contract 0x5fbdb2315678afecb367f032d93f642f64180aa3 --lane flights --key airline.key'
  const examples = [
    `attest ${stream} --subset flight-status/LH454/2026-11-12 --body '{"delayMinutes":180}'`,
    `attest ${stream} --file delays.csv --subset-template 'flight-status/{flight}/{date}'`,
  ] as const
  define<Options>(command, examples, async ({ options, output }) => {
    if (options.file === undefined) return attestOne(options, output)
    const own = (['subset', 'body', 'save'] as const).find((flag) => options[flag] !== undefined)
    if (own) throw SmartLayerError.of('cli.usage', { detail: `--${own} is for one fact, not for --file` })
    return attestFile(factFile(options.file, options), options, output)
  })
  addAttestRevoke(command)
  addAttestEpoch(command)
  addAttestResend(command)
}

async function attestOne(options: Options & CommonOptions, output: Output): Promise<void> {
  const subset = required(options.subset, '--subset <key>')
  const given = required(options.body, '--body <json>')
  const body = readJsonText(given === '-' ? readText('-') : given, '--body')
  await asIssuer(options, output, async ({ client, issuer, lane }) => {
    const { item, receipt } = await issuer.attest({ subset, body })
    if (options.save) {
      const saved = { network: client.site.network.info, lane, fact: item, receipt }
      writeFileSync(options.save, JSON.stringify(savedFactShape.toJson(saved), null, 2), { mode: 0o600 })
      output.progress('saved', options.save)
    }
    const data = { fact: streamItemShape.toJson(item), receipt: receiptInfoShape.toJson(receipt) }
    const { uid, sequence } = receipt.receipt
    output.data(data, [`${uid}  entry ${sequence}, ${receipt.signatures.length} receipts`])
  })
}

async function attestFile(file: FactFile, options: Options & CommonOptions, output: Output): Promise<void> {
  const progressPath = options.resume ?? `${file.path}.progress.json`
  await asIssuer(options, output, async ({ issuer, stream }) => {
    const { skipBad } = options
    const found = await validate(file, issuer, {
      skipBad,
      onBad: ({ line, problem }) => output.json || output.note(`line ${line}: ${problem}`),
    })
    if (found.facts + found.bad === 0) {
      throw SmartLayerError.of('file.bad_line', {
        path: file.path,
        line: 1,
        problem: 'there is no fact in it',
        more: 0,
      })
    }
    const progress = openProgress(progressPath, stream)
    const started = performance.now()
    const bar = progressBar({
      total: found.facts,
      isTerminal: process.stderr.isTTY === true,
      write: (text) => output.json || process.stderr.write(text),
      now: () => performance.now(),
    })
    const stop = stopOnSignal(output)
    let report: BatchReport
    try {
      report = await publishFile(issuer, progress, {
        file,
        progressPath,
        skipBad,
        signal: stop.signal,
        onProgress: ({ before, published, sequence }) =>
          bar.update({ before, done: before + published, detail: `entry ${sequence}` }),
      })
    } finally {
      stop.release()
      bar.end()
    }
    const seconds = (performance.now() - started) / 1000
    summarize({ report, seconds, facts: found.facts, bad: found.bad, named: found.named, progressPath }, output)
    const left = found.facts - report.before - report.published - report.refused.length
    if (stop.signal.aborted && left > 0) {
      throw SmartLayerError.of('cli.stopped', { detail: `${left} facts of ${file.path} are not published yet` })
    }
  })
}

type Summary = {
  readonly report: BatchReport
  readonly seconds: number
  readonly facts: number
  readonly bad: number
  readonly named: readonly { line: number; problem: string }[]
  readonly progressPath: string
}

function summarize({ report, seconds, facts, bad, named, progressPath }: Summary, output: Output): void {
  const { published, first, last, receipts, refused, before } = report
  const perSecond = seconds > 0 ? Math.round(published / seconds) : 0
  const skipped = [...named, ...refused]
  const skippedCount = bad + refused.length
  const done = before + published + refused.length === facts
  const data = {
    published,
    first,
    last,
    receipts,
    seconds,
    perSecond,
    facts,
    before,
    done,
    skippedCount,
    skipped,
    progressPath,
  }
  const entries = first === undefined ? '' : `: entries ${first} to ${last}, ${receipts} receipts`
  output.data(data, [
    published === 0 && done
      ? `all ${facts} facts are published already; another --resume file publishes them again`
      : `published ${published} of ${facts} facts${entries}, ${seconds.toFixed(1)} s, ${perSecond}/s`,
    ...(before > 0 && published > 0 ? [`went on after ${before} facts that were published before`] : []),
    ...(skippedCount > 0 ? [`left out ${skippedCount} lines`] : []),
    ...refused.map(({ line, problem }) => `line ${line}: ${problem}`),
  ])
}

/** The first Ctrl-C ends in order, the second at once: what was signed is kept either way. */
function stopOnSignal(output: Output): { signal: AbortSignal; release: () => void } {
  const stop = new AbortController()
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(INTERRUPTED)
    output.note('stopping when what was sent has its receipts; once more leaves at once')
    stop.abort()
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  return { signal: stop.signal, release: () => void process.off('SIGINT', onSignal).off('SIGTERM', onSignal) }
}
