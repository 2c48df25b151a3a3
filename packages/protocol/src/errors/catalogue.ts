/** Every error code of Smart Layer, gathered from the domains that own them. */
import { accessErrors } from '../access/errors.ts'
import { apiErrors } from '../api/errors.ts'
import { attestationErrors } from '../attestation/errors.ts'
import { compositionErrors } from '../composition/errors.ts'
import { directoryErrors } from '../directory/errors.ts'
import { electionErrors } from '../election/errors.ts'
import { executionErrors } from '../execution/errors.ts'
import { healthErrors } from '../health/errors.ts'
import { journalErrors } from '../journal/errors.ts'
import { lifecycleErrors } from '../lifecycle/errors.ts'
import { streamErrors } from '../stream/errors.ts'
import { operationErrors } from './operation.ts'
import { scriptErrors } from './script.ts'

export const catalogue = {
  ...attestationErrors,
  ...streamErrors,
  ...directoryErrors,
  ...electionErrors,
  ...healthErrors,
  ...journalErrors,
  ...executionErrors,
  ...lifecycleErrors,
  ...compositionErrors,
  ...accessErrors,
  ...apiErrors,
  ...scriptErrors,
  ...operationErrors,
} as const

export type Catalogue = typeof catalogue
export type Code = keyof Catalogue
