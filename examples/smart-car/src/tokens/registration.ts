/** The registration of a car, as the registration office writes it. */
import { paperToken } from './paper.ts'

export default paperToken('car-registration')
