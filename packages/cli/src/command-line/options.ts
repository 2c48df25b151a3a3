/** The flags that every command has, and how they are read. */
import { join } from 'node:path'
import { SmartLayerError } from '@smartlayer/protocol'
import type { Command } from 'commander'
import { DEFAULT_PORT_BASE } from '../local-network/layout.ts'
import { type Output, outputOf } from './output.ts'

const HIGHEST_PORT_BASE = 64_000

export type CommonOptions = {
  readonly json: boolean
  readonly network: string | undefined
  readonly folder: string
  readonly portBase: number
}
export type Context<O> = { readonly options: O & CommonOptions; readonly output: Output }

/** Adds the common flags and the examples, and runs `action` with parsed options and an output for them. */
export function define<O extends object, A extends readonly string[] = readonly string[]>(
  command: Command,
  examples: readonly [string, string],
  action: (context: Context<O>, ...args: A) => Promise<void>,
): void {
  command
    .option('--json', 'print data as JSON', false)
    .option('--network <url>', 'any node of another network than the local one')
    .option('--folder <path>', 'folder of the local network', join(process.cwd(), '.smartlayer'))
    .option('--port-base <port>', 'first port of the local network', portBaseOf, DEFAULT_PORT_BASE)
    .option('--no-color', 'print without colors')
    .addHelpText('after', `\nExamples:\n${examples.map((line) => `  $ sl ${line}`).join('\n')}`)
    .action((...given: unknown[]) => {
      const options = command.opts<O & CommonOptions & { color: boolean }>()
      const args = given.slice(0, -2) as unknown as A
      return action({ options, output: outputOf(options) }, ...args)
    })
}

/** For flags that may be given several times. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}

function portBaseOf(value: string): number {
  const port = Number(value)
  if (Number.isInteger(port) && port >= 1024 && port <= HIGHEST_PORT_BASE) return port
  throw SmartLayerError.of('cli.usage', { detail: `--port-base takes a number from 1024 to ${HIGHEST_PORT_BASE}` })
}
