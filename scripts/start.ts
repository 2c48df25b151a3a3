/** `npm start`: the local network with the flight story, until Ctrl-C; `--reset` begins anew. */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { DEFAULT_PORT_BASE, Gateway, resetNetwork } from '@smartlayer/cli'
import { isSmartLayerError } from '@smartlayer/protocol'
import { FlightDemo } from '../examples/flight-ticket/src/demo.ts'

const { values } = parseArgs({
  options: {
    reset: { type: 'boolean', default: false },
    'port-base': { type: 'string', default: String(DEFAULT_PORT_BASE) },
    folder: { type: 'string', default: join(import.meta.dirname, '..', '.smartlayer') },
  },
})

async function run(): Promise<void> {
  const started = performance.now()
  if (values.reset) resetNetwork(values.folder)
  const progress = (step: string, detail: string) => console.log(`✔ ${step.padEnd(10)} ${detail}`)
  const demo = await FlightDemo.start({ folder: values.folder, portBase: Number(values['port-base']), progress })
  const gateway = await Gateway.start(demo.network)
  let ending = false
  const end = async () => {
    if (ending) return
    ending = true
    console.log('\nStopping …')
    await gateway.close()
    await demo.stop()
    console.log(
      `Stopped. All state is kept in ${values.folder}; npm start resumes it, npm start -- --reset begins anew.`,
    )
    process.exit(0)
  }
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
