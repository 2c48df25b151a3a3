/** `npm run check`: types, purity, format, lint, package walls and cycles. */
import { runStep, type Step } from './run.ts'

const STEPS: readonly Step[] = [
  { name: 'types of the pure core (no Node, no DOM)', command: 'tsc', args: ['-p', 'tsconfig.pure.json'] },
  { name: 'types of everything on Node', command: 'tsc', args: ['-p', 'tsconfig.json'] },
  { name: 'types of what runs in a browser', command: 'tsc', args: ['-p', 'tsconfig.browser.json'] },
  { name: 'format and lint', command: 'biome', args: ['check', '--error-on-warnings', '.'] },
  {
    name: 'package walls and cycles',
    command: 'depcruise',
    args: [
      'packages',
      'contracts',
      'examples',
      'scripts',
      'tests',
      '--config',
      '.dependency-cruiser.cjs',
      '--output-type',
      'err',
    ],
  },
]

let failed = 0
for (const step of STEPS) if (!(await runStep(step)).ok) failed++
console.log(`${STEPS.length - failed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
