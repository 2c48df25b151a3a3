/** `sl attest`: publishes one fact in an issuer's stream and waits for its receipt. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { receiptInfoShape, streamItemShape } from '@smartlayer/protocol'
import type { Command } from 'commander'
import { clientOf } from '../command-line/connection.ts'
import { addressOf, readJsonText, readKey, readText } from '../command-line/files.ts'
import { define } from '../command-line/options.ts'
import { savedFactShape } from '../command-line/saved-fact.ts'

type Options = { contract: string; lane: string; subset: string; body: string; key: string; save?: string }

export function addAttest(program: Command): void {
  const command = program
    .command('attest')
    .description('publish a fact as an issuer, and wait for its receipt')
    .requiredOption('--contract <address>', 'contract of the token type')
    .requiredOption('--lane <name>', 'lane of the stream, as the token declares it')
    .requiredOption('--subset <key>', 'what the fact concerns')
    .requiredOption('--body <json>', 'the fact; - reads it from standard input')
    .requiredOption('--key <file>', "file with the issuer's key")
    .option('--save <file>', 'keep fact and receipt, to be checked with sl verify')
  const fact =
    '--contract 0x5fbdb2315678afecb367f032d93f642f64180aa3 --lane flights --subset flight-status/LH454/2026-11-12'
  const examples = [
    `attest ${fact} --body '{"delayMinutes":180}' --key .smartlayer/keys/airline.key`,
    `attest ${fact} --body - --key airline.key --save fact.json < delay.json`,
  ] as const
  define<Options>(command, examples, async ({ options, output }) => {
    const contract = addressOf(options.contract, '--contract')
    const body = readJsonText(options.body === '-' ? readText('-') : options.body, '--body')
    const client = await clientOf(options, readKey(options.key))
    const { network, signer } = client.site
    const { chainId } = network.info
    // Beside the local network's own outboxes, one per signer, type and lane: a cut-off publication is sent again first.
    const name = `${chainId}-${signer.address}-${contract}-${encodeURIComponent(options.lane)}.json`
    const outboxFile = join(options.folder, 'outbox', name)
    const issuer = client.issuer({ contract, chainId, lane: options.lane, outboxFile })
    const { item, receipt } = await issuer.attest({ subset: options.subset, body })
    if (options.save) {
      const saved = { network: network.info, fact: item, receipt }
      writeFileSync(options.save, JSON.stringify(savedFactShape.toJson(saved), null, 2), { mode: 0o600 })
      output.progress('saved', options.save)
    }
    const data = { fact: streamItemShape.toJson(item), receipt: receiptInfoShape.toJson(receipt) }
    const { uid, sequence } = receipt.receipt
    output.data(data, [`${uid}  entry ${sequence}, ${receipt.signatures.length} receipts`])
  })
}
