/** `sl verify`: checks a saved answer or fact offline. */
import { networkInfoShape, nobleCrypto, SmartLayerError } from '@smartlayer/protocol'
import { assertProof, networkOf, type Proof, parseSavedProof, verifySavedProof } from '@smartlayer/sdk'
import type { Command } from 'commander'
import { readJsonText, readText } from '../command-line/files.ts'
import { define } from '../command-line/options.ts'
import { printable } from '../command-line/output.ts'
import { savedFactShape, verifySavedFact } from '../command-line/saved-fact.ts'

export function addVerify(program: Command): void {
  const command = program
    .command('verify')
    .description('check a saved answer or fact, offline')
    .argument('<file>', 'what sl query --save or sl attest --save wrote')
    .option(
      '--trust <file>',
      'the network as you know it (GET /v1/network); left out, the file is only checked against itself',
    )
  const examples = ['verify answer.json', 'verify answer.json --trust network.json --json'] as const
  define<{ trust?: string }, [string]>(command, examples, async ({ options, output }, path) => {
    const proof = proofOf(readText(path), options.trust)
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

function proofOf(text: string, trustFile: string | undefined): Proof {
  const trusted = trustFile
    ? networkOf(networkInfoShape.parse(readJsonText(readText(trustFile), trustFile), 'network'), nobleCrypto)
    : undefined
  const json = readJson(text)
  if (typeof json === 'object' && json !== null && 'fact' in json) {
    return verifySavedFact(savedFactShape.parse(json, 'file'), nobleCrypto, trusted)
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
