/** `sl token history`: what happened to an instance, entry by entry, as its home anchors committed it. */
import {
  accepted,
  type CommitProof,
  checkCommit,
  type Entry,
  entryHash,
  formatTerm,
  type JournaledEntry,
  type JournalPage,
  journalPageShape,
  kindOf,
  SmartLayerError,
} from '@smartlayer/protocol'
import { resolve } from '@smartlayer/sdk/server'
import type { Command } from 'commander'
import { readNode } from '../command-line/connection.ts'
import { define } from '../command-line/options.ts'
import { type Output, printable, table } from '../command-line/output.ts'
import { placeOfToken, type TokenPlace } from '../command-line/token-place.ts'

const PAGE = 64
const SHOWN = 50
const SHOWN_LIMIT = 10_000

export type HistoryEntry = {
  readonly n: bigint
  readonly time: bigint
  readonly term: string
  readonly incarnation: bigint
  readonly kind: string
  readonly what: string
  readonly input: string
  /** The executor of the term, where the placement in force names it. */
  readonly executor: string | undefined
}

export type History = {
  readonly instance: string
  readonly entries: readonly HistoryEntry[]
  /** Entries up to here were asked for and are not kept any more. */
  readonly cutUpTo: bigint
  readonly checkpoint: { readonly n: bigint; readonly time: bigint; readonly root: string } | undefined
  /** False where an older home set signed, whose members are not known here. */
  readonly verified: boolean
  /** Where the next page begins; undefined at the end. */
  readonly next: bigint | undefined
}

export function addTokenHistory(token: Command): void {
  const command = token
    .command('history')
    .description('show the journal of a token: what it took, in which order, and by whose hand')
    .argument('<token>', 'CAIP-19 id of the token')
    .option('--from <n>', 'first entry', '1')
    .option('--limit <count>', `entries at most, up to ${SHOWN_LIMIT}`, String(SHOWN))
  const examples = [
    'token history eip155:7000001/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/454',
    'token history eip155:7000001/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/454 --from 65 --limit 200 --json',
  ] as const
  define<{ from: string; limit: string }, [string]>(command, examples, async ({ options, output }, text) => {
    const from = wholeNumber(options.from, '--from', Number.MAX_SAFE_INTEGER)
    const limit = wholeNumber(options.limit, '--limit', SHOWN_LIMIT)
    const history = await historyOf(await placeOfToken(options, text), { from, limit })
    output.data(history, historyLines(history, output))
  })
}

async function historyOf(place: TokenPlace, { from, limit }: { from: number; limit: number }): Promise<History> {
  const info = await resolve(place.site, place.token, { orStale: true })
  const { term, executor } = info.certified.placement
  const entries: JournaledEntry[] = []
  let verified = true
  let after = BigInt(from) - 1n
  let checkpoint: JournalPage['checkpoint']
  let isWhole = false
  while (entries.length < limit && !isWhole) {
    const page = await pageOf(place, info.instance, after + 1n, Math.min(PAGE, limit - entries.length))
    checkpoint = page.checkpoint ?? checkpoint
    isWhole = page.entries.length === 0
    verified &&= isWhole || isCommitted(place, page, entries.at(-1)?.entry)
    entries.push(...page.entries)
    after = entries.at(-1)?.entry.n ?? after
  }
  const first = entries[0]?.entry.n ?? (checkpoint?.checkpoint.n ?? 0n) + 1n
  const named = checkpoint?.checkpoint
  return {
    instance: info.instance,
    entries: entries.map((journaled) => summaryOf(journaled, journaled.entry.term === term ? executor : undefined)),
    cutUpTo: first > BigInt(from) ? first - 1n : 0n,
    checkpoint: named && { n: named.n, time: named.time, root: named.root },
    verified,
    next: isWhole ? undefined : after + 1n,
  }
}

