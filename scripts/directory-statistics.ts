/** `npm run statistics`: what chance and attackers can do to home sets, as a table with a verdict on each line; `--large` takes minutes. */
import { parseArgs } from 'node:util'
import { directoryStatistics, LARGE, SMALL, USUAL } from './statistics/directory.ts'

const { values } = parseArgs({
  options: { large: { type: 'boolean', default: false }, small: { type: 'boolean', default: false } },
})
const lines = directoryStatistics(values.large ? LARGE : values.small ? SMALL : USUAL)
const width = Math.max(...lines.map(({ name }) => name.length))
for (const { name, found, bound, ok } of lines) {
  const verdict = ok === undefined ? '' : ok ? '✔' : '✖'
  console.log(`${name.padEnd(width)}  ${found.padEnd(38)}  ${(bound ?? '').padEnd(13)} ${verdict}`.trimEnd())
}
const failed = lines.filter(({ ok }) => ok === false).length
console.log(`${lines.filter(({ ok }) => ok).length} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
