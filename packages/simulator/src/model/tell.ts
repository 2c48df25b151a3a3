/** How a counterexample reads: one line for each step, times as distances from the moment of the step. */
import type { Action } from './anchor.ts'
import type { Answer } from './hand-over.ts'
import { epochOfSet } from './parties.ts'
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
      return `seals all below home epoch ${epochOfSet(action.set + 1)}`
    case 'answer':
      return `answers to home epoch ${epochOfSet(action.set + 1)} what it holds`
    case 'open':
      return `takes over home epoch ${epochOfSet(action.set)} from ${action.answers.map((answer, i) => `${i === 0 ? "the liar's " : ''}${describeAnswer(values, answer)}`).join('; ')}`
  }
}

function describeAnswer(values: Values, { head, leases }: Answer): string {
  const named = leases.map(({ term, expires, released }) => {
    const slot = values.terms.indexOf(BigInt(term))
    return `${nameOfTerm(values, slot)} ${released ? 'given back' : `until ${signed(expires)}`}`
  })
  return `[${nameOfEntry(values, head)}; ${named.length > 0 ? `leases: ${named.join(', ')}` : 'no lease'}]`
}