/** From whichever home anchor answers first; the proof says whether it told the truth. */
async function pageOf({ anchors }: TokenPlace, instance: string, from: bigint, limit: number): Promise<JournalPage> {
  let last: unknown
  for (const { api } of anchors) {
    try {
      const url = `${api}/v1/instances/${instance}/journal?from=${from}&limit=${limit}`
      return journalPageShape.parse(await readNode(url), 'journal')
    } catch (error) {
      last = error
    }
  }
  throw last ?? SmartLayerError.of('network.unreachable', { peer: 'any home anchor' })
}

/** Each entry follows the one before, and the last one is committed. Throws `archive.malformed` when a page is no chain. */
function isCommitted({ site, home }: TokenPlace, { entries, proof }: JournalPage, before: Entry | undefined): boolean {
  const { network, crypto } = site
  const hashOf = (entry: Entry) => entryHash(entry, network.domain, crypto.keccak)
  let previous = before
  for (const { entry } of entries) {
    if (previous && (entry.n !== previous.n + 1n || entry.previous !== hashOf(previous)))
      throw SmartLayerError.of('archive.malformed', { detail: `entry ${entry.n} does not follow the one before it` })
    previous = entry
  }
  if (!proof || !previous) return false
  const committed = checkCommit(proof as CommitProof, home, { domain: network.domain, crypto })
  return accepted(committed) && committed.value.hash === hashOf(previous)
}

function summaryOf({ entry, input }: JournaledEntry, executor: string | undefined): HistoryEntry {
  const { n, time, term, incarnation } = entry
  const what = whatOf(input)
  const kind = kindOf(entry) ?? `kind ${entry.kind}`
  return {
    n,
    time,
    term: formatTerm(term),
    incarnation,
    kind,
    what,
    input: entry.input,
    executor: executor ?? attester(input),
  }
}

/** An executor signs its own reports, in whatever term. */
function attester(input: JournaledEntry['input']): string | undefined {
  return input.kind === 'attempt' || input.kind === 'outcome' ? input.attestation.attester : undefined
}

function whatOf(input: JournaledEntry['input']): string {
  switch (input.kind) {
    case 'term-start':
      return ''
    case 'input':
      return input.revocation ? `${input.name} (revoked)` : input.name
    case 'action':
      return input.action.name
    case 'attempt':
    case 'outcome':
      return reportOf(input.body)
    case 'lifecycle':
      return input.end.by === 'owner' ? 'retired by its owner' : 'expired'
    case 'message':
      return `${input.sent.name} from ${input.from}`
    case 'receipt':
      return `${input.received.name} ${input.received.code === '' ? 'taken' : 'refused'} by ${input.from}`
  }
}

function reportOf(body: string): string {
  try {
    const { name, attempt, end } = JSON.parse(body) as { name?: unknown; attempt?: unknown; end?: unknown }
    return [name, `attempt ${attempt}`, end].filter((part) => typeof part === 'string').join(', ')
  } catch {
    return '' // what an executor cannot say well is shown by its digest alone
  }
}

function historyLines(
  { entries, cutUpTo, checkpoint, verified, next, instance }: History,
  output: Output,
): readonly string[] {
  const rows = entries.map((entry) => [
    String(entry.n),
    new Date(Number(entry.time)).toISOString(),
    entry.term,
    entry.kind,
    printable(entry.what),
    entry.input.slice(0, 14),
    entry.executor ?? '–',
  ])
  const [head, ...lines] = table([['N', 'TIME', 'TERM', 'KIND', 'WHAT', 'INPUT', 'EXECUTOR'], ...rows])
  return [
    `instance ${instance}`,
    ...(checkpoint ? [`checkpoint after entry ${checkpoint.n}, root ${checkpoint.root}`] : []),
    ...(cutUpTo > 0n ? [`entries up to ${cutUpTo} were cut after a checkpoint`] : []),
    ...(verified ? [] : ['not verified: an older home set signed, whose members are not known here']),
    output.style('bold', head ?? ''),
    ...lines,
    ...(next === undefined ? [] : [`more with --from ${next}`]),
  ]
}

function wholeNumber(text: string, flag: string, most: number): number {
  const number = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : 0
  if (number >= 1 && number <= most) return number
  throw SmartLayerError.of('cli.usage', { detail: `${flag} takes a whole number from 1 to ${most}` })
}
