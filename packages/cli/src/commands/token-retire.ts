/** `sl token retire`: the owner of a contract ends an instance; its journal says so, and its last state stays readable for a while. */
import { answerShape, digestOf, memberOf, Retire, retireRequestShape, SmartLayerError } from '@smartlayer/protocol'
import { resolve } from '@smartlayer/sdk/server'
import type { Command } from 'commander'
import { tellNode } from '../command-line/connection.ts'
import { readKey } from '../command-line/files.ts'
import { define } from '../command-line/options.ts'
import { placeOfToken, type TokenPlace } from '../command-line/token-place.ts'

export function addTokenRetire(token: Command): void {
  const command = token
    .command('retire')
    .description('end an instance for good: it takes no inputs and no actions any more')
    .argument('<token>', 'CAIP-19 id of the token')
    .requiredOption('--key <file>', "file with the contract owner's key")
  const examples = [
    'token retire eip155:7000001/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/454 --key .smartlayer/keys/airline.key',
    'token retire eip155:7000001/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/454 --key airline.key --json',
  ] as const
  define<{ key: string }, [string]>(command, examples, async ({ options, output }, text) => {
    const place = await placeOfToken(options, text, readKey(options.key))
    const retired = await retire(place)
    output.data(retired, [`${place.token}  retired with entry ${retired.n}`])
  })
}

async function retire({ site, token }: TokenPlace): Promise<{ token: string; instance: string; n: bigint }> {
  const { certified } = await resolve(site, token)
  const { instance, incarnation, executor } = certified.placement
  const member = memberOf(site.network.membership, executor)
  if (!member) throw SmartLayerError.of('node.unknown', { node: executor })
  const statement: Retire = { instance, incarnation, time: site.clock.now() }
  const signature = site.signer.sign(digestOf(Retire, statement, site.network.domain, site.crypto.keccak))
  const url = `${member.api}/v1/tokens/${encodeURIComponent(token)}/retire`
  const told = await tellNode(url, retireRequestShape.toJson({ retire: statement, signature }))
  const answer = answerShape.parse(told, 'answer')
  const { refused } = JSON.parse(answer.result) as { refused?: unknown }
  if (answer.instance !== instance) throw SmartLayerError.of('grant.token')
  if (typeof refused === 'string' && refused !== '') throw SmartLayerError.fromData(refused, {})
  return { token, instance, n: answer.n }
}
