/** `npm run example:car`: plays the scenes of the smart car on a fresh network and checks them. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runCar } from '../examples/smart-car/src/run.ts'

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, 'port-base': { type: 'string', default: '15700' } },
})
const result = await runCar({
  folder: join(tmpdir(), `smart-layer-car-${values['port-base']}`),
  portBase: Number(values['port-base']),
  progress: (line) => process.stderr.write(`${line}\n`),
})
console.log(values.json ? JSON.stringify(result) : `${result.passed} passed, ${result.failed} failed`)
process.exit(result.failed === 0 ? 0 : 1)
