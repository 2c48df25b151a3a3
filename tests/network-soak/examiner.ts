/** The last process of a soak of the network: it judges all histories, and sees nothing else. */
import { takePart } from '../soak-kit/part.ts'
import { readHistory } from '../soak-kit/recorder.ts'
import { check } from './checker.ts'
import type { Part, Plan } from './client.ts'
import { figures } from './figures.ts'
import type { What } from './history.ts'

const { plan, recorder }: Part = takePart<Plan, What>()
recorder.close()
const lines = readHistory<What>(plan.histories)
const bounds = { anchors: plan.anchors.map(({ name }) => name), tokens: plan.tokens.map(({ name }) => name) }
process.send!({ findings: check(lines, bounds), figures: figures(lines) }, () => process.exit(0))
