/** `npm run story`: plays the flight story on a fresh network and checks it; `--break fence|replay|signature` must make it fail, `--calm` injects no faults. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BREAKS, type Break } from '../examples/flight-ticket/src/story/broken.ts'
import { runStory } from '../examples/flight-ticket/src/story/run.ts'

const { values } = parseArgs({
  options: {
    json: { type: 'boolean' },
    break: { type: 'string' },
    calm: { type: 'boolean' },
    'port-base': { type: 'string', default: '17700' },
  },
})
if (values.break !== undefined && !(values.break in BREAKS)) {
  console.error(`✖ --break ${values.break} is not known. Use one of: ${Object.keys(BREAKS).join(', ')}.`)
  process.exit(2)
}
const result = await runStory({
  folder: join(tmpdir(), `smart-layer-story-${values['port-base']}`),
  portBase: Number(values['port-base']),
  broken: values.break as Break | undefined,
  calm: values.calm,
  progress: (line) => process.stderr.write(`${line}\n`),
})
console.log(values.json ? JSON.stringify(result) : `${result.passed} passed, ${result.failed} failed`)
process.exit(result.failed === 0 ? 0 : 1)
