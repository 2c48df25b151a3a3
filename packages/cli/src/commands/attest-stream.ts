/** `sl attest revoke`, `epoch` and `resend`: what an issuer says about its own stream. */
import {
  type Bytes32,
  batchUidOf,
  type EpochBody,
  isHex,
  type RevocationBody,
  readData,
  receiptInfoShape,
  SmartLayerError,
  streamItemShape,
  subsetOf,
  uidOf,
} from '@smartlayer/protocol'
import type { Published } from '@smartlayer/sdk/server'
import type { Command } from 'commander'
import { addressOf } from '../command-line/files.ts'
import { onlyCandidate } from '../command-line/ids.ts'
import { addressOfKey, asIssuer, type Issuing, type IssuingOptions, withIssuing } from '../command-line/issuing.ts'
import { define } from '../command-line/options.ts'
import type { Output } from '../command-line/output.ts'
import { entriesOf } from '../command-line/stream-pages.ts'

const STREAM = '--contract 0x5fbdb2315678afecb367f032d93f642f64180aa3 --lane flights --key airline.key'
const REASONS: Readonly<Record<string, EpochBody['reason']>> = {
  rotation: 'rotation',
  'lost-state': 'lost state',
  fork: 'fork',
}
const REASON_LIMIT = 200

type RevokeOptions = IssuingOptions & { readonly subset?: string; readonly reason: string; readonly batch: boolean }
type EpochOptions = IssuingOptions & { readonly reason: string; readonly nextKey?: string }

export function addAttestRevoke(attest: Command): void {
  const command = withIssuing(attest.command('revoke'))
    .description('take back an attestation, or all that was signed under one batch root')
    .argument('<uid>', 'UID of the attestation or the batch root, or the unique beginning of one')
    .option('--subset <key>', 'subset that it is in; only that one is searched')
    .option('--batch', 'a whole UID that is not found is one of a batch root', false)
    .option('--reason <text>', 'why', '')
  const examples = [
    `attest revoke 0x5b8e2c ${STREAM} --reason 'wrong flight'`,
    `attest revoke 0x5b8e2c ${STREAM} --subset flight-status/LH454/2026-11-12`,
  ] as const
  define<RevokeOptions, [string]>(command, examples, async ({ options, output }, prefix) => {
    if (options.reason.length > REASON_LIMIT) {
      throw SmartLayerError.of('cli.usage', { detail: `--reason takes at most ${REASON_LIMIT} characters` })
    }
    await asIssuer(options, output, async (issuing) => {
      const target = await findTarget(issuing, prefix.toLowerCase(), options)
      const { uid, of, subset } = target
      if (!subset) output.note(`${uid} was not found in the stream; it is taken back all the same`)
      const said = await issuing.issuer.revoke({ uid, of, reason: options.reason, ...(subset ? { subset } : {}) })
      print(said, `took back the ${of} ${uid}`, output)
    })
  })
}

export function addAttestEpoch(attest: Command): void {
  const command = withIssuing(attest.command('epoch'))
    .description("open the stream's next epoch with the issuer's own key")
    .requiredOption('--reason <why>', 'rotation, lost-state or fork')
    .option('--next-key <file or address>', 'key that signs from now on; the one of --key when left out')
  const examples = [
    `attest epoch ${STREAM} --reason rotation --next-key next.key`,
    `attest epoch ${STREAM} --reason fork`,
  ] as const
  define<EpochOptions>(command, examples, async ({ options, output }) => {
    const reason = Object.hasOwn(REASONS, options.reason) ? REASONS[options.reason] : undefined
    if (!reason) throw SmartLayerError.of('cli.usage', { detail: '--reason takes rotation, lost-state or fork' })
    const { nextKey } = options
    const key =
      nextKey === undefined ? undefined : isHex(nextKey, 20) ? addressOf(nextKey, '--next-key') : addressOfKey(nextKey)
    await asIssuer(options, output, async ({ issuer }) => {
      const said = await issuer.openEpoch({ reason, ...(key ? { key } : {}) })
      const { epoch } = readData(said.item)!
      print(said, `epoch ${epoch} begins${key ? `; ${key} signs in it` : ''}`, output)
    })
  })
}

export function addAttestResend(attest: Command): void {
  const command = withIssuing(attest.command('resend')).description('send what was signed and has no receipt yet')
  const examples = [`attest resend ${STREAM}`, `attest resend ${STREAM} --json`] as const
  define<IssuingOptions>(command, examples, async ({ options, output }) => {
    await asIssuer(options, output, async ({ issuer, stream }) => {
      await issuer.settle()
      output.data({ stream, settled: true }, [`${stream}  nothing is unsent`])
    })
  })
}

type Target = { readonly uid: Bytes32; readonly of: RevocationBody['of']; readonly subset: Bytes32 | undefined }

/** Looks through the stream, or one subset, for what the id is the beginning of. */
async function findTarget(
  { client, stream }: Issuing,
  prefix: string,
  { subset: key, batch }: RevokeOptions,
): Promise<Target> {
  const { anchors, crypto } = client.site
  const subset = key === undefined ? undefined : subsetOf(key, crypto.keccak)
  const found = new Map<Bytes32, Target>()
  for await (const item of entriesOf(anchors, { stream, subset })) {
    const uid = uidOf(item.attestation.message, crypto.keccak)
    const root = batchUidOf(item.attestation, crypto.keccak)
    const at = readData(item)?.subset
    if (uid.startsWith(prefix)) found.set(uid, { uid, of: 'attestation', subset: at })
    if (root?.startsWith(prefix) && !found.has(root)) found.set(root, { uid: root, of: 'batch', subset: at })
  }
  if (found.size === 0 && isHex(prefix, 32)) {
    return { uid: prefix, of: batch ? 'batch' : 'attestation', subset }
  }
  return found.get(onlyCandidate(prefix, [...found.keys()], stream))!
}

function print({ item, receipt }: Published, line: string, output: Output): void {
  const data = { entry: streamItemShape.toJson(item), receipt: receiptInfoShape.toJson(receipt) }
  output.data(data, [`${line}  entry ${receipt.receipt.sequence}`])
}
