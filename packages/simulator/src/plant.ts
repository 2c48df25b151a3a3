/** Plants a bug: its source edits are made while modules load, so production code carries no switch for it. */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Bug } from './bugs.ts'

/** Must run before the edited modules are imported. Throws when a text to replace is not there exactly once. */
export function plant({ name, edits }: Bug): void {
  for (const { file, find } of edits) {
    const count = readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8').split(find).length - 1
    if (count !== 1) throw new Error(`bug ${name}: its text occurs ${count} times in ${file}, expected once`)
  }
  registerHooks({
    load(url, context, next) {
      const own = edits.filter(({ file }) => url.endsWith(file))
      if (own.length === 0) return next(url, context)
      const text = readFileSync(fileURLToPath(url), 'utf8')
      const source = own.reduce((made, { find, replace }) => made.replace(find, () => replace), text)
      return { format: 'module-typescript', source, shortCircuit: true }
    },
  })
}
