/** How a counterexample reads: one line for each step, times as distances from the moment of the step. */
import type { Action } from './anchor.ts'
import { nameOfBody, nameOfEntry, nameOfTerm, signed, type Values } from './values.ts'

export function describeAction(values: Values, action: Action): string {
  const clock = 'reading' in action && action.reading > 0 ? ` (its clock shows ${signed(action.reading)})` : ''
  return describe(values, action) + clock
}

function describe(values: Values, action: Action): string {
  switch (action.do) {
    case 'report':
      return `reports in term ${nameOfTerm(values, action.slot)}`
    case 'vote': {
      const { honest, liar } = action.reports
      const named = [
        ...honest.filter((head) => head !== undefined).map((head) => nameOfEntry(values, head)),
        ...(liar === undefined ? [] : [`the liar's ${nameOfEntry(values, liar)}`]),
      ]
      return `votes for the ${nameOfBody(values, action.body)}, on reports: ${named.join('; ')}`
    }
    case 'renew':
      return `renews the ${nameOfBody(values, action.body)} until ${signed(action.expires)}`
    case 'release':
      return `takes note of the release of the ${nameOfBody(values, action.body)}`
    case 'accept':
      return `accepts ${nameOfEntry(values, action.entry)}`
    case 'hold':
      return `holds ${nameOfEntry(values, action.entry)}`
    case 'store':
      return `stores the certificate of ${nameOfEntry(values, action.entry)}`
    case 'restart':
      return 'crashes and starts again'
    case 'seal':
      return `seals epoch ${action.epoch - 1}`
    case 'open':
      return `opens epoch ${action.epoch} at head ${nameOfEntry(values, action.opening.head)}, old leases until ${signed(action.opening.leasedUntil)}`
  }
}
