/** `sl token export` and `sl token restore`: an instance as one file that proves itself, and back. */
import { writeFileSync } from 'node:fs'
import {
  type Archive,
  accepted,
  archiveShape,
  type Bytes32,
  type CertifiedJournalCheckpoint,
  canonicalJson,
  checkArchive,
  digestOf,
  domainOf,
  Export,
  exportRequestShape,
  formatArchive,
  type Hex,
  incarnationRequestShape,
  isSmartLayerError,
  JournalCheckpoint,
  namedHomes,
  type ProvenArchive,
  parseArchive,
  placeReachedShape,
  Restore,
  type RestoreAnswer,
  type RestoreRequest,
  restoreAnswerShape,
  restoreRequestShape,
  SmartLayerError,
  toHex,
} from '@smartlayer/protocol'
import { resolve } from '@smartlayer/sdk/server'
import type { Command } from 'commander'
import { tellNode } from '../command-line/connection.ts'
import { readJsonText, readKey, readText } from '../command-line/files.ts'
import { define } from '../command-line/options.ts'
import { isSealed, open, seal } from '../command-line/sealed-file.ts'
import { placeOfToken, type TokenPlace } from '../command-line/token-place.ts'

/** What only the word of the owner gets over. */
const NEEDS_OWNER: ReadonlySet<string> = new Set(['restore.incomplete', 'restore.forked', 'restore.elsewhere'])

type ExportOptions = { out: string; key: string; passphraseFile?: string }
type RestoreOptions = { key?: string; passphraseFile?: string }
type Told = { readonly answer: RestoreAnswer } | { readonly refusal: SmartLayerError }

export type Restored = {
  readonly token: string
  readonly incarnation: bigint
  readonly n: bigint
  /** Nothing that was committed can be missing. */
  readonly complete: boolean
  /** Entries after this one may be lost; undefined when the restore is complete. */
  readonly lostAfter: bigint | undefined
  readonly anchors: number
}

export function addTokenExport(token: Command): void {
  const command = token
    .command('export')
    .description('write an instance to a file that proves itself: state, checkpoint, entries since, signatures')
    .argument('<token>', 'CAIP-19 id of the token')
    .requiredOption('--out <file>', 'where the file goes')
    .requiredOption('--key <file>', 'key of the owner of the contract or of the holder of the token')
    .option('--passphrase-file <file>', 'file with a passphrase: the export is encrypted with it')
  const examples = [
    'token export eip155:7000001/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/454 --out ticket.sl --key .smartlayer/keys/airline.key',
    'token export eip155:7000001/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/454 --out ticket.sl --key airline.key --passphrase-file secret.txt',
  ] as const
  define<ExportOptions, [string]>(command, examples, async ({ options, output }, text) => {
    const place = await placeOfToken(options, text, readKey(options.key))
    const { archive, proven } = await exportedFrom(place)
    const plain = formatArchive(archive)
    const { passphraseFile } = options
    const file = passphraseFile === undefined ? plain : await seal(plain, passphraseOf(passphraseFile))
    writeFileSync(options.out, `${file}\n`, { mode: 0o600 })
    const { instance, incarnation, head, base } = proven
    const checkpoint = base?.checkpoint
    output.data(
      { out: options.out, instance, incarnation, n: head.n, checkpoint: checkpoint?.n, root: checkpoint?.root },
      [
        `${options.out}  instance ${instance}, incarnation ${incarnation}, entry ${head.n}`,
        checkpoint ? `state after entry ${checkpoint.n}, root ${checkpoint.root}` : 'no checkpoint yet: entries alone',
        passphraseFile === undefined ? 'not encrypted: it holds the state of the token' : 'encrypted',
      ],
    )
  })
}

