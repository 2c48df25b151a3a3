/** The command line as a whole: which commands there are, and how each way of going wrong ends. */
import { SmartLayerError } from '@smartlayer/protocol'
import { Command, CommanderError } from 'commander'
import { reportFailure } from './command-line/output.ts'
import { addAttest } from './commands/attest.ts'
import { addDev } from './commands/dev.ts'
import { addLogs } from './commands/logs.ts'
import { addNode } from './commands/node.ts'
import { addQuery } from './commands/query.ts'
import { addSecrets } from './commands/secrets.ts'
import { addStatus } from './commands/status.ts'
import { addStreams } from './commands/streams.ts'
import { addToken } from './commands/token.ts'
import { addVerify } from './commands/verify.ts'

const VERSION = '0.1.0'

/** Runs one command line (without program name) and returns the exit code: 0, or that of the error's kind. */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportFailure(error, args.includes('--json'))
    if (error.exitCode === 0) return 0
    const detail = detailOf(error)
    return reportFailure(SmartLayerError.because(error, 'cli.usage', { detail }), args.includes('--json'))
  }
}

function createProgram(): Command {
  const program = new Command('sl')
    .description('Smart Layer: run a network, ask tokens, publish facts, check proofs')
    .version(VERSION)
    .enablePositionalOptions() // a command and its subcommands may have options of the same name
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      '\nExamples:\n  $ sl dev\n  $ sl verify answer.json\n\nEvery command explains itself: sl COMMAND --help',
    )
  for (const add of [
    addDev,
    addStatus,
    addQuery,
    addAttest,
    addStreams,
    addVerify,
    addToken,
    addSecrets,
    addNode,
    addLogs,
  ])
    add(program)
  return program
}

/** What commander says, as one sentence: `unknown command 'statsu' (did you mean status?)`. */
function detailOf({ code, message }: CommanderError): string {
  if (code === 'commander.help') return 'a command is missing'
  return message
    .replace(/^error: /, '')
    .replace(/\s*\(Did you mean (?:one of )?(.+)\?\)$/, ' (did you mean $1?)')
    .replace(/\.$/, '')
}
