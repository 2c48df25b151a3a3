/** `sl verify`: checks a saved answer or fact; of a fact it asks, where it can, whether it was taken back. */
import { networkInfoShape, nobleCrypto, SmartLayerError } from '@smartlayer/protocol'
import { assertProof, networkOf, type Proof, parseSavedProof, verifySavedProof } from '@smartlayer/sdk'
import type { Command } from 'commander'
import { readJsonText, readText } from '../command-line/files.ts'
import { define } from '../command-line/options.ts'
import { printable } from '../command-line/output.ts'
import { readRevocation, savedFactShape, verifySavedFact } from '../command-line/saved-fact.ts'

type Options = { readonly trust?: string; readonly offline: boolean }

export function addVerify(program: Command): void {
  const command = program
    .command('verify')
    .description('check a saved answer or fact by itself; of a fact, ask its network whether it was taken back')
    .argument('<file>', 'what sl query --save or sl attest --save wrote')
    .option(
      '--trust <file>',
      'the network as you know it (GET /v1/network); left out, the file is only checked against itself',
    )
    .option('--offline', 'ask nobody', false)
  const examples = ['verify answer.json', 'verify fact.json --trust network.json --offline'] as const
  define<Options, [string]>(command, examples, async ({ options, output }, path) => {
    const proof = await proofOf(readText(path), options)
    output.data(proof, [
      ...proof.checks.map(
        ({ name, ok, detail }) =>
          `${ok ? output.style('green', '✔') : output.style('red', '✖')} ${name.padEnd(12)} ${printable(detail)}`,
      ),
      printable(proof.summary),
    ])
    assertProof(proof)
  })
}

async function proofOf(text: string, { trust, offline }: Options): Promise<Proof> {
  const trusted = trust
    ? networkOf(networkInfoShape.parse(readJsonText(readText(trust), trust), 'network'), nobleCrypto)
    : undefined
  const json = readJson(text)
  if (typeof json === 'object' && json !== null && 'fact' in json) {
    const saved = savedFactShape.parse(json, 'file')
    const revocation = offline
      ? ({ known: 'unknown', why: 'nobody was asked' } as const)
      : await readRevocation(saved, nobleCrypto, trusted)
    const nowS = BigInt(Math.floor(Date.now() / 1000))
    return verifySavedFact(saved, { crypto: nobleCrypto, trusted, nowS, revocation })
  }
  return verifySavedProof(parseSavedProof(text), nobleCrypto, trusted)
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw SmartLayerError.because(cause, 'message.malformed', { at: 'file', expected: 'JSON' })
  }
}