export function addTokenRestore(token: Command): void {
  const command = token
    .command('restore')
    .description('bring an instance back from an export, on the same network or another one')
    .argument('<file>', 'what sl token export wrote')
    .option('--key <file>', "contract owner's key: where completeness cannot be proven it begins the next incarnation")
    .option('--passphrase-file <file>', 'file with the passphrase of an encrypted export')
  const examples = [
    'token restore ticket.sl',
    'token restore ticket.sl --key airline.key --network https://other.example',
  ] as const
  define<RestoreOptions, [string]>(command, examples, async ({ options, output }, path) => {
    const archive = parseArchive(await plainOf(path, options.passphraseFile))
    const key = options.key === undefined ? undefined : readKey(options.key)
    const place = await placeOfToken(options, archive.token, key)
    const restored = await restoreTo(place, archive, { byOwner: key !== undefined })
    const { n, incarnation, lostAfter, anchors, complete } = restored
    output.data(restored, [
      `${restored.token}  incarnation ${incarnation}, entry ${n}, at ${anchors} home anchors`,
      complete ? 'complete: nothing that was committed is missing' : `entries after ${lostAfter} may be lost`,
    ])
  })
}

/** The newest export that one of the home anchors gives and that holds by the home set in force. */
async function exportedFrom(place: TokenPlace): Promise<{ archive: Archive; proven: ProvenArchive }> {
  const { site, token, anchors } = place
  const { instance } = await resolve(site, token, { orStale: true })
  const request: Export = { instance, nonce: toHex(site.random(32)) as Bytes32, time: site.clock.now() }
  const digest = digestOf(Export, request, site.network.domain, site.crypto.keccak)
  const body = exportRequestShape.toJson({ request, signature: site.signer.sign(digest) })
  const asked = await Promise.allSettled(
    anchors.map(async ({ api }) => {
      const archive = archiveShape.parse(await tellNode(urlOf(api, token, 'export'), body), 'archive')
      return { archive, proven: provenBy(archive, place) }
    }),
  )
  const made = asked.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const newest = made.toSorted((a, b) => Number(b.proven.head.n - a.proven.head.n))[0]
  if (newest) return newest
  throw asked.find((each) => each.status === 'rejected')?.reason ?? unreachable()
}

/**
 * Home anchors first learn what the archive proves. Where they lost what they knew, or the archive is from elsewhere, the owner lets
 * a new incarnation begin: 2f + 1 of them vouch for its checkpoint, and then all begin with it.
 */
async function restoreTo(place: TokenPlace, archive: Archive, { byOwner }: { byOwner: boolean }): Promise<Restored> {
  const { token, home } = place
  const proven = provenByFile(archive, place)
  const told = await tellAll(place, { archive, order: undefined })
  const learnt = told.flatMap((each) => ('answer' in each && each.answer.step === 'learnt' ? [each.answer] : []))
  if (learnt.length >= home.quorum) {
    const { n, incarnation } = learnt.reduce((a, b) => (a.n >= b.n ? a : b))
    return { token, incarnation, n, complete: true, lostAfter: undefined, anchors: learnt.length }
  }
  const refusal = commonRefusal(told)
  if (!byOwner || !NEEDS_OWNER.has(refusal.code)) throw refusal
  return begin(place, archive, proven)
}

async function begin(place: TokenPlace, archive: Archive, proven: ProvenArchive): Promise<Restored> {
  const { kept } = archive
  if (!kept || !proven.base) throw SmartLayerError.of('restore.no_checkpoint')
  const { site, token, home, anchors } = place
  const { n, root } = proven.base.checkpoint
  const statement: Restore = {
    instance: proven.instance,
    network: proven.networkId,
    incarnation: proven.incarnation + 1n,
    n,
    root,
    time: site.clock.now(),
  }
  const signature = site.signer.sign(digestOf(Restore, statement, site.network.domain, site.crypto.keccak))
  const certified = endorsedBy(place, await tellAll(place, { archive, order: { statement, signature } }))
  const body = incarnationRequestShape.toJson({ kept: { certified, snapshot: kept.snapshot, certificate: undefined } })
  const asked = await Promise.allSettled(
    anchors.map(async ({ api }) =>
      placeReachedShape.parse(await tellNode(urlOf(api, token, 'incarnation'), body), 'answer'),
    ),
  )
  const begun = asked.filter((each) => each.status === 'fulfilled').length
  if (begun < home.quorum) throw asked.find((each) => each.status === 'rejected')?.reason ?? unreachable()
  return { token, incarnation: statement.incarnation, n, complete: false, lostAfter: n, anchors: begun }
}

