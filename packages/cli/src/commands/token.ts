/** `sl token build` and `sl token publish`: from a definition to a signed file, and from there to the network. */
import { writeFileSync } from 'node:fs'
import { type Address, anchorsOf, SmartLayerError, utf8 } from '@smartlayer/protocol'
import { cidOf, verifyTokenScript } from '@smartlayer/tokenscript'
import type { Command } from 'commander'
import { chainUrl, clientOf } from '../command-line/connection.ts'
import { addressOf, readKey, readText } from '../command-line/files.ts'
import { collect, define } from '../command-line/options.ts'
import { ChainAccount } from '../local-network/deploy.ts'
import { buildToken } from '../token/build.ts'
import { publishToken } from '../token/publish.ts'
import { addTokenExport, addTokenRestore } from './token-archive.ts'
import { addTokenHistory } from './token-history.ts'
import { addTokenRetire } from './token-retire.ts'
import { addTokenWhere } from './token-where.ts'

type BuildOptions = {
  label: string
  contract: string
  chainId: string
  issuer: readonly string[]
  outside: readonly string[]
  key: string
  out: string
}
type PublishOptions = { contract: string; key: string; rpc?: string }

export function addToken(program: Command): void {
  const token = program.command('token').description('build and publish token types; see, move and end instances')
  addBuild(token)
  addPublish(token)
  addTokenWhere(token)
  addTokenHistory(token)
  addTokenExport(token)
  addTokenRestore(token)
  addTokenRetire(token)
}

function addBuild(token: Command): void {
  const command = token
    .command('build')
    .description('build a definition into one signed TokenScript file')
    .argument('<source>', 'module whose default export is the definition')
    .requiredOption('--contract <address>', 'contract of the token type')
    .requiredOption('--chain-id <number>', 'chain of the contract')
    .requiredOption('--key <file>', "file with the contract owner's key")
    .requiredOption('--out <file>', 'where the file goes')
    .option('--label <text>', 'name for people', 'Token')
    .option('--issuer <name=address>', 'address of a declared issuer; may be repeated', collect, [])
    .option('--outside <name=url[,signer]>', 'place of a declared outside system; may be repeated', collect, [])
  const where =
    '--contract 0x5fbdb2315678afecb367f032d93f642f64180aa3 --chain-id 7000001 --key airline.key --out ticket.tsml'
  const examples = [
    `token build src/token.ts ${where}`,
    `token build src/token.ts ${where} --issuer airline=0x70997970c51812dc3a010c7d01b50e0d17dc79c8 --outside hotel=https://hotel.example,0x90f79bf6eb2c4f870365e785982e1f101e93b906`,
  ] as const
  define<BuildOptions, [string]>(command, examples, async ({ options, output }, source) => {
    const built = await buildToken({
      source,
      label: options.label,
      contract: { chainId: chainIdOf(options.chainId), address: addressOf(options.contract, '--contract') },
      issuers: Object.fromEntries(options.issuer.map((text) => issuerOf(text))),
      outside: Object.fromEntries(options.outside.map((text) => outsideOf(text))),
      privateKey: readKey(options.key),
    })
    writeFileSync(options.out, built.text)
    const { cid, scriptHash, signer } = built
    output.data({ out: options.out, cid, scriptHash, signer, bytes: built.bytes.length }, [
      `${options.out}  ${built.bytes.length} bytes`,
      `script  ${scriptHash}`,
      `signer  ${signer}`,
    ])
  })
}

function addPublish(token: Command): void {
  const command = token
    .command('publish')
    .description('give a built file to the anchors, and name it on the chain')
    .argument('<file>', 'what sl token build wrote')
    .requiredOption('--contract <address>', 'contract of the token type')
    .requiredOption('--key <file>', "file with the contract owner's key; it pays for the transactions")
    .option('--rpc <url>', 'chain, when the network is not local')
  const examples = [
    'token publish ticket.tsml --contract 0x5fbdb2315678afecb367f032d93f642f64180aa3 --key .smartlayer/keys/airline.key',
    'token publish ticket.tsml --contract 0x5fbdb2315678afecb367f032d93f642f64180aa3 --key airline.key --network https://a1.example --rpc https://rpc.example',
  ] as const
  define<PublishOptions, [string]>(command, examples, async ({ options, output }, path) => {
    const text = readText(path)
    const { scriptHash, signer } = verifyTokenScript(text)
    const bytes = utf8(text)
    const contract = addressOf(options.contract, '--contract')
    const privateKey = readKey(options.key)
    const url = chainUrl(options, options.rpc)
    const { info } = (await clientOf(options, privateKey)).site.network
    const published = await publishToken({
      built: { text, bytes, cid: cidOf(bytes), scriptHash, signer },
      contract,
      tokenRegistry: info.tokenRegistry,
      owner: new ChainAccount({ url, chainId: Number(info.chainId), privateKey }),
      anchors: anchorsOf(info).map(({ api }) => api),
    })
    output.data({ contract, ...published }, [`${contract}  ${published.uri}`])
  })
}

function chainIdOf(text: string): number {
  const chainId = Number(text)
  if (Number.isSafeInteger(chainId) && chainId > 0) return chainId
  throw SmartLayerError.of('cli.usage', { detail: '--chain-id takes a whole number' })
}

function issuerOf(text: string): [string, Address] {
  const [name, address] = named(text, '--issuer')
  return [name, addressOf(address, '--issuer')]
}

function outsideOf(text: string): [string, { url: string; signer?: Address }] {
  const [name, value] = named(text, '--outside')
  const [url = '', signer] = value.split(',')
  if (!URL.canParse(url)) throw SmartLayerError.of('cli.usage', { detail: '--outside takes NAME=URL[,SIGNER]' })
  return [name, signer ? { url, signer: addressOf(signer, '--outside') } : { url }]
}

function named(text: string, flag: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw SmartLayerError.of('cli.usage', { detail: `${flag} takes NAME=VALUE` })
  return [text.slice(0, at), text.slice(at + 1)]
}
