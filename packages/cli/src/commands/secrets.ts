/** `sl secrets set`: hands a secret to every service node, sealed; its value never stands on a command line. */
import { SmartLayerError, serviceNodesOf } from '@smartlayer/protocol'
import type { Command } from 'commander'
import { clientOf } from '../command-line/connection.ts'
import { addressOf, readKey, readText } from '../command-line/files.ts'
import { define } from '../command-line/options.ts'
import { setSecret } from '../token/secrets.ts'

const VALUE_LIMIT_BYTES = 4_096

export function addSecrets(program: Command): void {
  const secrets = program.command('secrets').description('secrets of a token type')
  const command = secrets
    .command('set')
    .description('set a secret on every service node')
    .argument('<name>', 'its name, as the token declares it')
    .requiredOption('--contract <address>', 'contract of the token type')
    .requiredOption('--value-file <file>', 'file with the value; - reads standard input')
    .requiredOption('--key <file>', "file with the contract owner's key")
  const examples = [
    'secrets set HOTEL_KEY --contract 0x5fbdb2315678afecb367f032d93f642f64180aa3 --value-file hotel.key --key .smartlayer/keys/airline.key',
    'secrets set HOTEL_KEY --contract 0x5fbdb2315678afecb367f032d93f642f64180aa3 --value-file - --key airline.key < hotel.key',
  ] as const
  type Options = { contract: string; valueFile: string; key: string }
  define<Options, [string]>(command, examples, async ({ options, output }, name) => {
    const contract = addressOf(options.contract, '--contract')
    const value = readText(options.valueFile).replace(/\r?\n$/, '')
    if (value === '' || Buffer.byteLength(value) > VALUE_LIMIT_BYTES)
      throw SmartLayerError.of('cli.usage', { detail: `a secret has 1 to ${VALUE_LIMIT_BYTES} bytes` })
    const { site } = await clientOf(options, readKey(options.key))
    const { membership, domain } = site.network
    const nodes = serviceNodesOf(membership)
    await setSecret(nodes, { contract, name, value, owner: site.signer, domain })
    output.data({ name, contract, nodes: nodes.map(({ node }) => node) }, [`${name} set on ${nodes.length} nodes`])
  })
}