/** The checkpoint that a quorum of home anchors signed alike. Throws what the others refused with. */
function endorsedBy({ site, home }: TokenPlace, told: readonly Told[]): CertifiedJournalCheckpoint {
  const { domain } = site.network
  const alike = new Map<string, { checkpoint: JournalCheckpoint; signatures: Map<string, Hex> }>()
  for (const each of told) {
    if (!('answer' in each) || each.answer.step !== 'endorsed') continue
    const { checkpoint, signature } = each.answer
    const signer = site.crypto.recover(digestOf(JournalCheckpoint, checkpoint, domain, site.crypto.keccak), signature)
    if (!signer || !home.anchors.includes(signer)) continue
    const key = canonicalJson(JournalCheckpoint.toJson(checkpoint))
    const known = alike.get(key) ?? { checkpoint, signatures: new Map() }
    alike.set(key, known)
    known.signatures.set(signer, signature)
  }
  const most = [...alike.values()].find(({ signatures }) => signatures.size >= home.quorum)
  if (most) return { checkpoint: most.checkpoint, signatures: [...most.signatures.values()] }
  throw commonRefusal(told)
}

function tellAll({ anchors, token }: TokenPlace, request: RestoreRequest): Promise<readonly Told[]> {
  const body = restoreRequestShape.toJson(request)
  return Promise.all(
    anchors.map(async ({ api }): Promise<Told> => {
      try {
        return { answer: restoreAnswerShape.parse(await tellNode(urlOf(api, token, 'restore'), body), 'answer') }
      } catch (error) {
        if (isSmartLayerError(error)) return { refusal: error }
        throw error
      }
    }),
  )
}

/** What most of those who refused say; an anchor that is down says nothing. */
function commonRefusal(told: readonly Told[]): SmartLayerError {
  const refusals = told.flatMap((each) => ('refusal' in each ? [each.refusal] : []))
  const counts = new Map<string, number>()
  for (const { code } of refusals) counts.set(code, (counts.get(code) ?? 0) + 1)
  const telling = refusals.filter(({ code }) => code !== 'network.unreachable')
  const most = telling.toSorted((a, b) => counts.get(b.code)! - counts.get(a.code)!)[0]
  return most ?? refusals[0] ?? unreachable()
}

/** By the home set in force: the anchor that gave it cannot have made it up. */
function provenBy(archive: Archive, { site, home }: TokenPlace): ProvenArchive {
  return orThrow(checkArchive(archive, () => home, { domain: site.network.domain, crypto: site.crypto }))
}

/** By the home sets that the file names: it holds together. Whether they were the right ones its new home judges. */
function provenByFile(archive: Archive, { site }: TokenPlace): ProvenArchive {
  const { chainId, registry } = archive
  const about = { name: 'SmartLayer', version: '1', chainId, verifyingContract: registry }
  return orThrow(
    checkArchive(archive, namedHomes(archive), { domain: domainOf(about, site.crypto.keccak), crypto: site.crypto }),
  )
}

function orThrow(verdict: ReturnType<typeof checkArchive>): ProvenArchive {
  if (accepted(verdict)) return verdict.value
  throw SmartLayerError.fromData(verdict.code, verdict.facts)
}

async function plainOf(path: string, passphraseFile: string | undefined): Promise<string> {
  const content = readText(path)
  const json = readJsonText(content, path)
  if (!isSealed(json)) return content
  if (passphraseFile === undefined)
    throw SmartLayerError.of('cli.usage', {
      detail: `${path} is encrypted; name its passphrase: --passphrase-file FILE`,
    })
  return open(json, passphraseOf(passphraseFile))
}

function passphraseOf(path: string): string {
  const passphrase = readText(path).replace(/\r?\n$/, '')
  if (passphrase.length > 0) return passphrase
  throw SmartLayerError.of('file.unreadable', { path, reason: 'it holds no passphrase' })
}

function urlOf(api: string, token: string, what: string): string {
  return `${api}/v1/tokens/${encodeURIComponent(token)}/${what}`
}

function unreachable(): SmartLayerError {
  return SmartLayerError.of('network.unreachable', { peer: 'any home anchor' })
}
