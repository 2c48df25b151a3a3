/** The insurance of a car, as the insurer writes it. */
import { paperToken } from './paper.ts'

export default paperToken('car-insurance')
