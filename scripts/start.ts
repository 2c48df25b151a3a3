/** `npm start`: the local network with the flight story, until Ctrl-C; `--reset` begins anew. */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { DEFAULT_PORT_BASE, Gateway, PORT_SPAN, resetNetwork } from '@smartlayer/cli'
import { isSmartLayerError } from '@smartlayer/protocol'
import { FlightDemo } from '../examples/flight-ticket/src/demo.ts'

const OPTIONS = {
  reset: { type: 'boolean', default: false },
  'port-base': { type: 'string', default: String(DEFAULT_PORT_BASE) },
  folder: { type: 'string', default: join(import.meta.dirname, '..', '.smartlayer') },
  help: { type: 'boolean', default: false },
} as const
const USAGE = `npm start [-- OPTIONS]
  --reset           begin anew: deletes the local network's data
  --port-base N     first of the ports (1024 to ${65_535 - PORT_SPAN}; default ${DEFAULT_PORT_BASE})
  --folder DIR      where its data is kept (default .smartlayer)`

function optionsOf(args: string[]): { reset: boolean; portBase: number; folder: string } {
  let values: ReturnType<typeof parse>
  const parse = () => parseArgs({ options: OPTIONS, args }).values
  try {
    values = parse()
  } catch (error) {
    return leaveWith(error instanceof Error ? error.message : String(error), 2)
  }
  if (values.help) return leaveWith('', 0)
  const portBase = Number(values['port-base'])
  if (!Number.isInteger(portBase) || portBase < 1_024 || portBase > 65_535 - PORT_SPAN) {
    return leaveWith(`--port-base ${values['port-base']} is not a whole number in its range.`, 2)
  }
  return { reset: values.reset, portBase, folder: values.folder }
}

function leaveWith(problem: string, code: number): never {
  if (problem) console.error(`✖ ${problem}`)
  console.log(USAGE)
  process.exit(code)
}

const options = optionsOf(process.argv.slice(2))

async function run(): Promise<void> {
  const started = performance.now()
  if (options.reset) resetNetwork(options.folder)
  const progress = (step: string, detail: string) => console.log(`✔ ${step.padEnd(10)} ${detail}`)
  // Until everything runs there is nothing to end in order: leaving is enough, and takes along what was started.
  const leave = () => process.exit(130)
  process.on('SIGINT', leave)
  process.on('SIGTERM', leave)
  const demo = await FlightDemo.start({ folder: options.folder, portBase: options.portBase, progress })
  const gateway = await Gateway.start(demo.network)
  let ending = false
  const end = async () => {
    if (ending) return
    ending = true
    console.log('\nStopping …')
    await gateway.close()
    await demo.stop()
    console.log(
      `Stopped. All state is kept in ${options.folder}; npm start resumes it, npm start -- --reset begins anew.`,
    )
    process.exit(0)
  }
  process.off('SIGINT', leave)
  process.off('SIGTERM', leave)
  process.on('SIGINT', end)
  process.on('SIGTERM', end)
  // When the terminal's process is gone without a word, nothing is left behind either.
  const parent = process.ppid
  setInterval(() => process.ppid === parent || void end(), 1_000).unref()
  console.log(`
  Control Room   http://control.localhost:${demo.network.layout.controlPort}
  Car rental     ${demo.urls.rental}   ← use the ticket here
  Airline        ${demo.urls.airline}   ← make the flight late here
  Hotel          ${demo.urls.hotel}

  Nodes run without TEE: answers say "no enclave evidence".
ready in ${((performance.now() - started) / 1000).toFixed(1)} s — Ctrl-C stops everything`)
}

try {
  await run()
} catch (error) {
  if (!isSmartLayerError(error)) throw error
  console.error(`✖ ${error.message}\n  fix: ${error.fix}\n  code: ${error.code}`)
  process.exit(1)
}
