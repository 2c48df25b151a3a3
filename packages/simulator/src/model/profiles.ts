/** The profiles that together cover the order of journals, leases, both together, and hand-over between home sets. */
import { EPOCH_BITS } from './parties.ts'
import type { LeaseBounds, Profile } from './profile.ts'

const NEXT_EPOCH = 1n << EPOCH_BITS

const JOURNAL = { entryVariants: 1, bodyVariants: 1, exact: false, storing: false, leases: undefined } as const
const LEASES: LeaseBounds = {
  length: 2,
  begins: [0],
  lengths: [2],
  reports: false,
  executors: true,
  renewals: true,
  executorsCrash: false,
  releases: false,
  restarts: undefined,
  stalledClock: false,
}
const LEASES_ALONE = { ...JOURNAL, terms: [1n, 2n], entries: 0, leases: LEASES }

export const PROFILES: readonly Profile[] = [
  {
    ...JOURNAL,
    name: 'order-small',
    about: 'order of one journal over two terms, every difference between states kept',
    terms: [1n, 2n],
    entries: 1,
    entryVariants: 2,
    exact: true,
  },
  {
    ...JOURNAL,
    name: 'order-proposers',
    about: 'order of one journal with two placements for one term, every difference between states kept',
    terms: [1n, 2n],
    entries: 1,
    bodyVariants: 2,
    exact: true,
  },
  {
    ...JOURNAL,
    name: 'order-executors',
    about: 'order of one journal with two entries for one place, certificates stored without being held',
    terms: [1n, 2n],
    entries: 2,
    entryVariants: 2,
    storing: true,
  },
  { ...JOURNAL, name: 'order', about: 'order of one journal over three terms', terms: [1n, 2n, 3n], entries: 2 },
  {
    ...JOURNAL,
    name: 'order-terms',
    about: 'order of one journal over four terms',
    terms: [1n, 2n, 3n, 4n],
    entries: 1,
    entryVariants: 2,
  },
  { ...LEASES_ALONE, name: 'leases', about: 'leases and renewals' },
  { ...LEASES_ALONE, name: 'leases-terms', about: 'leases and renewals over three terms', terms: [1n, 2n, 3n] },
  {
    ...LEASES_ALONE,
    name: 'leases-begins',
    about: 'leases that begin later or are shorter than they may be',
    leases: { ...LEASES, begins: [0, 1, 2], lengths: [1, 2], renewals: false },
  },
  {
    ...LEASES_ALONE,
    name: 'releases',
    about: 'leases that are given back, executors that crash',
    leases: { ...LEASES, renewals: false, releases: true, executorsCrash: true },
  },
  {
    ...LEASES_ALONE,
    name: 'restarts',
    about: 'an anchor crashes, and its clock runs far ahead until it settled',
    leases: { ...LEASES, renewals: false, reports: true, restarts: { count: 1, clockAhead: 7 } },
  },
  {
    ...LEASES_ALONE,
    name: 'stalled-clock',
    about: 'wall clocks of executors stand still after they asked for a lease',
    leases: { ...LEASES, stalledClock: true },
  },
  {
    ...JOURNAL,
    name: 'release-promises',
    about: 'one term, journal and release, every signature kept',
    terms: [1n],
    entries: 1,
    leases: { ...LEASES, reports: true, releases: true },
  },
  {
    ...JOURNAL,
    name: 'together',
    about: 'journal under leases',
    terms: [1n, 2n],
    entries: 1,
    entryVariants: 2,
    leases: { ...LEASES, reports: true, executors: false },
  },
  {
    ...JOURNAL,
    name: 'together-executors',
    about: 'journal and executor under leases, renewals and releases',
    terms: [1n],
    entries: 1,
    leases: { ...LEASES, reports: true, releases: true },
  },
  {
    ...JOURNAL,
    name: 'hand-over',
    about: 'order of one journal over a change of the home set',
    terms: [1n, NEXT_EPOCH | 1n, NEXT_EPOCH | 2n],
    entries: 1,
    entryVariants: 2,
  },
  {
    ...LEASES_ALONE,
    name: 'hand-over-leases',
    about: 'leases over a change of the home set',
    terms: [1n, NEXT_EPOCH | 1n],
    leases: { ...LEASES, renewals: false },
  },
]
