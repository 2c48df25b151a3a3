/** `sl query`: asks a token as a site would, and prints only what was verified. */
import { writeFileSync } from 'node:fs'
import { attestedGrantShape, canonicalJson } from '@smartlayer/protocol'
import { formatSavedProof, query, saveProof } from '@smartlayer/sdk'
import type { Command } from 'commander'
import { clientOf } from '../command-line/connection.ts'
import { readJsonText, readKey, readText } from '../command-line/files.ts'
import { define } from '../command-line/options.ts'
import { printable } from '../command-line/output.ts'

type Options = { args: string; grant?: string; key: string; save?: string; minN?: string }

export function addQuery(program: Command): void {
  const command = program
    .command('query')
    .description('ask a token, and print the answer once it is verified')
    .argument('<token>', 'CAIP-19 id of the token')
    .argument('<method>', 'name of the query')
    .option('--args <json>', 'arguments', 'null')
    .option('--grant <file>', "JSON of the holder's grant")
    .requiredOption('--key <file>', "file with the site's key")
    .option('--save <file>', 'keep the answer, to be checked with sl verify')
  const examples = [
    'query eip155:7000001/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/1 status --grant grant.json --key .smartlayer/keys/rental.key',
    'query eip155:7000001/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/1 status --key rental.key --save answer.json --json',
  ] as const
  define<Options, [string, string]>(command, examples, async ({ options, output }, token, method) => {
    const grant = options.grant && attestedGrantShape.parse(readJsonText(readText(options.grant), '--grant'), 'grant')
    const args = readJsonText(options.args, '--args')
    const { site } = await clientOf(options, readKey(options.key))
    const result = await query(site, { token, method, args, ...(grant ? { grant } : {}) })
    if (options.save) {
      writeFileSync(options.save, formatSavedProof(saveProof(site, result)), { mode: 0o600 })
      output.progress('saved', options.save)
    }
    const { value, proof, node, answer } = result
    output.data({ value, n: answer.n, node, proof }, [printable(canonicalJson(value))])
    if (!output.json) output.progress('verified', `${proof.summary} · by ${node}`)
  })
}
